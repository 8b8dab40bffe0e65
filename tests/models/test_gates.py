"""Gates bite: for every gate the fault that it exists for is planted, and found; no evidence is never a pass."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_schemas.files import read_json
from models import config, gates
from models.gates import Evidence, Verdict
from tests.models import trees
from tests.models.trees import MODEL, Answer

ASIDE = "not the gate that this test is about"
GONE = object()  # delete the figure

# gate -> where the evidence keeps its figures, and a value that is out of its limit
FIGURES: list[tuple[str, str, Any]] = [
    ("roc_auc", "evaluation.metrics.roc_auc.value", 0.69),
    ("log_loss", "evaluation.metrics.log_loss.value", 0.61),
    ("brier", "evaluation.metrics.brier.value", 0.21),
    ("calibration_error", "evaluation.metrics.calibration_error.value", 0.07),
    ("slice_roc_auc", "evaluation.slices.0.roc_auc.value", 0.56),
    ("baseline", "evaluation.metrics.roc_auc.low", 0.64),
    ("baseline", "evaluation.metrics.log_loss.high", 0.56),
    ("champion", "evaluation.metrics.roc_auc.low", 0.64),  # a first release is held against the baseline
    ("champion", "evaluation.metrics.log_loss.high", 0.56),
    ("parity", "measured.parity.largest_difference", 2e-5),
    ("latency", "measured.latency.one_row.p99_ms", 2.1),
    ("latency", "measured.latency.hundred_rows.p99_ms", 10.1),
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


def only(evidence: Evidence, name: str, **limits: Any) -> Evidence:
    """The same evidence with every other gate off; `limits` replace those of model.yaml."""
    found = evidence.model.gates
    off = {other: type(getattr(found, other))(off=ASIDE) for other in config.Gates.model_fields if other != name}
    if name == "champion":
        del off["baseline"]  # what a first release is held against
    judged = found.model_copy(update=off | {name: getattr(found, name).model_copy(update=limits)})
    return replace(evidence, model=evidence.model.model_copy(update={"gates": judged}))


def verdict(evidence: Evidence, name: str, **limits: Any) -> Verdict:
    return next(each for each in gates.judge(only(evidence, name, **limits)) if each.name == name)


def plant(evidence: Evidence, path: str, value: Any) -> Evidence:
    """The evidence with one figure replaced or, if the value is GONE, deleted."""
    part, *keys = path.split(".")
    found = copy.deepcopy(getattr(evidence, part))
    place: Any = found
    for key in keys[:-1]:
        place = place[int(key) if key.isdigit() else key]
    if value is GONE:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return replace(evidence, **{part: found})


def test_every_gate_has_a_judge_and_a_planted_fault() -> None:
    assert set(gates.JUDGES) == set(config.Gates.model_fields)
    assert {gate for gate, _, _ in FIGURES} | {"behaviour"} == set(config.Gates.model_fields)


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
    assert verdict(plant(evidence, path, value), name).verdict == "fail"


@pytest.mark.parametrize(
    ("name", "path", "limit"),
    [
        ("roc_auc", "evaluation.metrics.roc_auc.value", 0.70),
        ("log_loss", "evaluation.metrics.log_loss.value", 0.60),
        ("latency", "measured.latency.one_row.p99_ms", 2.0),
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
    weak = plant(plant(evidence, "evaluation.slices.0.roc_auc.value", 0.4), "evaluation.slices.0.rows", 499)
    assert verdict(weak, "slice_roc_auc").verdict == "pass"
    assert verdict(plant(weak, "evaluation.slices.0.rows", 500), "slice_roc_auc").verdict == "fail"


def test_no_slice_that_is_large_enough_is_a_failure(evidence: Evidence) -> None:
    found = verdict(evidence, "slice_roc_auc", rows=1_000_000)
    assert (found.verdict, found.reason) == ("fail", "no slice is large enough to judge")


def test_a_large_slice_with_one_outcome_is_a_failure_that_names_it(evidence: Evidence) -> None:
    found = verdict(plant(evidence, "evaluation.slices.1.roc_auc.value", None), "slice_roc_auc")
    assert found.verdict == "fail"
    assert (found.reason or "").endswith("has one outcome only")


def test_a_baseline_that_is_too_high_is_not_beaten(evidence: Evidence) -> None:
    assert verdict(evidence, "baseline", roc_auc=0.8).verdict == "fail"


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


@pytest.fixture
def tiny(tree: Path) -> Path:
    """The tree with one behaviour test that passes, and calm latencies."""
    behave("def test_one(): pass\n")
    trees.edit(tree / MODEL / "model.yaml", "behaviour: {tests: 10}", "behaviour: {tests: 1}")
    measured = read_json(tree / MODEL / "build/measured.json", "")
    for each in measured["latency"].values():
        each["p99_ms"] = 0.1
    (tree / MODEL / "build/measured.json").write_text(json.dumps(measured))
    return tree


def behave(text: str) -> None:
    (MODEL / "test_behaviour.py").write_text(text)


PASSING = "def test_one(): pass\ndef test_two(): pass\n"
BEHAVIOURS = {
    "fails": (PASSING + "def test_late_is_late(): assert False\n", 2, "2 of 3 passed", "test_late_is_late"),
    "skipped": (PASSING + "import pytest\n@pytest.mark.skip\ndef test_three(): pass\n", 2, "2 of 3 passed", None),
    "too few": (PASSING, 3, "2 of 2 passed", None),
    "error": (
        "import pytest\n@pytest.fixture\ndef x(): 1 / 0\ndef test_one(x): pass\n",
        1,
        "0 of 1 passed",
        "test_one",
    ),
    "syntax": ("def test_one(: pass\n", 1, "0 of 1 passed", "test_behaviour"),
    "empty": ("", 1, "0 of 0 passed", None),
}


@pytest.mark.parametrize("fault", BEHAVIOURS)
def test_behaviour_that_was_not_shown_fails(tiny: Path, evidence: Evidence, fault: str) -> None:
    assert tiny.is_dir()
    text, tests, value, named = BEHAVIOURS[fault]
    behave(text)
    found = verdict(evidence, "behaviour", tests=tests)
    assert (found.verdict, found.value) == ("fail", value)
    assert (named or "") in (found.reason or "")


def test_behaviour_tests_that_are_missing_fail(tiny: Path, evidence: Evidence) -> None:
    (tiny / MODEL / "test_behaviour.py").unlink()
    found = verdict(evidence, "behaviour")
    assert (found.verdict, found.reason) == ("fail", "models/flight_delay/test_behaviour.py is missing")


def test_the_verb_writes_a_passport_that_passes_and_ends_with_0(tiny: Path, verb: Callable[..., Answer]) -> None:
    answer = verb("gates", "flight_delay")
    assert (answer.code, answer.error) == (0, "")
    record = yaml.safe_load((tiny / MODEL / "build/passport.yaml").read_text())
    assert record["verdict"] == "pass"
    assert [gate["name"] for gate in record["gates"]] == list(config.Gates.model_fields)
    assert record["gates"][-1]["value"] == "1 of 1 passed"
    assert record["version"] in answer.out


def test_one_gate_that_fails_fails_the_passport_and_ends_with_1(tiny: Path, verb: Callable[..., Answer]) -> None:
    trees.edit(tiny / MODEL / "model.yaml", "brier: {at_most: 0.20}", "brier: {at_most: 0.10}")
    assert verb("gates", "flight_delay").code == 1
    record = yaml.safe_load((tiny / MODEL / "build/passport.yaml").read_text())
    assert record["verdict"] == "fail"
    assert [gate["name"] for gate in record["gates"] if gate["verdict"] == "fail"] == ["brier"]


def test_a_gate_that_is_off_is_in_the_passport_with_its_reason(tiny: Path, verb: Callable[..., Answer]) -> None:
    trees.edit(tiny / MODEL / "model.yaml", "brier: {at_most: 0.20}", "brier: {off: log-loss says the same}")
    assert verb("gates", "flight_delay").code == 0
    record = yaml.safe_load((tiny / MODEL / "build/passport.yaml").read_text())
    brier = next(gate for gate in record["gates"] if gate["name"] == "brier")
    assert (brier["verdict"], brier["reason"]) == ("off", "log-loss says the same")


@pytest.mark.parametrize("name", ["evaluation", "measured"])
@pytest.mark.parametrize("fault", ["another file's", "missing", "broken"])
def test_figures_of_another_file_are_refused_and_no_passport_is_written(
    tree: Path, verb: Callable[..., Answer], name: str, fault: str
) -> None:
    path, passport = tree / MODEL / f"build/{name}.json", tree / MODEL / "build/passport.yaml"
    before = passport.read_bytes()
    if fault == "missing":
        path.unlink()
    else:
        path.write_text("{" if fault == "broken" else '{"onnx": "0123"}')
    answer = verb("gates", "flight_delay")
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert f"{MODEL}/build/{name}.json" in answer.error
    assert "`python -m models run flight_delay`" in answer.error
    assert passport.read_bytes() == before
