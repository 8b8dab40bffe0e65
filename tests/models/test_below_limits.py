"""A limit that production itself misses, and labels that change for callers: what passes, and how loudly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from models import gates
from models.lib import compare, config, judges
from models.lib.champion import Champion
from models.lib.judges import BELOW, Evidence
from models.lib.report import figures
from tests.models.planted import plant, verdict

CHAMPION = Champion("0123456789ab", "f" * 64, "c" * 40, served={"strategy": "canary", "slow_ms": 1.0, "threshold": 0.4})
BAD = {"roc_auc": 0.69, "log_loss": 0.61, "brier": 0.21, "calibration_error": 0.2}  # beyond the limits of the tests


class Compared(Evidence):
    """With a comparison that is made up."""

    comparison: dict[str, Any]


def compared(evidence: Evidence, metrics: Any = None, slices: Any = (0.75, -0.01, 0.01), shift: Any = None) -> Evidence:
    """Champion's value and the interval of the difference, by metric; `slices`: of each of them."""

    def figure(value: float, low: float, high: float) -> dict[str, Any]:
        return {"champion": value, "difference": {"value": (low + high) / 2, "low": low, "high": high}}

    found = Compared(evidence.model, evidence.evaluation, evidence.measured, CHAMPION)
    found.__dict__["comparison"] = {
        "metrics": {name: figure(*each) for name, each in (metrics or {}).items()},
        "slices": [
            {"column": e["column"], "slice": e["slice"]} | figure(*slices) for e in evidence.evaluation["slices"]
        ],
        "shift": shift,
    }
    return found


def judged(evidence: Evidence, name: str, **limits: Any) -> judges.Verdict:
    """The verdict of one gate, with the champion's gate on: it is what says that a comparison may excuse."""
    gate = getattr(evidence.model.gates, name).model_copy(update=limits)
    return gates.JUDGES[name](name, gate, evidence)


@pytest.mark.parametrize("name", BAD)
def test_a_limit_that_the_champion_misses_too_is_passed_loudly_by_what_is_not_worse(
    evidence: Evidence, name: str
) -> None:
    planted = plant(evidence, f"evaluation.metrics.{name}.value", BAD[name])
    found = judged(compared(planted, {name: (BAD[name], -0.01, 0.01)}), name)
    assert found.verdict == BELOW
    assert "0123456789ab in production has" in (found.reason or "")


@pytest.mark.parametrize("name", BAD)
def test_what_is_worse_than_a_fallen_champion_fails(evidence: Evidence, name: str) -> None:
    planted = plant(evidence, f"evaluation.metrics.{name}.value", BAD[name])
    worse = (-0.03, -0.01) if name == "roc_auc" else (0.01, 0.03)
    assert judged(compared(planted, {name: (BAD[name], *worse)}), name).verdict == "fail"


@pytest.mark.parametrize("name", BAD)
def test_a_champion_that_keeps_the_limit_excuses_nobody(evidence: Evidence, name: str) -> None:
    planted = plant(evidence, f"evaluation.metrics.{name}.value", BAD[name])
    good = 0.75 if name == "roc_auc" else 0.01
    assert judged(compared(planted, {name: (good, -0.01, 0.01)}), name).verdict == "fail"


def test_without_a_champion_no_limit_is_excused(evidence: Evidence) -> None:
    planted = plant(evidence, "evaluation.metrics.brier.value", 0.21)
    assert judged(planted, "brier").verdict == "fail"


@pytest.mark.parametrize("off", [{"below_limits": "refused"}, {"off": "not compared in this test", "margin": None}])
def test_a_team_can_switch_it_off(evidence: Evidence, off: dict[str, Any]) -> None:
    planted = plant(evidence, "evaluation.metrics.brier.value", 0.21)
    settings = planted.model.gates.model_copy(update={"champion": planted.model.gates.champion.model_copy(update=off)})
    planted = replace(planted, model=planted.model.model_copy(update={"gates": settings}))
    assert judged(compared(planted, {"brier": (0.21, -0.01, 0.01)}), "brier").verdict == "fail"


def test_no_figure_of_the_champion_is_no_excuse(evidence: Evidence) -> None:
    planted = compared(plant(evidence, "evaluation.metrics.brier.value", 0.21), {"brier": (0.21, -0.01, 0.01)})
    planted.comparison["metrics"]["brier"] = {"champion": None, "difference": dict.fromkeys(("value", "low", "high"))}
    assert judged(planted, "brier").verdict == "fail"
    nothing = plant(evidence, "evaluation.metrics.brier.value", float("nan"))
    assert judged(compared(nothing, {"brier": (0.1, -0.01, 0.01)}), "brier").verdict == "fail"


def test_slices_are_excused_each_by_its_own(evidence: Evidence) -> None:
    planted = plant(evidence, "evaluation.slices.0.roc_auc.value", 0.5)
    assert judged(compared(planted, slices=(0.5, -0.01, 0.01)), "slice_roc_auc").verdict == BELOW
    assert judged(compared(planted, slices=(0.75, -0.3, -0.2)), "slice_roc_auc").verdict == "fail"


def test_a_stated_baseline_that_production_misses_too_is_excused(evidence: Evidence) -> None:
    planted = plant(evidence, "evaluation.metrics.roc_auc.low", 0.64)
    assert judged(compared(planted, {"roc_auc": (0.64, -0.01, 0.01)}), "baseline").verdict == BELOW
    assert judged(compared(planted, {"roc_auc": (0.70, -0.01, 0.01)}), "baseline").verdict == "fail"
    assert judged(compared(planted, {"roc_auc": (0.64, -0.03, -0.01)}), "baseline").verdict == "fail"
    assert judged(planted, "baseline").verdict == "fail"


CALM = {"labels": 0.1, "positive": [0.3, 0.25], "bins": [[1] * 10, [1] * 10], "slices": []}


@pytest.mark.parametrize(
    ("shift", "good"),
    [
        (CALM, True),
        (CALM | {"labels": 0.26}, False),
        (CALM | {"positive": [0.2, 0.31]}, False),
        (CALM | {"positive": [0.31, 0.2]}, False),
        (CALM | {"positive": [0.0, 0.1]}, False),
        (CALM | {"positive": [0.0, 0.0]}, True),
    ],
)
def test_labels_that_change_more_than_stated_must_be_meant(
    evidence: Evidence, shift: dict[str, Any], good: bool
) -> None:
    found = judged(compared(evidence, shift=shift), "shift")
    assert found.verdict == ("pass" if good else "fail")
    assert good or "serving.shift of models/" in (found.reason or "")
    message = settings(compared(evidence, shift=shift), "a stricter label, agreed with the desk")
    assert judged(message, "shift").verdict == "pass"
    assert good or judged(message, "shift").reason == "meant: a stricter label, agreed with the desk"


def settings(evidence: Evidence, reason: str) -> Evidence:
    served = evidence.model.serving.model_copy(update={"shift": reason})
    made = Compared(evidence.model.model_copy(update={"serving": served}), {}, {}, evidence.champion)
    made.__dict__["comparison"] = evidence.comparison
    return made


def test_the_reason_of_the_release_before_is_none_for_the_next(evidence: Evidence) -> None:
    message = settings(compared(evidence, shift=CALM | {"labels": 0.5}), "a stricter label, agreed with the desk")
    former = replace(CHAMPION, served={"shift": "a stricter label, agreed with the desk"})
    again = Compared(message.model, {}, {}, former)
    again.__dict__["comparison"] = message.comparison
    found = judged(again, "shift")
    assert found.verdict == "fail"
    assert "still the reason of 0123456789ab" in (found.reason or "")


def test_a_first_release_changes_nobodys_labels(evidence: Evidence) -> None:
    assert verdict(evidence, "shift").verdict == "pass"


def test_what_callers_notice_is_counted_by_each_models_own_threshold(model: config.Model) -> None:
    column = next(iter(model.slices))
    made = model.model_copy(update={"slices": {column: "categories"}})
    rows = pl.DataFrame({column: ["a"] * 300 + ["b"] * 100})
    before, now = np.full(400, 0.45), np.r_[np.full(300, 0.45), np.full(100, 0.2)]
    found = compare.shift(made, rows, before, now, threshold=0.5)
    threshold = model.serving.threshold
    assert 0.2 < threshold < 0.45
    assert (found["labels"], found["positive"]) == (0.75, [0.0, 0.75])
    assert [sum(bins) for bins in found["bins"]] == [400, 400]
    assert [each["slice"] for each in found["slices"]] == ["a"]  # of two hundred rows and more
    head, shown = figures.shift(compare.NONE | {"shift": found})
    assert len(head) == 4
    assert shown[0][2] == "75.0%"
