"""Drift: the index by hand, limits that training's own windows set, and a table held against them."""

from __future__ import annotations

import gzip
import json
import math
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from data_schemas.lib import bins, datasets
from models.lib import config, drift, samples, scoring
from repo.lib.files import read_json
from serving.runtime.features import Features
from tests.models.scene import Verb, refused
from tests.support import trees
from tests.support.specimens import DATASET_NAME, MODEL, NAME

DAYS, ROWS = 60, 50
DICE = np.random.default_rng(0)


def reference(model: config.Model, values: Any, days: int = DAYS, *, hours: bool = False) -> dict[str, Any]:
    """Of a column with as many rows each day."""
    start = datetime(2024, 1, 1)
    times = [start + timedelta(days=day, hours=row % 2 if hours else 0) for day in range(days) for row in range(ROWS)]
    column = pl.Series(values)
    rows = pl.DataFrame({"at": times if hours else [each.date() for each in times], "value": column})
    chosen = bins.choose(column)
    found = bins.places(column, chosen)
    return drift.reference(found, len(chosen) + 2, bins.unknown(column), drift.Times.of(model, rows))


def test_the_excess_is_the_index_beyond_what_chance_gives() -> None:
    counts, shares, rows, chi2 = [30, 50, 0], [0.5, 0.49999, 0.00001], 1000, 13.816
    psi = 0.0
    for count, share in zip(counts, shares, strict=True):
        live = (count + 5 * share) / (80 + 5)
        psi += (live - share) * math.log(live / max(share, 1e-4))
    found = drift.excess(np.array([counts, counts]), shares, rows, chi2)
    assert found == pytest.approx([psi - chi2 * (1 / 80 + 1 / 1000)] * 2, abs=1e-12)


def test_shares_have_half_a_row_more_in_each_bin_and_chi_squared_its_quantile(model: config.Model) -> None:
    found = reference(model, [*["a"] * 2000, *["b"] * 999, None])
    assert found["shares"] == pytest.approx([2000.5 / 3002, 999.5 / 3002, 0.5 / 3002, 1.5 / 3002], rel=1e-4)
    assert found["chi2"] == pytest.approx(16.266, abs=1e-3)  # of three degrees, from a printed table


def test_what_is_steady_has_the_least_limit_and_what_returns_has_a_larger_one(model: config.Model) -> None:
    assert reference(model, DICE.normal(size=DAYS * ROWS))["limits"] == {"1h": None, "1d": 0.05, "7d": 0.05}
    weeks = [float(DICE.normal() + (day // 7 % 2)) for day in range(DAYS) for _ in range(ROWS)]
    assert reference(model, weeks)["limits"]["7d"] > 0.1


@pytest.mark.parametrize(
    ("values", "silent"),
    [
        ([float(row) for row in range(DAYS * ROWS)], {"1d": "do not repeat", "7d": "do not repeat"}),  # a counter
        ([row // ROWS % 7 for row in range(DAYS * ROWS)], {"1d": "no value exceeds"}),  # the weekday
        ([1.0] * DAYS * ROWS, {"1d": "no value exceeds", "7d": "no value exceeds"}),
    ],
)
def test_a_length_whose_windows_say_nothing_is_silent_and_says_why(
    model: config.Model, values: list[Any], silent: dict[str, str]
) -> None:
    found = reference(model, values)
    assert found["silent"].keys() == {"1h", *silent}
    for window, why in silent.items():
        assert found["limits"][window] is None
        assert why in found["silent"][window]


def test_windows_need_a_time_and_three_of_their_length(model: config.Model) -> None:
    values = DICE.normal(size=20 * ROWS)
    found = reference(model, values, 20)
    assert found["silent"] == {
        "1h": "at has no time of day",
        "7d": "the rows span less than three windows of this length",
    }
    found = reference(model, values, 20, hours=True)
    assert list(found["silent"]) == ["7d"]
    assert found["limits"]["1h"] == 0.05
    nowhere = drift.Times.of(model, pl.DataFrame({"value": values}))
    assert nowhere.silent == dict.fromkeys(drift.WINDOWS, "the rows have no date")
    known = drift.reference(np.zeros(len(values), int), 2, 1, nowhere)
    assert (known["limits"], known["broken"]) == (dict.fromkeys(drift.WINDOWS), None)


def test_days_with_few_rows_and_rows_without_a_day_are_borne(model: config.Model) -> None:
    days = [None, date(2024, 1, 1), *[date(2024, 3, 1)] * 3, *[date(2024, 1, 1) + timedelta(days=d) for d in range(40)]]
    rows = pl.DataFrame({"at": days, "value": DICE.normal(size=len(days))})
    found = bins.places(rows["value"], chosen := bins.choose(rows["value"]))
    known = drift.reference(found, len(chosen) + 2, 1, drift.Times.of(model, rows))
    assert known["limits"] == dict.fromkeys(drift.WINDOWS)
    assert "so small, that no value exceeds" in known["silent"]["7d"]


def test_a_feature_is_broken_above_the_nulls_that_a_day_of_training_has(model: config.Model) -> None:
    rows = pl.DataFrame({"at": [date(2024, 1, 1) + timedelta(days=row // 1000) for row in range(9000)]})
    times, found = drift.Times.of(model, rows), np.zeros(9000, int)
    assert drift.reference(found, 2, 1, times)["broken"] == 0.05  # the least
    found[2000:2200] = 1  # a day with a fifth of nulls
    assert drift.reference(found, 2, 1, times)["broken"] == pytest.approx(0.25, abs=0.002)
    assert drift.reference(found, 2, 0, times)["broken"] is None  # of answers, which are never null
    found[5000:6000] = 1  # a day of nothing else: no share of them is a fault
    assert drift.reference(found, 2, 1, times)["broken"] is None


@pytest.mark.usefixtures("tree")
def test_a_personal_column_is_in_no_profile(model: config.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "personal", lambda _: {"carrier"})
    found = drift.profile(model, samples.rows(model, "train"))
    assert set(found["features"]) == {*model.features} - {"carrier"}


def test_the_passport_holds_what_the_monitoring_needs(built: Path, model: config.Model) -> None:
    record = yaml.safe_load((built / "passport.yaml").read_text())
    profile, evaluation = (read_json(built / f"{name}.json", "") for name in ("profile", "evaluation"))
    found = record["reference"]
    assert (found["rows"], found["main"], found["higher"]) == (1200, "roc_auc", ["roc_auc"])
    assert {*found["features"]} == {*model.features}
    temp = {key: profile["features"]["temp"][key] for key in ("shares", "chi2", "limits", "broken", "last")}
    assert (temp["last"], found["features"]["carrier"]["last"]) == (1, 2)  # of text unknown values are broken, too
    assert found["features"]["temp"] == temp | {"matters": found["features"]["temp"]["matters"]}
    assert sum(each["matters"] for each in found["features"].values()) > 0
    assert found["answers"]["shares"] == evaluation["answers"]["shares"]
    assert (record["slo"], record["retraining"]) == (model.slo.model_dump(), model.retraining.model_dump())
    assert "      shares: [" in (built / "passport.yaml").read_text()  # on one line


def test_a_table_counts_as_the_service_counts_it(model: config.Model, workshop: Path) -> None:
    """The bins of the file's note, row by row."""
    noted = scoring.note(scoring.session(workshop / MODEL / "model.onnx"), "bins")
    rows = pl.read_parquet(next((workshop / "data_schemas" / DATASET_NAME / "data").glob("*.parquet")))
    rows = rows.with_columns(carrier=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("??")).otherwise("carrier"))
    kinds = {name: "string" if rows[name].dtype == pl.String else "number" for name in model.features}
    served = Features({"features": [{"name": n, "type": kinds[n], "bins": noted[n]} for n in model.features]})
    for row in rows.select(model.features).iter_rows():
        served.count([row], [1], {})
    counts = served.values()
    for name in model.features:
        found = np.bincount(bins.places(rows[name], noted[name]), minlength=len(noted[name]) + 2)
        assert [counts[name, place] for place in range(len(found))] == found.tolist()


@pytest.mark.usefixtures("tree")
def test_a_table_like_training_is_within_and_another_is_above(verb: Verb, model: config.Model, tmp_path: Path) -> None:
    rows = samples.rows(model, "train")
    rows.write_parquet(tmp_path / "same.parquet")
    answer = verb("drift", NAME, "--current", str(tmp_path / "same.parquet"))
    assert (answer.code, "1,200 rows as a window of 7d" in answer.out) == (0, True), answer
    page = (MODEL / "build/drift/drift.json").read_text()
    (log := tmp_path / "log").mkdir()
    half = rows.select(model.features).to_dicts()
    lines = [{"model": NAME, "time": f"2026-11-0{1 + 7 * at}T10:00:00Z", "rows": half[at::2]} for at in (0, 1)]
    (log / "requests.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert "rows as a window of 7d" in verb("drift", NAME, "--current", str(log)).out
    assert (MODEL / "build/drift/drift.json").read_text() == page  # what was served, as the table of it
    found = json.loads((MODEL / "build/drift/drift.json").read_text())["features"]
    assert max(each["excess"] for each in found.values()) < 0
    assert found["temp"]["shares"] == pytest.approx(found["temp"]["trained"], abs=0.01)

    other = rows.with_columns(
        dest=pl.lit("ZZZ"), distance=pl.Series([None] * rows.height, dtype=pl.Int64).fill_null(70)
    )
    other = other.with_columns(distance=pl.when(pl.int_range(pl.len()) < 9).then(None).otherwise("distance"))
    other = other.with_columns(distance=pl.when(pl.int_range(pl.len()) > 1197).then(-1).otherwise("distance"))
    other.drop("flight_date").write_csv(tmp_path / "other.csv")
    answer = verb("drift", NAME, "--current", str(tmp_path / "other.csv"), "--window", "7d")
    assert (answer.code, "above a limit: dest, distance" in answer.out) == (1, True), answer
    assert "1,189 rows as a window of 7d, 11 more break the contract" in answer.out
    page = (MODEL / "build/drift/report.html").read_text()
    assert "http" not in page
    assert page.count('class="bins"') == 1 + len(model.features)
    assert '<h2 class="above">dest</h2>' in page


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: rows.drop("temp", "dest"), "lacks dest, temp, which the model reads"),
        (lambda rows: rows.with_columns(temp=pl.lit("warm")), "the column 'temp' is String, not Float64"),
        (lambda rows: rows.head(99), "holds 99 rows that keep the contract; fewer than 100 show no drift"),
        (lambda rows: rows.drop("flight_date"), "has no dates that say how long it is; say it with --window"),
    ],
)
def test_a_table_that_says_nothing_is_refused(
    verb: Verb, model: config.Model, tmp_path: Path, edit: Any, words: str
) -> None:
    edit(samples.rows(model, "test")).write_parquet(tmp_path / "table.parquet")
    refused(verb("drift", NAME, "--current", str(tmp_path / "table.parquet")), words)


def test_figures_of_another_file_are_refused(tree: Path, verb: Verb, tmp_path: Path) -> None:
    trees.configure(tree, {})
    (tree / MODEL / "model.onnx").write_bytes(b"another")
    refused(verb("drift", NAME, "--current", str(tmp_path / "x.csv")), "belongs to another models/specimen_delay/model")
