"""What is too good to be true: the target in a feature's clothes, and a leap that nobody explains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.lib import alone, samples
from models.lib.judges import Evidence
from models.lib.tasks import task
from tests.models.planted import CHAMPION, compared, plant, verdict
from tests.models.tiny import TASKS, Tiny

WHY = "known at the counter before the sale"
LEAKING = {"after", "word", "again"}
# what a key of every row gives away, which is learnt on other rows: nothing
LEARNT_ELSEWHERE = {"binary": 0.5, "multiclass": 0.2, "regression": 0.0}
LEAKS = [(word, leak) for word in TASKS for leak in sorted(LEAKING)]


def fed(tinies: Tiny, word: str, features: list[str], monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """The model with other features, of which each is looked at alone; with them it is as good as can be."""
    monkeypatch.chdir(tinies.root)
    first = tinies.evidence(word)
    model, rows = first.model.model_copy(update={"features": features}), samples.rows(first.model, "test")
    found = alone.strongest(model, rows, task.of(model).target(rows))
    figures = first.evaluation["metrics"] | ({first.task.scale: {"value": 0.999}} if LEAKING & {*features} else {})
    return replace(first, model=model, evaluation=first.evaluation | {"alone": found, "metrics": figures})


@pytest.mark.parametrize(("word", "leak"), LEAKS)
def test_a_feature_that_gives_the_target_away_is_named_and_fails_unless_it_is_explained(
    tinies: Tiny, monkeypatch: pytest.MonkeyPatch, word: str, leak: str
) -> None:
    """A copy of the number, a text made from it, and a key of a few rows that have the same outcome."""
    evidence = fed(tinies, word, ["x", "y", leak], monkeypatch)
    found = verdict(evidence, "plausible")
    assert (found.verdict, found.value.split()[0]) == ("fail", leak)
    assert f"is {leak} known beforehand?" in (found.reason or "")
    excused = verdict(evidence, "plausible", explained={leak: WHY, "x": WHY})
    assert excused.verdict == "pass"
    assert (excused.reason or "").startswith(f"explained: {leak} alone ")
    assert (excused.reason or "").endswith(f"({WHY})")
    assert verdict(evidence, "plausible", explained={"x": WHY}).verdict == "fail"


@pytest.mark.parametrize("word", TASKS)
def test_an_honest_feature_passes_and_so_does_a_model_of_one(
    tinies: Tiny, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """`x` explains most of the target, and a little less than the model."""
    evidence = fed(tinies, word, ["y", "x", "key"], monkeypatch)
    found = verdict(evidence, "plausible")
    assert (found.verdict, found.value.split()[0]) == ("pass", "x")
    assert {each["feature"]: each["value"] for each in evidence.evaluation["alone"]}["key"] <= LEARNT_ELSEWHERE[word]
    assert verdict(fed(tinies, word, ["after"], monkeypatch), "plausible").verdict == "pass"


@pytest.mark.parametrize(("alone", "expected"), [(0.54, "pass"), (0.56, "fail")])
def test_what_says_little_gives_nothing_away_of_a_model_that_knows_little(
    tinies: Tiny, alone: float, expected: str
) -> None:
    weak = plant(tinies.evidence("binary"), "evaluation.metrics.roc_auc.value", 0.53)
    assert verdict(plant(weak, "evaluation.alone.0.value", alone), "plausible").verdict == expected


@pytest.mark.parametrize("rows", [300, 3000])
def test_a_copy_of_a_number_with_a_long_tail_is_found(tinies: Tiny, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Of fifty bins the last one has most of the variance, and few rows near its mean."""
    train, test = np.random.default_rng(0).pareto(2.5, (2, rows))
    monkeypatch.setattr(samples, "table", lambda *_: pl.DataFrame({"target": train, "x": train}))
    model = tinies.evidence("regression").model.model_copy(update={"features": ["x"]})
    assert alone.strongest(model, pl.DataFrame({"x": test}), test)[0]["value"] > 0.9


@pytest.mark.parametrize("word", TASKS)
def test_a_leap_needs_its_own_reason(tinies: Tiny, word: str) -> None:
    first = tinies.evidence(word)

    def judged(by: Any, reasons: frozenset[str] = frozenset(), because: str = "", evidence: Evidence = first) -> str:
        figure = {"champion": 0.5, "difference": {"value": by, "low": by, "high": by}}
        champion = replace(CHAMPION, reasons=reasons)
        evidence = compared(evidence, {"metrics": {evidence.task.scale: figure}}, champion)
        return verdict(evidence, "plausible", because=because).verdict

    for by, expected in ((-0.3, "pass"), (0.05, "pass"), (0.06, "fail"), (None, "fail"), (float("nan"), "fail")):
        assert judged(by) == expected
    assert judged(0.06, because=WHY) == "pass"
    for before in (f"meant: {WHY}", f"explained: x alone 0.99 ({WHY}); meant: {WHY}"):
        assert judged(0.06, frozenset({before}), because=WHY) == "fail"  # that of the release before
    off = first.model.gates.champion.model_copy(update={"off": "another target", "margin": None})
    gates = first.model.gates.model_copy(update={"champion": off})
    assert judged(0.06, evidence=replace(first, model=first.model.model_copy(update={"gates": gates}))) == "pass"
