"""Gates bite: for every gate the fault that it exists for is planted, and found; no evidence is never a pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from models import gates
from models.lib import config
from models.lib.judges import Evidence, Verdict
from tests.models.planted import ASIDE, GONE, only, plant, verdict

# gate -> where the evidence keeps its figures, and a value that is out of its limit
FIGURES: list[tuple[str, str, Any]] = [
    ("roc_auc", "evaluation.metrics.roc_auc.value", 0.69),
    ("log_loss", "evaluation.metrics.log_loss.value", 0.61),
    ("brier", "evaluation.metrics.brier.value", 0.21),
    ("calibration_error", "evaluation.metrics.calibration_error.value", 0.16),
    ("slice_roc_auc", "evaluation.slices.0.roc_auc.value", 0.56),
    ("baseline", "evaluation.metrics.roc_auc.low", 0.64),
    ("baseline", "evaluation.metrics.log_loss.high", 0.60),
    ("champion", "evaluation.metrics.roc_auc.low", 0.64),  # a first release is held against the baseline
    ("champion", "evaluation.metrics.log_loss.high", 0.60),
    ("parity", "measured.parity.largest_difference", 2e-5),
    ("parity", "measured.parity.rows", 9_999),
    ("latency", "measured.latency.one_row.p99_ms", 100.1),
    ("latency", "measured.latency.hundred_rows.p99_ms", 100.1),
    ("size_mb", "measured.size_mb", 10.1),
]
NEEDED = [
    *[(gate, path) for gate, path, _ in FIGURES if gate != "slice_roc_auc"],
    ("slice_roc_auc", "evaluation.slices"),
    ("slice_roc_auc", "evaluation.slices.1.roc_auc.value"),
    ("baseline", "evaluation.base_log_loss"),
    ("champion", "evaluation.base_log_loss"),
    ("parity", "measured.parity"),
    ("latency", "measured.latency"),
]


def test_every_gate_has_a_judge_and_a_planted_fault() -> None:
    assert set(gates.JUDGES) == set(config.Gates.model_fields)
    assert {gate for gate, _, _ in FIGURES} | {"behaviour", "shift"} == set(config.Gates.model_fields)


def test_verdicts_come_in_the_order_of_the_file_and_the_shipped_model_passes(evidence: Evidence) -> None:
    quiet = evidence.model.gates.model_copy(update={"behaviour": config.Behaviour(off=ASIDE)})
    found = gates.judge(replace(evidence, model=evidence.model.model_copy(update={"gates": quiet})))
    assert [each.name for each in found] == list(config.Gates.model_fields)
    assert [(each.name, each.verdict) for each in found[:-1] if each.verdict != "pass"] == []
    assert (found[-1].verdict, found[-1].reason) == ("off", ASIDE)


@pytest.mark.parametrize(("name", "path", "bad"), FIGURES)
def test_a_figure_out_of_its_limit_fails(evidence: Evidence, name: str, path: str, bad: float) -> None:
    assert verdict(evidence, name).verdict == "pass"
    assert verdict(plant(evidence, path, bad), name).verdict == "fail"


@pytest.mark.parametrize("value", [None, math.nan, GONE], ids=["null", "nan", "gone"])
@pytest.mark.parametrize(("name", "path"), NEEDED)
def test_a_gate_without_data_fails(evidence: Evidence, name: str, path: str, value: Any) -> None:
    found = verdict(plant(evidence, path, value), name)
    assert found.verdict == "fail"
    if value is GONE:
        assert (found.reason or "").endswith("is missing")


@pytest.mark.parametrize(
    ("name", "path", "limit"),
    [
        ("roc_auc", "evaluation.metrics.roc_auc.value", 0.70),
        ("log_loss", "evaluation.metrics.log_loss.value", 0.60),
        ("latency", "measured.latency.one_row.p99_ms", 100.0),
        ("size_mb", "measured.size_mb", 10.0),
    ],
)
def test_a_figure_at_its_limit_passes(evidence: Evidence, name: str, path: str, limit: float) -> None:
    assert verdict(plant(evidence, path, limit), name).verdict == "pass"


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_figure_fails_on_either_side(evidence: Evidence, value: float) -> None:
    for name in ("roc_auc", "log_loss"):
        assert verdict(plant(evidence, f"evaluation.metrics.{name}.value", value), name).verdict == "fail"


@pytest.mark.parametrize("name", config.Gates.model_fields)
def test_a_gate_that_is_off_says_why_and_looks_at_nothing(evidence: Evidence, name: str) -> None:
    blind = replace(evidence, evaluation={}, measured={})
    off = {each: type(getattr(evidence.model.gates, each))(off=ASIDE) for each in config.Gates.model_fields}
    found = gates.judge(replace(blind, model=evidence.model.model_copy(update={"gates": config.Gates(**off)})))
    each = next(each for each in found if each.name == name)
    assert each == Verdict(name, "-", "-", "off", ASIDE)


def test_the_worst_slice_is_named_with_its_size(evidence: Evidence) -> None:
    place, bad = next((at, each) for at, each in enumerate(evidence.evaluation["slices"]) if each["slice"] == "UA")
    found = verdict(plant(evidence, f"evaluation.slices.{place}.roc_auc.value", 0.5), "slice_roc_auc")
    assert found.value == "0.5"
    assert f"{bad['column']} {bad['slice']} ({bad['rows']:,} rows)" in (found.reason or "")


def test_a_weak_slice_that_is_too_small_is_not_judged(evidence: Evidence) -> None:
    weak = plant(plant(evidence, "evaluation.slices.0.roc_auc.value", 0.4), "evaluation.slices.0.rows", 39)
    assert verdict(weak, "slice_roc_auc").verdict == "pass"
    assert verdict(plant(weak, "evaluation.slices.0.rows", 40), "slice_roc_auc").verdict == "fail"


def test_no_slice_that_is_large_enough_is_a_failure(evidence: Evidence) -> None:
    found = verdict(evidence, "slice_roc_auc", rows=1_000_000)
    assert (found.verdict, found.reason) == ("fail", "no slice is large enough to judge")


def test_a_large_slice_with_one_outcome_is_a_failure_that_names_it(evidence: Evidence) -> None:
    found = verdict(plant(evidence, "evaluation.slices.1.roc_auc.value", None), "slice_roc_auc")
    assert found.verdict == "fail"
    assert (found.reason or "").endswith("has one outcome only")


def test_a_baseline_that_is_too_high_is_not_beaten(evidence: Evidence) -> None:
    assert verdict(evidence, "baseline", roc_auc=0.95).verdict == "fail"


def test_a_first_release_says_that_there_is_no_champion_and_is_held_against_the_baseline(evidence: Evidence) -> None:
    found = verdict(evidence, "champion")
    assert found.verdict == "pass"
    assert (found.reason or "").startswith("first release: there is no champion")
    assert "ROC AUC at least 0.65" in found.limit
    assert "(base rate)" in found.limit


def test_a_first_release_without_a_stated_baseline_must_beat_chance_and_base_rate(evidence: Evidence) -> None:
    first = only(evidence, "champion")
    stated = first.model.gates.model_copy(update={"baseline": config.Baseline(off="this team states no baseline")})
    first = replace(first, model=first.model.model_copy(update={"gates": stated}))
    for found, expected in ((first, "pass"), (plant(first, "evaluation.metrics.roc_auc.low", 0.49), "fail")):
        each = next(each for each in gates.judge(found) if each.name == "champion")
        assert (each.verdict, "at least 0.5," in each.limit) == (expected, True)
