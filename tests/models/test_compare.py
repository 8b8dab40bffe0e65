"""Candidate against champion on the same rows, and what a release promises of its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.lib import compare, promise
from models.lib.tasks import task
from repo.lib.refusal import Refusal
from tests.models import tiny
from tests.models.planted import compared, verdict
from tests.models.tiny import KINDS, TASKS, Tiny, file

OTHER_ORDER = ["high", "low", "mid"]
EDGES = [20_000.0 + 5_000.0 * place for place in range(9)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("word", TASKS)
def test_a_better_candidate_passes_and_a_worse_one_fails_unless_the_margin_allows_it(
    tinies: Tiny, here: Path, word: str
) -> None:
    """Of an RMSE the lower is the better, and the margin is in its unit."""
    model, good, bad = tinies.copy(word, here), file(word), file(word, y=0.0)  # which looks at one of two inputs
    found = compared(tinies.evidence(word), compare.compare(model, bad))
    assert verdict(found, "champion", margin=0.0).verdict == "pass"
    name = found.task.proper
    paired, own = found.comparison["metrics"][name]["difference"], found.evaluation["metrics"][name]
    assert paired["high"] - paired["low"] < own["high"] - own["low"]
    model.onnx.write_bytes(bad)
    found = compared(tinies.evidence(word), compare.compare(model, good))
    assert verdict(found, "champion").verdict == "fail"
    assert verdict(found, "champion", margin=2_000.0).verdict == "pass"
    same = compared(found, compare.compare(model, bad))
    assert (verdict(same, "champion", margin=0.0).verdict, same.comparison["shift"]["moved"]) == ("pass", 0)


def test_classes_in_another_order_are_matched_by_name(tinies: Tiny, here: Path) -> None:
    model = tinies.copy("multiclass", here)
    found = compare.compare(model, file("multiclass", names=OTHER_ORDER))
    assert {each["difference"]["value"] for each in found["metrics"].values()} == {0.0}
    assert found["shift"]["moved"] == 0
    (here / "other.onnx").write_bytes(file("multiclass", names=OTHER_ORDER))
    counts = np.array(promise.between(model, here / "other.onnx", model.onnx))
    # Its pods count by its own order: what they call 0 is the last class here.
    assert counts.sum() == sum(counts[OTHER_ORDER.index(name), KINDS.index(name)] for name in KINDS) == 600


@pytest.mark.parametrize(
    ("word", "champion", "words"),
    [
        ("multiclass", file("multiclass", names=[*KINDS, "top"]), "probabilities of .*top.*, and model.yaml wants"),
        ("multiclass", file("binary"), "score, and model.yaml wants probabilities of .*high"),
        ("regression", file("binary"), "score, and model.yaml wants prediction"),
    ],
)
def test_a_champion_of_other_answers_is_refused(
    tinies: Tiny, here: Path, word: str, champion: bytes, words: str
) -> None:
    model = tinies.copy(word, here)
    with pytest.raises(Refusal, match=rf"^the champion answers {words}.*; say in model\.yaml why [^\n]* off\.$"):
        compare.compare(model, champion)


def test_a_prediction_is_counted_in_the_bins_of_its_own_file(tinies: Tiny, here: Path) -> None:
    """As its service counts it: the edges of the other file say nothing of it."""
    model = tinies.copy("regression", here)
    for name, edges in (("before", [0.0] * 9), ("now", EDGES)):
        (here / name).write_bytes(file("regression", edges=edges))
    counts = np.array(promise.between(model, here / "before", here / "now"))
    assert counts[:9].sum() == 0
    values, _ = compare.answers(model, here / "now", tiny.rows(3), "it")
    assert counts[9].tolist() == np.histogram(values, [-np.inf, *EDGES, np.inf])[0].tolist()


def test_bins_are_ten_whatever_is_answered(tinies: Tiny) -> None:
    number, classes = (task.of(tinies.evidence(word).model) for word in ("regression", "multiclass"))
    values = np.random.default_rng(0).normal(size=1000)
    edges = number.edges(lambda: values)
    assert edges is not None
    assert np.bincount(number.bins(values, edges)).tolist() == pytest.approx([100] * 10, abs=2)
    assert number.bins(np.array([-9.0, edges[0], edges[8], 9.0]), edges).tolist() == [0, 1, 9, 9]
    assert classes.bins(np.eye(12), None).tolist() == [*range(10), 9, 9]
