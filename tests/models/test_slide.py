"""`slide`: the three windows move together to the newest month, and of model.yaml nothing else changes."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.lib import config
from tests.support import trees
from tests.support.process import Answer
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
      last: &here 2013-06
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


def windows() -> list[str]:
    found = config.load("specimen_delay", check_columns=False).windows
    return [str(found.train), str(found.valid), str(found.test)]


def lay_out(text: str) -> None:
    FILE.write_text(FILE.read_text().replace(WINDOWS, text))


@pytest.mark.usefixtures("here")
def test_all_three_windows_move_by_as_many_months(verb: Callable[..., Answer]) -> None:
    answer = verb("slide", "specimen_delay")
    assert (answer.code, answer.error) == (0, "")
    assert windows() == ["2013-05 to 2013-10", "2013-11", "2013-12"]
    assert answer.out.splitlines() == [
        "windows of specimen_delay move by 4 months:",
        "  train: 2013-01 to 2013-06 -> 2013-05 to 2013-10",
        "  valid: 2013-07 -> 2013-11",
        "  test: 2013-08 -> 2013-12",
    ]


def test_only_the_months_change(here: Path, verb: Callable[..., Answer]) -> None:
    """Comments, order and the ends of lines are a team's."""
    before = (here / FILE).read_bytes().replace(b"\n", b"\r\n")
    (here / FILE).write_bytes(before)
    assert verb("slide", "specimen_delay", "--to", "2013-09").code == 0
    after = (here / FILE).read_bytes()
    changed = [
        line[2:].strip()
        for line in difflib.ndiff(before.decode().splitlines(), after.decode().splitlines())
        if line.startswith("+")
    ]
    assert changed == [
        "train: {first: 2013-02, last: 2013-07}",
        "valid: {first: 2013-08, last: 2013-08}",
        "test: {first: 2013-09, last: 2013-09}",
    ]
    assert after.count(b"\r\n") == before.count(b"\r\n") == after.count(b"\n")


def test_a_year_ends(here: Path, verb: Callable[..., Answer]) -> None:
    for month in ("2014-01", "2014-02"):
        (here / f"data_schemas/specimen_trips/data/{month}.parquet").touch()
    assert verb("slide", "specimen_delay").code == 0
    assert windows() == ["2013-07 to 2013-12", "2014-01", "2014-02"]


def test_another_layout_is_edited_in_its_place(here: Path, verb: Callable[..., Answer]) -> None:
    lay_out(IN_LINES)
    trees.edit(here / FILE, "&here ", "")
    text = (here / FILE).read_text()
    assert verb("slide", "specimen_delay", "--to", "2013-09").code == 0
    expected = text
    for old, new in (("-08", "-09"), ("-07", "-08"), ("-06", "-07"), ("-01", "-02")):
        expected = expected.replace(f"2013{old}", f"2013{new}")
    assert (here / FILE).read_text() == expected
    assert windows() == ["2013-02 to 2013-07", "2013-08", "2013-09"]


@pytest.mark.parametrize("layout", [IN_LINES, ALIAS, SHARED], ids=["anchor", "merge", "another anchor"])
def test_a_layout_that_cannot_be_edited_is_refused_with_what_to_write(
    here: Path, verb: Callable[..., Answer], layout: str
) -> None:
    lay_out(layout)
    before = (here / FILE).read_bytes()
    answer = verb("slide", "specimen_delay")
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert "model.yaml: windows: has a layout that cannot be edited; write every month out" in answer.error
    assert "train: 2013-01 to 2013-06 -> 2013-05 to 2013-10; valid: 2013-07 -> 2013-11" in answer.error
    assert (here / FILE).read_bytes() == before


def test_an_edit_that_would_change_more_is_refused(here: Path, verb: Callable[..., Answer]) -> None:
    """A month of the windows that another setting repeats by an alias."""
    trees.edit(here / FILE, "test: {first: 2013-08,", "test: {first: &month 2013-08,")
    trees.edit(here / FILE, "seed: 7", "seed: *month")
    before = (here / FILE).read_bytes()
    answer = verb("slide", "specimen_delay")
    assert (answer.code, answer.out) == (2, "")
    assert "has a layout that cannot be edited" in answer.error
    assert (here / FILE).read_bytes() == before


def test_windows_at_the_newest_month_stay(here: Path, verb: Callable[..., Answer]) -> None:
    verb("slide", "specimen_delay")
    before = (here / FILE).stat().st_mtime_ns
    answer = verb("slide", "specimen_delay")
    assert (answer.code, answer.error) == (0, "")
    assert answer.out == "windows of specimen_delay already end with the newest month (2013-12)\n"
    assert (
        verb("slide", "specimen_delay", "--to", "2013-12").out == "windows of specimen_delay already end with 2013-12\n"
    )
    assert (here / FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("gone", "arguments", "told"),
    [
        (
            "",
            ["--to", "2014-02"],
            "specimen_trips has no month 2014-01, which the valid window of specimen_delay would need",
        ),
        (
            "2013-07",
            [],
            "specimen_trips has no month 2013-07, which the train window of specimen_delay would need (2013-05 to",
        ),
        ("", ["--to", "2013-07"], "--to 2013-07 lies before 2013-08, where the windows of specimen_delay end"),
        ("2013-08 2013-09 2013-10 2013-11 2013-12", [], "the newest month (2013-07) lies before 2013-08, where the"),
        ("", ["--to", "2013-13"], "--to 2013-13 is no month; write it as 2013-12."),
        ("", ["--to", "12"], "--to 12 is no month; write it as 2013-12."),
    ],
)
def test_months_that_are_not_there_or_lie_before_are_refused(
    here: Path, verb: Callable[..., Answer], gone: str, arguments: list[str], told: str
) -> None:
    for month in gone.split():
        (here / f"data_schemas/specimen_trips/data/{month}.parquet").unlink()
    before = (here / FILE).read_bytes()
    answer = verb("slide", "specimen_delay", *arguments)
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert told in answer.error
    assert (here / FILE).read_bytes() == before
