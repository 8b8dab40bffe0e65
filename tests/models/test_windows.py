"""The three windows move together to the end of the data, and of model.yaml nothing else changes."""

from __future__ import annotations

import difflib
import re
import shutil
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
WINDOWS = "windows:" + (SPECIMENS / FILE).read_text().partition("windows:")[2].partition("\ntarget:")[0]
IN_LINES = """windows:
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
ALIAS = """windows:
  train: {first: 2013-01, last: 2013-06}
  valid: &all {first: 2013-07, last: 2013-07}
  test: {first: 2013-08, <<: {last: 2013-08}}
"""
SHARED = """windows:
  train: {first: 2013-01, last: &june 2013-06}
  valid: {first: 2013-07, last: 2013-07}
  test: {first: 2013-08, last: 2013-08}
"""
DAYS = """split:  # ours
  by: time
  column: flight_date
  unit: day
  train: {first: 2013-01-01, last: "2013-01-10"}  # the first without quotes: a date
  valid: {first: 2013-01-11, last: 2013-01-12}
  test: {first: 2013-01-13, last: 2013-01-14}
"""
WEEKS = """split:
  {by: time, column: flight_date, unit: week, train: {first: 2012-W52, last: 2013-W01},
   valid: {first: 2013-W02, last: 2013-W02}, test: {first: 2013-W03, last: 2013-W03}}
"""
HASH = "split: {by: hash, key: [flight], shares: {train: 0.7, valid: 0.15, test: 0.15}}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with the settings of the specimen, the names of twelve months, and rows from 2012-12-24 to 2013-02-02."""
    root = tmp_path / "tree"
    for name in (FILE, DATASET / "schema.py", Path("pyproject.toml"), Path("models/__main__.py")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, root / name)
    monkeypatch.chdir(root)
    bring(*(f"2013-{month:02}" for month in range(1, 13)))
    days = [date(2012, 12, 24) + timedelta(days=each) for each in range(41)]
    monkeypatch.setattr(datasets, "read_all", lambda _: pl.DataFrame({"flight_date": days}))
    return root


def bring(*months: str) -> None:
    (DATASET / "data").mkdir(exist_ok=True)
    for month in months:
        (DATASET / f"data/{month}.parquet").touch()


def slide(to: str | None = None) -> list[str]:
    """Where the windows are afterwards; no line where none moved."""
    model = config.load("specimen_delay", check_columns=False)
    new = windows.slide(model, to)
    assert config.load("specimen_delay", check_columns=False).parts == new
    return [new.span(part) for part in PARTS] if new != model.parts else []


@pytest.mark.parametrize(
    ("text", "to", "spans", "kept"),
    [
        (WINDOWS, None, ["2013-05 to 2013-10", "2013-11", "2013-12"], ""),
        (
            IN_LINES,
            "2013-09",
            ["2013-02 to 2013-07", "2013-08", "2013-09"],
            r"""# ours
  valid:
    last: "2013-08"  # one month
    first: '2013-08'

  test: {(?s:.*)  train:
""",
        ),
        (ALIAS, "2013-09", ["2013-02 to 2013-07", "2013-08", "2013-09"], r"{first: 2013-08, last: 2013-08}\n"),
        (
            DAYS,
            None,
            ["2013-01-20 to 2013-01-29", "2013-01-30 to 2013-01-31", "2013-02-01 to 2013-02-02"],
            r'split:  # ours(?s:.*)  train: {first: 2013-01-20, last: "2013-01-29"}  # the first without quotes',
        ),
        (WEEKS, "2013-W04", ["2013-W01 to 2013-W02", "2013-W03", "2013-W04"], ""),
        (WEEKS, None, ["2013-W02 to 2013-W03", "2013-W04", "2013-W05"], ""),
        (HASH, None, [], ""),
    ],
    ids=["months", "in lines", "by a merge key", "days", "weeks", "the last week", "a hash"],
)
def test_all_three_windows_move_by_as_many_units_and_their_notation_stays(
    text: str, to: str | None, spans: list[str], kept: str
) -> None:
    trees.edit(FILE, WINDOWS, text)
    assert slide(to) == spans
    assert re.search(kept, FILE.read_text())


def test_they_stay_at_the_newest_month_and_go_on_across_the_new_year() -> None:
    slide()
    before = FILE.stat().st_mtime_ns
    assert slide() == slide("2013-12") == []
    assert FILE.stat().st_mtime_ns == before
    bring("2014-01", "2014-02")
    assert slide() == ["2013-07 to 2013-12", "2014-01", "2014-02"]


def test_only_the_months_change() -> None:
    """Comments, order and the ends of lines are a team's."""
    before = FILE.read_bytes().replace(b"\n", b"\r\n")
    FILE.write_bytes(before)
    slide("2013-09")
    after = FILE.read_bytes()
    lines = difflib.ndiff(before.decode().splitlines(), after.decode().splitlines())
    assert [line[2:].strip() for line in lines if line.startswith("+")] == [
        "train: {first: 2013-02, last: 2013-07}",
        "valid: {first: 2013-08, last: 2013-08}",
        "test: {first: 2013-09, last: 2013-09}",
    ]
    assert after.count(b"\r\n") == before.count(b"\r\n") == after.count(b"\n")


def test_an_edit_that_would_change_more_is_refused_with_what_to_write() -> None:
    """A window that another setting repeats by an alias; of a month that one repeats only the window changes."""
    trees.edit(FILE, WINDOWS, SHARED)
    trees.edit(FILE, "seed: 7", "seed: *june")
    slide("2013-09")
    assert config.load("specimen_delay", check_columns=False).training["seed"] == "2013-06"
    trees.edit(FILE, "train: {", "train: &all {")
    trees.edit(FILE, "max_epochs: 6", "max_epochs: 6\n  more: *all")
    before = FILE.read_bytes()
    with pytest.raises(Refusal, match=r"cannot be edited without changing more; move .*valid: 2013-08 -> 2013-09"):
        slide("2013-10")
    assert FILE.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "gone", "to", "printed"),
    [
        (WINDOWS, [], "2014-02", "specimen_trips has no month 2014-01, which the valid window of specimen_delay would"),
        (WINDOWS, [7], None, "no month 2013-07, which the train window of specimen_delay would need (2013-05 to 2013-"),
        (WINDOWS, [], "2013-07", "--to 2013-07 lies before 2013-08, where the windows of specimen_delay end"),
        (WINDOWS, range(8, 13), None, "the newest month (2013-07) lies before 2013-08, where the"),
        (WINDOWS, [], "2013-13", "--to 2013-13 is not a month; write it as 2013-12."),
        (WEEKS, [], "2013-02", "--to 2013-02 is not a week; write it as 2013-W05."),
        (WEEKS, [], "2013-W06", "has no week 2013-W06, which the test window of specimen_delay would need"),
        (HASH, [], "2013-12", f"--to 2013-12 moves windows, and {FILE} has none"),
    ],
)
def test_what_is_not_there_or_lies_before_is_refused(text: str, gone: list[int], to: str | None, printed: str) -> None:
    trees.edit(FILE, WINDOWS, text)
    for month in gone:
        (DATASET / f"data/2013-{month:02}.parquet").unlink()
    before = FILE.read_bytes()
    with pytest.raises(Refusal, match=re.escape(printed)):
        slide(to)
    assert FILE.read_bytes() == before


def test_a_training_window_that_begins_before_the_data_takes_all_there_is() -> None:
    trees.edit(FILE, WINDOWS, DAYS.replace("first: 2013-01-01", "first: 2000-01-01"))
    assert slide()[0] == "2000-01-20 to 2013-01-29"
    parts = config.load("specimen_delay", check_columns=False).parts
    assert isinstance(parts, Windows)
    there = parts.there(DATASET.name)
    assert [each.lacking(there) for each in parts.others(2)] == [None, None]
