"""A limit that production itself misses, and answers that change for callers: what passes, and how loudly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.lib import compare, config
from models.lib.judges import BELOW, Evidence
from models.lib.report import figures
from models.lib.tasks import task
from tests.models.planted import CHAMPION, changed, compared, plant, verdict
from tests.models.tiny import Tiny

# task, metric, a value beyond its limit, one that keeps it, and what lies between
BAD = [
    ("binary", "roc_auc", 0.7, 0.9, 0.01),
    ("binary", "log_loss", 0.6, 0.3, 0.01),
    ("multiclass", "macro_f1", 0.5, 0.7, 0.01),
    ("regression", "rmse", 6500.0, 5000.0, 10.0),
    ("regression", "r2", 0.5, 0.7, 0.01),
]


def against(evidence: Evidence, metrics: Any = None, slices: Any = (0.75, -0.01, 0.01), shift: Any = None) -> Evidence:
    """Champion's value and the interval of the difference, by metric; `slices`: of each of them."""

    def figure(value: float, low: float, high: float) -> dict[str, Any]:
        return {"champion": value, "difference": {"value": (low + high) / 2, "low": low, "high": high}}

    of_slices = [
        {"column": each["column"], "slice": each["slice"]} | figure(*slices) for each in evidence.evaluation["slices"]
    ]
    found = {name: figure(*each) for name, each in (metrics or {}).items()}
    return compared(evidence, {"metrics": found, "slices": of_slices, "shift": shift})


@pytest.mark.parametrize(("word", "name", "bad", "good", "by"), BAD)
def test_a_limit_that_the_champion_misses_too_is_passed_loudly_by_what_is_not_worse(
    tinies: Tiny, word: str, name: str, bad: float, good: float, by: float
) -> None:
    planted = plant(tinies.evidence(word), f"evaluation.metrics.{name}.value", bad)
    found = verdict(against(planted, {name: (bad, -by, by)}), name)
    assert found.verdict == BELOW
    assert "0123456789ab in production has" in (found.reason or "")
    lower, higher = (-3 * by, -by), (by, 3 * by)
    worse, better = (lower, higher) if good > bad else (higher, lower)
    assert verdict(against(planted, {name: (bad, *better)}), name).verdict == BELOW
    assert verdict(against(planted, {name: (bad, *worse)}), name).verdict == "fail"
    assert verdict(against(planted, {name: (good, -by, by)}), name).verdict == "fail"
    assert verdict(planted, name).verdict == "fail"


@pytest.fixture
def evidence(tinies: Tiny) -> Evidence:
    return tinies.evidence("regression")


@pytest.fixture
def large(evidence: Evidence) -> Evidence:
    """With an RMSE beyond its limit."""
    return plant(evidence, "evaluation.metrics.rmse.value", 6500.0)


@pytest.mark.parametrize("off", [{"below_limits": "refused"}, {"off": "not compared in this test", "margin": None}])
def test_a_team_can_switch_it_off(large: Evidence, off: dict[str, Any]) -> None:
    settings = large.model.gates.model_copy(update={"champion": large.model.gates.champion.model_copy(update=off)})
    switched = replace(large, model=large.model.model_copy(update={"gates": settings}))
    assert verdict(against(switched, {"rmse": (6500.0, -1, 1)}), "rmse").verdict == "fail"


def test_no_figure_of_the_champion_is_no_excuse(large: Evidence) -> None:
    nothing = {"champion": None, "difference": dict.fromkeys(("value", "low", "high"))}
    assert verdict(compared(large, {"metrics": {"rmse": nothing}}), "rmse").verdict == "fail"
    undefined = plant(large, "evaluation.metrics.rmse.value", float("nan"))
    assert verdict(against(undefined, {"rmse": (5000.0, -1, 1)}), "rmse").verdict == "fail"


def test_slices_are_excused_each_by_its_own(evidence: Evidence) -> None:
    planted = plant(evidence, "evaluation.slices.0.rmse.value", 7500.0)
    assert verdict(against(planted, slices=(7500.0, -1, 1)), "slice_rmse").verdict == BELOW
    assert verdict(against(planted, slices=(5000.0, 2400, 2600)), "slice_rmse").verdict == "fail"


def test_a_stated_baseline_that_production_misses_too_is_excused(evidence: Evidence) -> None:
    planted = plant(evidence, "evaluation.metrics.rmse.high", 8100.0)
    for champion, expected in (((8100.0, -1, 1), BELOW), ((7000.0, -1, 1), "fail"), ((8100.0, 1, 3), "fail")):
        assert verdict(against(planted, {"rmse": champion}), "baseline").verdict == expected
    assert verdict(planted, "baseline").verdict == "fail"


BINARY = {"moved": 0.1, "levels": [0.3, 0.25]}
REGRESSION = {"moved": 0.5, "levels": [40_000.0, 40_900.0]}  # the outcome's standard deviation is 10,149


@pytest.mark.parametrize(
    ("word", "shift", "good"),
    [
        ("binary", BINARY, True),
        ("binary", BINARY | {"moved": 0.26}, False),
        ("binary", BINARY | {"levels": [0.2, 0.31]}, False),
        ("binary", BINARY | {"levels": [0.31, 0.2]}, False),
        ("binary", BINARY | {"levels": [0.0, 0.1]}, False),
        ("binary", BINARY | {"levels": [0.0, 0.0]}, True),
        ("multiclass", {"moved": 0.25, "levels": [0.1, 0.9]}, True),
        ("multiclass", {"moved": 0.26, "levels": [0.5, 0.5]}, False),
        ("regression", REGRESSION, True),
        ("regression", REGRESSION | {"moved": 0.51}, False),
        ("regression", REGRESSION | {"levels": [40_000.0, 41_100.0]}, False),
        ("regression", REGRESSION | {"levels": [40_000.0, 38_900.0]}, False),
    ],
)
def test_answers_that_change_more_than_stated_must_be_meant(
    tinies: Tiny, word: str, shift: dict[str, Any], good: bool
) -> None:
    evidence, why = against(tinies.evidence(word), shift=shift), "stricter from now on, agreed with the desk"
    found = verdict(evidence, "shift")
    assert found.verdict == ("pass" if good else "fail")
    assert good or "serving.shift of models/" in (found.reason or "")
    serving = evidence.model.serving.model_copy(update={"shift": why})
    meant = changed(evidence, model=evidence.model.model_copy(update={"serving": serving}))
    found = verdict(meant, "shift")
    assert (found.verdict, found.reason) == ("pass", None if good else f"meant: {why}")
    former = compared(meant, meant.comparison, replace(CHAMPION, served={"shift": why}))
    found = verdict(former, "shift")
    assert found.verdict == ("pass" if good else "fail")
    assert good or "still the reason of 0123456789ab" in (found.reason or "")


@pytest.mark.parametrize("spread", [None, float("nan"), 0.0])
def test_a_move_of_the_mean_is_held_against_a_spread_that_is_there(evidence: Evidence, spread: Any) -> None:
    still = against(evidence, shift=REGRESSION | {"levels": [40_000.0, 40_000.0]})
    assert (verdict(evidence, "shift").verdict, verdict(still, "shift").verdict) == ("pass", "pass")  # first release
    assert verdict(plant(still, "evaluation.spread", spread), "shift").verdict == "fail"


def test_what_callers_notice_is_counted_by_each_models_own_threshold(model: config.Model) -> None:
    column = next(iter(model.slices))
    made = model.model_copy(update={"slices": {column: "categories"}})
    rows = pl.DataFrame({column: ["a"] * 300 + ["b"] * 100})
    before, now = np.full(400, 0.45), np.r_[np.full(300, 0.45), np.full(100, 0.2)]
    rows = rows.with_columns(arr_delay=pl.Series(range(400)))
    found = compare.shift(made, rows, before, now, {"threshold": 0.5})
    threshold = model.serving.threshold  # type: ignore[attr-defined]
    assert 0.2 < threshold < 0.45
    assert (found["moved"], found["levels"]) == (0.75, [0.0, 0.75])
    assert [sum(bins) for bins in found["bins"]] == [400, 400]
    assert [each["slice"] for each in found["slices"]] == ["a"]  # of two hundred rows and more
    head, shown = figures.shift(task.of(made), compare.NONE | {"shift": found})
    assert len(head) == 4
    assert shown[0][2] == "75.0%"
