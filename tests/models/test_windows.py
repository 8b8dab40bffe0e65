"""The three windows move together to the newest month, and of model.yaml nothing else changes."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from data_schemas.lib import datasets
from models.lib import config, windows
from models.lib.split import PARTS, Windows
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
    assert config.load("specimen_delay", check_columns=False).parts == new
    return [line for line in windows.changes(model.parts, new) if new != model.parts]


def months() -> list[str]:
    found = config.load("specimen_delay", check_columns=False)
    return [found.span(part) for part in PARTS]


def lay_out(text: str) -> None:
    FILE.write_text(FILE.read_text().replace(WINDOWS, text))


def test_all_three_windows_move_by_as_many_months_and_stay_at_the_newest_one(here: Path) -> None:
    assert slide() == [
        "train: 2013-01 to 2013-06 -> 2013-05 to 2013-10",
        "valid: 2013-07 -> 2013-11",
        "test: 2013-08 -> 2013-12",
    ]
    before = (here / FILE).stat().st_mtime_ns
    assert slide() == slide("2013-12") == []
    assert (here / FILE).stat().st_mtime_ns == before
    for month in ("2014-01", "2014-02"):
        (here / f"data_schemas/specimen_trips/data/{month}.parquet").touch()
    slide()
    assert months() == ["2013-07 to 2013-12", "2014-01", "2014-02"]


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


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            IN_LINES,
            r"# ours\n  valid:\n    last: \"2013-08\"  # one month\n    first: '2013-08'\n\n  test: {(?s:.*)  train:\n",
        ),
        (ALIAS, r"valid: (&all )?{first: 2013-08, last: 2013-08}\n"),
    ],
    ids=["in lines", "by a merge key"],
)
def test_quotes_comments_and_order_stay(here: Path, text: str, kept: str) -> None:
    lay_out(text)
    slide("2013-09")
    assert months() == ["2013-02 to 2013-07", "2013-08", "2013-09"]
    assert re.search(kept, (here / FILE).read_text())


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


@pytest.mark.parametrize(
    ("gone", "to", "printed"),
    [
        ([], "2014-02", "specimen_trips has no month 2014-01, which the valid window of specimen_delay would need"),
        ([7], None, "has no month 2013-07, which the train window of specimen_delay would need (2013-05 to 2013-10)"),
        ([], "2013-07", "--to 2013-07 lies before 2013-08, where the windows of specimen_delay end"),
        ([8, 9, 10, 11, 12], None, "the newest month (2013-07) lies before 2013-08, where the"),
        ([], "2013-13", "--to 2013-13 is not a month; write it as 2013-12."),
    ],
)
def test_months_that_are_not_there_or_lie_before_are_refused(
    here: Path, gone: list[int], to: str | None, printed: str
) -> None:
    for month in gone:
        (here / f"data_schemas/specimen_trips/data/2013-{month:02}.parquet").unlink()
    before = (here / FILE).read_bytes()
    with pytest.raises(Refusal, match=re.escape(printed)):
        slide(to)
    assert (here / FILE).read_bytes() == before


DAYS = """
split:  # ours
  by: time
  column: flight_date
  unit: day
  train: {first: 2013-01-01, last: "2013-01-10"}  # the first without quotes: a date
  valid: {first: 2013-01-11, last: 2013-01-12}
  test: {first: 2013-01-13, last: 2013-01-14}
"""
WEEKS = """
split:
  {by: time, column: flight_date, unit: week, train: {first: 2012-W52, last: 2013-W01},
   valid: {first: 2013-W02, last: 2013-W02}, test: {first: 2013-W03, last: 2013-W03}}
"""
HASH = """
split: {by: hash, key: [flight], shares: {train: 0.7, valid: 0.15, test: 0.15}}
"""
Dated = Callable[[str, str], None]


@pytest.fixture
def dated(here: Path, monkeypatch: pytest.MonkeyPatch) -> Dated:
    """Settings with another split, and data from 2012-12-24 up to a day."""

    def lay_out(split: str, last: str) -> None:
        text = (here / FILE).read_text()
        (here / FILE).write_text(text.replace(f"windows:{WINDOWS}", split.lstrip()))
        days = [date(2012, 12, 24) + timedelta(days=each) for each in range(200)]
        table = pl.DataFrame({"flight_date": [day for day in days if str(day) <= last]})
        monkeypatch.setattr(datasets, "read_all", lambda _: table)

    return lay_out


def test_days_of_a_column_move_to_the_last_one(here: Path, dated: Dated) -> None:
    dated(DAYS, "2013-02-02")
    assert slide() == [
        "train: 2013-01-01 to 2013-01-10 -> 2013-01-20 to 2013-01-29",
        "valid: 2013-01-11 to 2013-01-12 -> 2013-01-30 to 2013-01-31",
        "test: 2013-01-13 to 2013-01-14 -> 2013-02-01 to 2013-02-02",
    ]
    text = (here / FILE).read_text()
    assert 'train: {first: 2013-01-20, last: "2013-01-29"}  # the first without quotes: a date' in text
    assert "split:  # ours" in text


def test_weeks_of_a_column_move_across_the_new_year(dated: Dated) -> None:
    dated(WEEKS, "2013-01-28")
    assert slide("2013-W04") == [
        "train: 2012-W52 to 2013-W01 -> 2013-W01 to 2013-W02",
        "valid: 2013-W02 -> 2013-W03",
        "test: 2013-W03 -> 2013-W04",
    ]
    assert slide()[-1] == "test: 2013-W04 -> 2013-W05"
    with pytest.raises(Refusal, match=r"--to 2013-02 is not a week; write it as 2013-W05\."):
        slide("2013-02")
    with pytest.raises(Refusal, match="has no week 2013-W06, which the test window of specimen_delay would need"):
        slide("2013-W06")


def test_a_training_window_that_begins_before_the_data_takes_all_there_is(dated: Dated) -> None:
    dated(DAYS.replace("first: 2013-01-01", "first: 2000-01-01"), "2013-01-24")
    assert slide()[0] == "train: 2000-01-01 to 2013-01-10 -> 2000-01-11 to 2013-01-20"
    model = config.load("specimen_delay", check_columns=False)
    assert isinstance(model.parts, Windows)
    there = model.parts.there(model.dataset)
    assert [each.lacking(there) for each in model.parts.others(2)] == [None, None]


def test_a_hash_moves_nothing_and_says_so(here: Path, dated: Dated) -> None:
    dated(HASH, "2013-02-02")
    before = (here / FILE).read_bytes()
    assert slide() == []
    with pytest.raises(Refusal, match=r"--to 2013-12 moves windows, and models/specimen_delay/model\.yaml has none"):
        slide("2013-12")
    assert (here / FILE).read_bytes() == before
