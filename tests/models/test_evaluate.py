"""Evaluation: the figures of the file that ships, each equal to a direct computation."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from data_schemas.lib import datasets
from models import evaluate
from models.lib import config, drift, importance, samples, scoring
from models.lib.tasks import task
from repo.lib.files import read_json, sha256
from repo.lib.refusal import Refusal
from tests.models.tiny import Tiny
from tests.support.specimens import DATASET, MODEL

CLOSE = pytest.approx  # what is written has five digits


Direct = tuple[pl.DataFrame, Any, Any]


@pytest.fixture(scope="module")
def direct(workshop: Path, model: config.Model) -> Direct:
    """The rows of the test window, what came of them, and what the file answers."""
    months = model.parts.months("test") or []
    table = pl.concat(pl.read_parquet(workshop / DATASET / f"data/{month}.parquet") for month in months)
    score = scoring.scores(scoring.session(workshop / MODEL / "model.onnx"), table)
    return table, (table[model.target.column] > 15).to_numpy(), score


@pytest.fixture(scope="module")
def found(built: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(built / "evaluation.json", "")
    return found


def test_the_figures_are_about_the_shipped_bytes_and_all_rows(
    workshop: Path, found: dict[str, Any], direct: Direct
) -> None:
    target = direct[1]
    assert found["onnx"] == sha256(workshop / MODEL / "model.onnx")
    assert found["rows"] == len(target)
    assert found["level"] == CLOSE(target.mean(), abs=1e-5)
    assert found["trivial"] == CLOSE(log_loss(target, np.full(len(target), target.mean())), abs=1e-5)


def test_a_slices_figures_equal_a_direct_computation(found: dict[str, Any], direct: Direct) -> None:
    table, target, score = direct
    slices = {(each["column"], each["slice"]): each for each in found["slices"]}
    hour = table["sched_dep_minute"].to_numpy() // 60
    for key, rows in {
        ("carrier", "UA"): (table["carrier"] == "UA").to_numpy(),
        ("origin", "LGA"): (table["origin"] == "LGA").to_numpy(),
        ("sched_dep_minute", "480 to 720"): (hour >= 8) & (hour < 12),
    }.items():
        assert slices[key]["rows"] == rows.sum()
        assert slices[key]["level"] == CLOSE(target[rows].mean(), abs=1e-5)
        assert slices[key]["roc_auc"]["value"] == CLOSE(roc_auc_score(target[rows], score[rows]), abs=1e-5)
        assert slices[key]["log_loss"]["value"] == CLOSE(log_loss(target[rows], score[rows]), abs=1e-5)
        assert slices[key]["roc_auc"]["low"] < slices[key]["roc_auc"]["value"] < slices[key]["roc_auc"]["high"]


def test_missing_values_and_those_outside_of_all_bins_are_slices_of_their_own(model: config.Model) -> None:
    table = pl.DataFrame({"carrier": ["b", None, "a", "b"], "temp": [1.0, 10.0, None, 25.0]})
    changed = model.model_copy(update={"slices": {"carrier": "categories", "temp": [0.0, 10.0, 20.0]}})
    assert [(column, name, rows.tolist()) for column, name, rows in samples.slices(changed, table)] == [
        ("carrier", "a", [False, False, True, False]),
        ("carrier", "b", [True, False, False, True]),
        ("carrier", "null", [False, True, False, False]),
        ("temp", "0 to 10", [True, False, False, False]),
        ("temp", "10 to 20", [False, True, False, False]),
        ("temp", "outside", [False, False, False, True]),
        ("temp", "null", [False, False, True, False]),
    ]


def test_the_charts_equal_a_direct_computation(found: dict[str, Any], direct: Direct) -> None:
    _, target, score = direct
    assert [each["bin"] for each in found["reliability"]] == list(range(10))
    assert sum(each["rows"] for each in found["reliability"]) == len(target)
    fifth = (score >= 0.4) & (score < 0.5)
    assert found["reliability"][4]["rows"] == fifth.sum()
    assert found["reliability"][4]["score"] == CLOSE(score[fifth].mean(), abs=1e-5)
    assert found["reliability"][4]["outcome"] == CLOSE(target[fifth].mean(), abs=1e-5)

    false, true, _ = roc_curve(target, score, drop_intermediate=False)
    _, roc, scores = found["charts"]
    curve = roc["series"][1]
    np.testing.assert_allclose(curve["y"], np.interp(curve["x"], false, true), atol=2e-3)
    assert [sum(each["y"]) for each in scores["series"]] == [len(target) - target.sum(), target.sum()]


def test_a_feature_is_worth_what_the_metric_loses_once_it_is_shuffled(
    workshop: Path, found: dict[str, Any], direct: Direct, model: config.Model
) -> None:
    table, target, score = direct
    for place, name in enumerate(model.features):
        order = np.random.Generator(np.random.PCG64(place)).permutation(table.height)
        shuffled = table.with_columns(table[name][order])
        other = scoring.scores(scoring.session(workshop / MODEL / "model.onnx"), shuffled)
        loss = roc_auc_score(target, score) - roc_auc_score(target, other)
        assert found["importance"][name]["value"] == CLOSE(loss, abs=1e-5)
        assert found["importance"][name]["low"] <= found["importance"][name]["high"]


def test_what_matters_is_above_chance_and_no_trifle() -> None:
    found: dict[str, dict[str, float | None]] = {
        "most": {"value": 1.0, "low": 0.9, "high": 1.1},
        "some": {"value": 0.05, "low": 0.01, "high": 0.1},
        "trifle": {"value": 0.04, "low": 0.03, "high": 0.05},
        "chance": {"value": 0.5, "low": -0.1, "high": 1.1},
        "none": {"value": None, "low": None, "high": None},
    }
    assert importance.matters(dict(reversed(found.items()))) == ["most", "some"]
    assert importance.matters({}) == []


def test_the_answers_are_binned_as_the_service_bins_them(workshop: Path, found: dict[str, Any]) -> None:
    rows = pl.concat(pl.read_parquet(workshop / DATASET / f"data/2013-0{month}.parquet") for month in range(1, 7))
    score = scoring.scores(scoring.session(workshop / MODEL / "model.onnx"), rows)
    counts = np.histogram(score, np.linspace(0, 1, 11))[0]
    assert found["answers"]["rows"] == rows.height == 1200
    assert found["answers"]["shares"] == CLOSE(((counts + 0.5) / 1205).tolist(), rel=1e-4)
    assert found["answers"]["chi2"] == CLOSE(27.877, abs=1e-3)  # of nine degrees, from a printed table


@pytest.mark.parametrize(("days", "rows", "is_known"), [(28, 50, True), (28, 30, False), (14, 50, False)])
def test_the_worst_week_of_training_says_how_far_the_metric_may_fall(
    model: config.Model, days: int, rows: int, is_known: bool
) -> None:
    """Weeks of 300 rows, three at least; answers are perfect but for one week, in which they are all alike."""
    dates = [date(2024, 1, 1) + timedelta(days=day) for day in range(days) for _ in range(rows)]
    target = np.arange(days * rows) % 2 * 1.0
    values = np.where((np.arange(days * rows) // rows // 7) == 1, 0.5, target)
    found = evaluate.fall(task.of(model), target, values, drift.Times.of(model, pl.DataFrame({"day": dates})))
    assert found == (CLOSE(roc_auc_score(target, values) - 0.5, abs=1e-5) if is_known else None)


@pytest.mark.usefixtures("tree")
def test_evaluating_again_gives_the_same_figures(found: dict[str, Any], model: config.Model) -> None:
    """In this process, where the pipeline's was another."""
    assert evaluate.evaluate(model) == found


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("binary", float("inf")),
        ("binary", -0.01),
        ("binary", 1.01),
        ("multiclass", float("nan")),
        ("multiclass", -0.01),
        ("multiclass", 0.99),  # no longer sums to 1
        ("regression", float("nan")),
    ],
)
def test_what_a_task_may_not_answer_is_refused(
    tinies: Tiny, monkeypatch: pytest.MonkeyPatch, word: str, wrong: float
) -> None:
    monkeypatch.chdir(tinies.root)
    model, scores = tinies.evidence(word).model, scoring.scores

    def spoilt(*given: Any) -> Any:
        values = scores(*given)
        values[(5, *[0] * (values.ndim - 1))] = wrong
        return values

    monkeypatch.setattr(scoring, "scores", spoilt)
    with pytest.raises(Refusal, match=r"model\.onnx gives \w+ outside .* or not finite; fix .*network\.py"):
        evaluate.evaluate(model)


def test_rows_of_no_class_are_refused_with_their_number(tinies: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tinies.root)
    model = tinies.evidence("multiclass").model
    two = model.target.model_copy(update={"classes": ["low", "mid"]})
    with pytest.raises(
        Refusal, match=r"^models/tiny_multiclass/model\.yaml: target: 200 rows of 2013-03 have no outcome"
    ):
        samples.table(model.model_copy(update={"target": two}), "test")


@pytest.mark.parametrize("none", [None, float("nan")])
def test_rows_without_an_outcome_are_in_no_part(tinies: Tiny, monkeypatch: pytest.MonkeyPatch, none: Any) -> None:
    monkeypatch.chdir(tinies.root)
    known = datasets.read("tiny", ["2013-03"]).with_columns(
        amount=pl.when(pl.col("late")).then(none).otherwise("amount")
    )
    monkeypatch.setattr(datasets, "read", lambda *_: known)
    found = samples.table(tinies.evidence("regression").model, "test")
    assert (found.height, found["target"].null_count()) == (600 - known["late"].sum(), 0)


@pytest.mark.parametrize(
    ("word", "rows"),
    [("binary", pl.col("late")), ("multiclass", pl.col("kind") == "high"), ("regression", pl.col("x") > 2)],
)
def test_one_outcome_only_is_refused(tinies: Tiny, monkeypatch: pytest.MonkeyPatch, word: str, rows: pl.Expr) -> None:
    monkeypatch.chdir(tinies.root)
    found = datasets.read("tiny", ["2013-03"]).filter(rows)
    monkeypatch.setattr(datasets, "read", lambda *_: found.with_columns(amount=50_000.0))
    with pytest.raises(Refusal, match=r"model\.yaml: the test rows \(2013-03\) have one outcome only, on which"):
        evaluate.evaluate(tinies.evidence(word).model)


@pytest.mark.usefixtures("tree")
def test_a_file_that_wants_other_columns_is_refused(model: config.Model) -> None:
    runtime = scoring.session(model.onnx)
    with pytest.raises(Refusal, match="input 'carrier' is not a column of the table"):
        scoring.scores(runtime, pl.DataFrame({"origin": ["EWR"]}))
