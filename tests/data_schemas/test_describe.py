"""Profile: the counts are those of the rows, the ratios are shares of them, and equal rows give equal bytes."""

from __future__ import annotations

import argparse
import io
import itertools
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


def counts(column: dict[str, object], name: str) -> list[tuple[object, int]]:
    return [(part[name], part["count"]) for part in column["bins"]]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("inside")
def test_counts_and_ratios_add_up_for_every_column_and_bins_cover_every_value_once(tmp_path: Path) -> None:
    assert run(tmp_path / "one.json", "2013-01", "2013-06") == 0
    assert run(tmp_path / "two.json", "2013-01", "2013-06") == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    written = json.loads((tmp_path / "one.json").read_text())
    assert (written["rows"], written["window"]) == (1_200, {"first": "2013-01", "last": "2013-06"})
    assert list(written["columns"]) == sorted(set(datasets.columns(DATASET_NAME)) - {"flight_date"})
    table = datasets.read(DATASET_NAME, datasets.months(DATASET_NAME, last="2013-06"))
    for name, column in written["columns"].items():
        bins, values = column["bins"], table[name].drop_nulls()
        assert sum(part["count"] for part in bins) == column["samples"] == len(values)
        assert sum(part["ratio"] for part in bins) == pytest.approx(1, abs=1e-12)
        if column["kind"] == "number":
            assert (bins[0]["above"], bins[-1]["up_to"]) == (None, None)
            assert all(left["up_to"] == right["above"] for left, right in itertools.pairwise(bins))
            for part in bins:
                above = pl.lit(True) if part["above"] is None else values > part["above"]
                up_to = pl.lit(True) if part["up_to"] is None else values <= part["up_to"]
                assert values.to_frame().filter(above, up_to).height == part["count"] > 0


def test_quantiles_that_coincide_make_one_bin() -> None:
    assert counts(of("precip", [0.0] * 38 + [0.1, 0.2]), "up_to") == [(0.0, 38), (None, 2)]
    assert counts(of("visib", [10.0] * 40), "up_to") == [(None, 40)]


def test_an_allowed_set_is_listed_whole_and_free_text_is_cut_to_the_most_frequent() -> None:
    origins = counts(of("origin", ["EWR", "JFK"] * 30), "value")
    assert dict(origins) == {"EWR": 30, "JFK": 30, "LGA": 0, "other": 0}
    codes = [f"A{chr(65 + index % 26)}{chr(65 + index // 26)}" for index in range(30)]
    dests = counts(of("dest", codes + ["MIA"] * 30), "value")
    assert (len(dests), dests[0], dests[-1]) == (21, ("MIA", 30), ("other", 11))


def test_nulls_stand_apart_from_the_bins() -> None:
    column = of("temp", [None] * 30 + [float(value) for value in range(10)])
    assert (column["null_rate"], column["samples"]) == (0.75, 10)
    column = of("temp", [None] * 40, pl.Float64())
    assert column["bins"] == [{"above": None, "up_to": None, "count": 0, "ratio": 0.0}]


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
