"""Gates bite: for every gate the fault that it exists for is planted, and found; no evidence is never a pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from models import gates
from models.lib.judges import Verdict
from models.lib.tasks import task
from tests.models.planted import ASIDE, GONE, only, plant, verdict
from tests.models.tiny import TASKS, Tiny

# of a first release, which is held against the baseline: a bound, and what it may not be
FIRST = {
    "binary": [("roc_auc.low", 0.64), ("log_loss.high", 0.67)],
    "multiclass": [("macro_f1.low", 0.39), ("log_loss.high", 1.1)],
    "regression": [("rmse.high", 8000.1)],
}
# about the file, whatever it answers: a gate, where its figures are, and a value that is out of its limit
OF_FILE: list[tuple[str, str, Any]] = [
    ("parity", "measured.parity.largest_difference", 2e-5),
    ("parity", "measured.parity.rows", 9_999),
    ("latency", "measured.latency.one_row.p99_ms", 2.1),
    ("latency", "measured.latency.hundred_rows.p99_ms", 10.1),
    ("size_mb", "measured.size_mb", 10.1),
]


def figures(word: str) -> list[tuple[str, str, Any]]:
    """The same of what a model of this task answers."""
    found: list[tuple[str, str, Any]] = [("plausible", "evaluation.alone.0.value", 0.95)]
    for name, limit in TASKS[word][2].items():
        where = {"slice_": "slices.0", "class_": "classes.2"}.get(name[:6], "metrics")
        figure = name.removeprefix("slice_").removeprefix("class_")
        found.append((name, f"evaluation.{where}.{figure}.value", abs(limit) - 0.01 * limit))
    for path, bad in FIRST[word]:
        found += [(gate, f"evaluation.metrics.{path}", bad) for gate in ("baseline", "champion")]
    return found


FIGURES = {word: figures(word) + (OF_FILE if word == "binary" else []) for word in TASKS}
PLANTED = [(word, *each) for word, found in FIGURES.items() for each in found]
NEEDED = [
    *((word, gate, path) for word, gate, path, _ in PLANTED),
    *((word, gate, "evaluation.trivial") for word in TASKS for gate in ("baseline", "champion")),
    *((word, gate, "evaluation.slices") for word, gate, _, _ in PLANTED if gate.startswith("slice_")),
    ("binary", "parity", "measured.parity"),
    ("binary", "latency", "measured.latency"),
]


@pytest.mark.parametrize("word", TASKS)
def test_every_gate_of_a_task_has_a_planted_fault(word: str) -> None:
    """But for `shift` (test_below_limits.py) and `behaviour` (test_gates_verb.py)."""
    every = set(task.settings(word).model_fields["gates"].annotation.model_fields)  # type: ignore[union-attr]
    assert {gate for gate, _, _ in [*FIGURES[word], *OF_FILE]} | {"shift", "behaviour"} == every


@pytest.mark.parametrize("word", TASKS)
def test_verdicts_come_in_their_order_and_a_sound_model_passes(tinies: Tiny, word: str) -> None:
    evidence = tinies.evidence(word)
    behaviour = evidence.model.gates.behaviour.model_copy(update={"off": ASIDE, "tests": None})
    quiet = evidence.model.gates.model_copy(update={"behaviour": behaviour})
    found = gates.judge(replace(evidence, model=evidence.model.model_copy(update={"gates": quiet})))
    assert [each.name for each in found] == evidence.model.gate_names
    assert set(evidence.model.gate_names) == set(type(evidence.model.gates).model_fields)
    assert [(each.name, each.verdict) for each in found[:-1] if each.verdict != "pass"] == []
    assert (found[-1].verdict, found[-1].reason) == ("off", ASIDE)


@pytest.mark.parametrize(("word", "name", "path", "bad"), PLANTED)
def test_a_figure_out_of_its_limit_fails(tinies: Tiny, word: str, name: str, path: str, bad: float) -> None:
    evidence = tinies.evidence(word)
    assert verdict(evidence, name).verdict == "pass"
    assert verdict(plant(evidence, path, bad), name).verdict == "fail"


@pytest.mark.parametrize("value", [None, math.nan, GONE], ids=["null", "nan", "gone"])
@pytest.mark.parametrize(("word", "name", "path"), NEEDED)
def test_a_gate_without_data_fails(tinies: Tiny, word: str, name: str, path: str, value: Any) -> None:
    found = verdict(plant(tinies.evidence(word), path, value), name)
    assert found.verdict == "fail"
    if value is GONE:
        assert (found.reason or "").endswith("is missing")


def test_a_figure_at_its_limit_passes_and_an_infinite_one_fails_on_either_side(tinies: Tiny) -> None:
    evidence = tinies.evidence("regression")
    for name, limit in (("rmse", 6000.0), ("r2", 0.6)):
        judged = [
            verdict(plant(evidence, f"evaluation.metrics.{name}.value", each), name)
            for each in (limit, math.inf, -math.inf)
        ]
        assert [each.verdict for each in judged] == ["pass", "fail", "fail"]


@pytest.mark.parametrize("word", TASKS)
def test_a_gate_that_is_off_says_why_and_looks_at_nothing(tinies: Tiny, word: str) -> None:
    blind = replace(tinies.evidence(word), evaluation={}, measured={})
    names = blind.model.gate_names
    off = type(blind.model.gates).model_validate({name: {"off": ASIDE} for name in names})
    found = gates.judge(replace(blind, model=blind.model.model_copy(update={"gates": off})))
    assert found == [Verdict(name, "-", "-", "off", ASIDE) for name in names]


def test_the_worst_slice_that_is_large_enough_is_judged_and_named(tinies: Tiny) -> None:
    """Two have 282 and 309 rows, and the third has 9; the smallest RMSE is the best one."""
    evidence = tinies.evidence("regression")
    found = verdict(plant(evidence, "evaluation.slices.1.rmse.value", 7777.0), "slice_rmse")
    assert (found.value, found.reason) == ("7777", "worst of 2 slices: side right (282 rows)")
    weak = plant(evidence, "evaluation.slices.2.rmse.value", 9999.0)
    assert (verdict(weak, "slice_rmse").verdict, verdict(weak, "slice_rmse", rows=9).verdict) == ("pass", "fail")
    found = verdict(plant(evidence, "evaluation.slices.1.rmse.value", None), "slice_rmse")
    assert (found.verdict, found.reason) == ("fail", "side right has one outcome only")
    for word, name, which in (("multiclass", "class_recall", "class"), ("regression", "slice_rmse", "slice")):
        found = verdict(tinies.evidence(word), name, rows=1_000_000)
        assert (found.verdict, found.reason) == ("fail", f"no {which} is large enough to judge")


CHANCE = "log-loss under 1.082 (shares of the classes)"
FIRSTS = [
    ("binary", "ROC AUC at least 0.65, log-loss under 0.6607 (base rate)", "at least 0.5,", "roc_auc.low", 0.49),
    ("multiclass", f"macro F1 at least 0.4, {CHANCE}", "at least 0.333", "macro_f1.low", 0.33),
    ("regression", "RMSE at most 8000, RMSE under 1.015e+04 (the mean)", "at most 10149", "rmse.high", 10_150),
]


@pytest.mark.parametrize(("word", "limit", "chance", "path", "bad"), FIRSTS)
def test_a_first_release_must_beat_the_stated_baseline_or_without_one_chance(
    tinies: Tiny, word: str, limit: str, chance: str, path: str, bad: float
) -> None:
    first = only(tinies.evidence(word), "champion")
    found = verdict(first, "champion")
    assert (found.verdict, found.limit) == ("pass", limit)
    assert (found.reason or "").startswith("first release: there is no champion")
    off = type(first.model.gates.baseline)(off="this team states no baseline")  # type: ignore[attr-defined]
    gates_of = first.model.gates.model_copy(update={"baseline": off})
    first = replace(first, model=first.model.model_copy(update={"gates": gates_of}))
    for evidence, expected in ((first, "pass"), (plant(first, f"evaluation.metrics.{path}", bad), "fail")):
        each = next(each for each in gates.judge(evidence) if each.name == "champion")
        assert (each.verdict, chance in each.limit) == (expected, True)
