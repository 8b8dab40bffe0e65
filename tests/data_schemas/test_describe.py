"""Profile: the counts are those of the rows, the ratios are shares of them, and equal rows give equal bytes."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import sys
from pathlib import Path

import polars as pl
import pytest

from data_schemas import describe
from data_schemas.lib import datasets
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import make_trips, verb
from tests.support.specimens import DATASET_NAME


def run(first: str | None = None, last: str | None = None, output: str = "profile.json") -> int:
    return describe.main(argparse.Namespace(dataset=DATASET_NAME, first=first, last=last, output=output))


@pytest.mark.usefixtures("inside")
def test_counts_and_ratios_add_up_for_every_column(tmp_path: Path) -> None:
    output = tmp_path / "profile.json"
    assert run("2013-01", "2013-06", str(output)) == 0
    written = json.loads(output.read_text())
    assert written["rows"] == 1_200
    assert written["window"] == {"first": "2013-01", "last": "2013-06"}
    assert list(written["columns"]) == sorted(set(datasets.columns(DATASET_NAME)) - {"flight_date"})
    for column in written["columns"].values():
        assert sum(part["count"] for part in column["bins"]) == column["samples"]
        assert sum(part["ratio"] for part in column["bins"]) == pytest.approx(1, abs=1e-12)
        assert column["samples"] == round(written["rows"] * (1 - column["null_rate"]))


@pytest.mark.usefixtures("inside")
def test_bins_of_numbers_cover_every_value_once() -> None:
    table = datasets.read(DATASET_NAME, ["2013-01"])
    for name, column in describe.distributions(DATASET_NAME, table)["columns"].items():
        if column["kind"] != "number":
            continue
        bins, values = column["bins"], table[name].drop_nulls()
        assert (bins[0]["above"], bins[-1]["up_to"]) == (None, None)
        assert all(left["up_to"] == right["above"] for left, right in itertools.pairwise(bins))
        for part in bins:
            above = pl.lit(True) if part["above"] is None else values > part["above"]
            up_to = pl.lit(True) if part["up_to"] is None else values <= part["up_to"]
            assert values.to_frame().filter(above, up_to).height == part["count"] > 0


@pytest.mark.usefixtures("inside")
def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    run(output=str(one))
    run(output=str(two))
    assert one.read_bytes() == two.read_bytes()


def test_quantiles_that_coincide_make_one_bin() -> None:
    rows = make_trips().with_columns(precip=pl.Series([0.0] * 38 + [0.1, 0.2]), visib=pl.lit(10.0))
    columns = describe.distributions(DATASET_NAME, rows)["columns"]
    assert [(part["up_to"], part["count"]) for part in columns["precip"]["bins"]] == [(0.0, 38), (None, 2)]
    assert [(part["up_to"], part["count"]) for part in columns["visib"]["bins"]] == [(None, 40)]


def test_an_allowed_set_is_listed_whole_and_free_text_is_cut_to_the_most_frequent() -> None:
    rows = make_trips(rows=60).with_columns(
        dest=pl.Series([f"A{chr(65 + index % 26)}{chr(65 + index // 26)}" for index in range(30)] + ["MIA"] * 30)
    )
    columns = describe.distributions(DATASET_NAME, rows)["columns"]
    origins = {part["value"]: part["count"] for part in columns["origin"]["bins"]}
    assert origins == {"EWR": 30, "JFK": 30, "LGA": 0, "other": 0}
    dests = columns["dest"]["bins"]
    assert (dests[0]["value"], dests[0]["count"]) == ("MIA", 30)
    assert (len(dests), dests[-1]["value"], dests[-1]["count"]) == (21, "other", 11)


def test_nulls_stand_apart_from_the_bins() -> None:
    rows = make_trips().with_columns(temp=pl.Series([None] * 30 + [float(value) for value in range(10)]))
    column = describe.distributions(DATASET_NAME, rows)["columns"]["temp"]
    assert (column["null_rate"], column["samples"]) == (0.75, 10)


def test_a_column_of_nulls_has_no_samples_and_no_nan() -> None:
    rows = make_trips().with_columns(temp=pl.lit(None, dtype=pl.Float64))
    column = describe.distributions(DATASET_NAME, rows)["columns"]["temp"]
    assert column["bins"] == [{"above": None, "up_to": None, "count": 0, "ratio": 0.0}]


@pytest.mark.usefixtures("inside")
def test_a_window_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refusal, match="no month '2014-01'; it has 2013-01 to 2013-12"):
        run(last="2014-01")
    with pytest.raises(Refusal, match="lies after the last"):
        run("2013-03", "2013-02")


@pytest.mark.usefixtures("tree")
def test_without_data_the_mend_is_named() -> None:
    with pytest.raises(Refusal, match=f"python -m data_schemas ingest {DATASET_NAME}"):
        run()


@pytest.mark.usefixtures("inside", "handlers_kept")
def test_the_bars_of_a_profile_end_it_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are not letters of Latin-1; a pipeline stopped there."""
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="latin-1", errors="replace"))
    assert verb("describe", DATASET_NAME, "--output", str(tmp_path / "profile.json")) == 0
    sys.stdout.flush()
    assert b"????" in shown.getvalue()
