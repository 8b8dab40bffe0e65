"""What a dataset holds: every row counts once in each column, and equal rows give equal bytes."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from data_schemas import describe
from data_schemas.lib import datasets
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import make_trips, verb
from tests.support.specimens import DATASET_NAME


def run(output: Path, first: str | None = None, last: str | None = None) -> int:
    return describe.main(argparse.Namespace(dataset=DATASET_NAME, first=first, last=last, output=str(output)))


def of(column: str, values: Sequence[object], kind: pl.DataType | None = None) -> dict[str, object]:
    """The profile of a column with these values."""
    rows = make_trips(rows=len(values)).with_columns(pl.Series(column, values, kind))
    found: dict[str, object] = describe.distributions(DATASET_NAME, rows)["columns"][column]
    return found


@pytest.mark.usefixtures("inside")
def test_counts_and_ratios_add_up_for_every_column_and_bins_cover_every_value_once(tmp_path: Path) -> None:
    assert run(tmp_path / "one.json", "2013-01", "2013-06") == 0
    assert run(tmp_path / "two.json", "2013-01", "2013-06") == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    written = json.loads((tmp_path / "one.json").read_text())
    assert (written["rows"], written["first"], written["last"]) == (1_200, "2013-01", "2013-06")
    assert list(written["columns"]) == sorted(set(datasets.columns(DATASET_NAME)) - {"flight_date"})
    table = datasets.read(DATASET_NAME, datasets.months(DATASET_NAME, last="2013-06"))
    for name, column in written["columns"].items():
        assert sum(column["counts"]) == table.height
        assert column["counts"][-1] == table[name].null_count()
    temp, origin = written["columns"]["temp"], written["columns"]["origin"]
    assert temp["counts"][0] == (table["temp"] <= temp["bins"][0]).sum()
    assert dict(zip(origin["bins"], origin["counts"], strict=False)) == dict(table["origin"].value_counts().iter_rows())


def test_what_is_neither_number_nor_text_is_counted_by_its_words() -> None:
    assert of("origin", ["EWR", None, "EWR", "JFK"]) == {"bins": ["EWR", "JFK"], "counts": [2, 1, 0, 1], "unit": "code"}
    assert of("weekday", [True, False, True], pl.Boolean())["bins"] == ["true", "false"]


@pytest.mark.usefixtures("inside")
def test_a_window_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no month '2014-01'; it has 2013-01 to 2013-12"):
        run(tmp_path / "x", last="2014-01")
    with pytest.raises(Refusal, match="lies after the last"):
        run(tmp_path / "x", "2013-03", "2013-02")


@pytest.mark.usefixtures("inside", "handlers_kept")
def test_the_bars_of_a_profile_end_it_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are not letters of Latin-1; a pipeline stopped there."""
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="latin-1", errors="replace"))
    assert verb("describe", DATASET_NAME, "--output", str(tmp_path / "profile.json")) == 0
    sys.stdout.flush()
    assert b"????" in shown.getvalue()
