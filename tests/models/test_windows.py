"""The three windows move together to the newest month, and of model.yaml nothing else changes."""

from __future__ import annotations

import difflib
import re
import shutil
from pathlib import Path

import pytest

from models.lib import config, windows
from repo.lib.refusal import Refusal
from tests.support import trees
from tests.support.specimens import DATASET, MODEL, SPECIMENS

FILE = MODEL / "model.yaml"
WINDOWS = (SPECIMENS / FILE).read_text().partition("windows:")[2].partition("\ntarget:")[0]
IN_LINES = """
  # ours
  valid:
    last: "2013-07"  # one month
    first: '2013-07'

  test: {"last": 2013-08,
         first: 2013-08}
  train:
      first:   2013-01
      last: 2013-06
"""
ALIAS = """
  train: {first: 2013-01, last: 2013-06}
  valid: &all {first: 2013-07, last: 2013-07}
  test: {first: 2013-08, <<: {last: 2013-08}}
"""
SHARED = """
  train: {first: 2013-01, last: &june 2013-06}
  valid: {first: 2013-07, last: 2013-07}
  test: {first: 2013-08, last: 2013-08}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with the settings of the specimen and the names of twelve months."""
    root = tmp_path / "tree"
    data = root / DATASET / "data"
    for folder in (root / MODEL, data):
        folder.mkdir(parents=True)
    for name in (FILE, DATASET / "schema.py", Path("pyproject.toml"), Path("models/__main__.py")):
        shutil.copy(name, root / name)
    for month in range(1, 13):
        (data / f"2013-{month:02d}.parquet").touch()
    monkeypatch.chdir(root)
    return root


def slide(to: str | None = None) -> list[str]:
    """What changes, a line each window."""
    model = config.load("specimen_delay", check_columns=False)
    new = windows.slide(model, to)
    assert config.load("specimen_delay", check_columns=False).windows == new
    return [line for line in windows.changes(model.windows, new) if new != model.windows]


def months() -> list[str]:
    found = config.load("specimen_delay", check_columns=False).windows
    return [str(found.train), str(found.valid), str(found.test)]


def lay_out(text: str) -> None:
    FILE.write_text(FILE.read_text().replace(WINDOWS, text))


@pytest.mark.usefixtures("here")
def test_all_three_windows_move_by_as_many_months() -> None:
    assert slide() == [
        "train: 2013-01 to 2013-06 -> 2013-05 to 2013-10",
        "valid: 2013-07 -> 2013-11",
        "test: 2013-08 -> 2013-12",
    ]


def test_only_the_months_change(here: Path) -> None:
    """Comments, order and the ends of lines are a team's."""
    before = (here / FILE).read_bytes().replace(b"\n", b"\r\n")
    (here / FILE).write_bytes(before)
    slide("2013-09")
    after = (here / FILE).read_bytes()
    lines = difflib.ndiff(before.decode().splitlines(), after.decode().splitlines())
    assert [line[2:].strip() for line in lines if line.startswith("+")] == [
        "train: {first: 2013-02, last: 2013-07}",
        "valid: {first: 2013-08, last: 2013-08}",
        "test: {first: 2013-09, last: 2013-09}",
    ]
    assert after.count(b"\r\n") == before.count(b"\r\n") == after.count(b"\n")


def test_a_year_ends(here: Path) -> None:
    for month in ("2014-01", "2014-02"):
        (here / f"data_schemas/specimen_trips/data/{month}.parquet").touch()
    slide()
    assert months() == ["2013-07 to 2013-12", "2014-01", "2014-02"]


def test_quotes_comments_and_order_stay(here: Path) -> None:
    lay_out(IN_LINES)
    slide("2013-09")
    text = (here / FILE).read_text()
    assert all(each in text for each in ("# ours", 'last: "2013-08"  # one month', "first: '2013-08'"))
    assert text.index("valid:") < text.index("test: {") < text.index("train:")
    assert months() == ["2013-02 to 2013-07", "2013-08", "2013-09"]


def test_months_by_a_merge_key_are_moved(here: Path) -> None:
    lay_out(ALIAS)
    slide("2013-09")
    assert months() == ["2013-02 to 2013-07", "2013-08", "2013-09"]
    assert (here / FILE).read_text().count("2013-08, last: 2013-08") == 1


def test_an_edit_that_would_change_more_is_refused_with_what_to_write(here: Path) -> None:
    """A window that another setting repeats by an alias; of a month that one repeats only the window changes."""
    lay_out(SHARED)
    trees.edit(here / FILE, "seed: 7", "seed: *june")
    slide("2013-09")
    assert config.load("specimen_delay", check_columns=False).training["seed"] == "2013-06"
    trees.edit(here / FILE, "train: {", "train: &all {")
    trees.edit(here / FILE, "max_epochs: 6", "max_epochs: 6\n  more: *all")
    before = (here / FILE).read_bytes()
    with pytest.raises(Refusal, match=r"cannot be edited without changing more; move .*valid: 2013-08 -> 2013-09"):
        slide("2013-10")
    assert (here / FILE).read_bytes() == before


def test_windows_at_the_newest_month_stay(here: Path) -> None:
    slide()
    before = (here / FILE).stat().st_mtime_ns
    assert slide() == slide("2013-12") == []
    assert (here / FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("gone", "to", "printed"),
    [
        (
            "",
            "2014-02",
            "specimen_trips has no month 2014-01, which the valid window of specimen_delay would need",
        ),
        (
            "2013-07",
            None,
            "specimen_trips has no month 2013-07, which the train window of specimen_delay would need (2013-05 to",
        ),
        ("", "2013-07", "--to 2013-07 lies before 2013-08, where the windows of specimen_delay end"),
        ("2013-08 2013-09 2013-10 2013-11 2013-12", None, "the newest month (2013-07) lies before 2013-08, where the"),
        ("", "2013-13", "--to 2013-13 is not a month; write it as 2013-12."),
        ("", "12", "--to 12 is not a month; write it as 2013-12."),
    ],
)
def test_months_that_are_not_there_or_lie_before_are_refused(
    here: Path, gone: str, to: str | None, printed: str
) -> None:
    for month in gone.split():
        (here / f"data_schemas/specimen_trips/data/{month}.parquet").unlink()
    before = (here / FILE).read_bytes()
    with pytest.raises(Refusal, match=re.escape(printed)):
        slide(to)
    assert (here / FILE).read_bytes() == before
