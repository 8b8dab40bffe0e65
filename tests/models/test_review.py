"""Outcomes that came later, against what was logged of each prediction."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from models import review
from repo.lib.files import read_json
from tests.models.scene import Verb, refused
from tests.models.tiny import KINDS, Tiny
from tests.support.specimens import MODEL, NAME

DICE = np.random.default_rng(0)
SCORES = DICE.uniform(size=800).round(6)
LATE = (DICE.uniform(size=800) < SCORES).astype(int)  # so that ROC AUC is about 0.83
Log = Callable[..., list[str]]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Write predictions, three in a line, as a pod of `version` logs them; the ids."""

    def write(version: str, values: list[Any], file: str = "pod/1200.jsonl.gz", model: str = NAME) -> list[str]:
        ids = [f"{version}-{place}" for place in range(len(values))]
        known, lines = {"time": 0, "model": model, "version": version, "rows": []}, []
        for first in range(0, len(ids), 3):
            part = slice(first, first + 3)
            line = known | {"values": values[part], "prediction_ids": ids[part]}
            lines.append(json.dumps(line) + "\n")
        lines.append(json.dumps(known | {"values": [0.5]}) + "\n")  # without ids
        (path := tmp_path / "log" / file).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("".join(lines).encode()))
        return ids

    return write


@pytest.fixture
def labels(tmp_path: Path) -> Callable[..., list[str]]:
    """Options of the verb, of these outcomes."""

    def write(ids: list[str], outcomes: list[Any]) -> list[str]:
        pl.DataFrame({"prediction_id": ids, "outcome": outcomes}).write_csv(tmp_path / "labels.csv")
        return ["--labels", str(tmp_path / "labels.csv"), "--log", str(tmp_path / "log")]

    return write


def promise(value: float, half: float) -> str:
    """Let the tree's passport say so of every metric; its version."""
    path = MODEL / "build/passport.yaml"
    record = yaml.safe_load(path.read_text())
    record["metrics"]["roc_auc"] = {"value": value, "low": value - half, "high": value + half}
    for name in ("log_loss", "brier", "calibration_error"):
        record["metrics"][name] = {"value": 0.9, "low": 0.8, "high": 1.0}
    path.write_text(yaml.safe_dump(record))
    return str(record["version"])


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("promised", "half", "below"), [(0.80, 0.02, []), (0.84, 0.05, []), (0.95, 0.01, ["roc_auc"])])
def test_each_version_has_its_metrics_beside_its_passport(
    log: Log, labels: Any, verb: Verb, promised: float, half: float, below: list[str]
) -> None:
    version = promise(promised, half)
    ids, others = log(version, SCORES.tolist()), log("0123456789ab", [0.1, 0.9, 0.4], "other/1210.jsonl.gz")
    answer = verb("review", NAME, *labels([*ids, *others, "lost"], [*LATE.tolist(), 0, 1, 0, 1]))
    assert answer.code == bool(below), answer
    assert "1 of 804 outcomes are of no prediction" in answer.out
    assert "0123456789ab: 3 outcomes; fewer than 300 are not judged; its passport is not here" in answer.out
    found = read_json(MODEL / "build/review.json", "")
    assert (found["missing"], found["outcomes"]) == (1, 804)
    ours = found["versions"][version]
    assert (ours["rows"], ours["below"]) == (800, below)
    assert ours["metrics"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(LATE, SCORES), abs=1e-5)
    assert found["versions"]["0123456789ab"]["metrics"]["roc_auc"]["value"] == 1.0


@pytest.mark.usefixtures("tree")
def test_a_file_cut_short_and_one_outcome_only_are_told(log: Log, labels: Any, verb: Verb, tmp_path: Path) -> None:
    ids = log("0123456789ab", [0.2] * 900)
    path = tmp_path / "log/pod/1200.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    answer = verb("review", NAME, *labels(ids[:6], [1] * 6))
    assert answer.code == 0
    assert "1200.jsonl.gz ends early" in answer.out
    assert "6 outcomes, which have one outcome only" in answer.out


def test_probabilities_are_found_by_the_names_of_their_classes(tinies: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tinies.root)
    model = tinies.evidence("multiclass").model
    values = {f"a{place}": dict(zip(reversed(KINDS), (0.1, 0.2, 0.7), strict=True)) for place in range(6)}
    known = {name: float(place % 2) for place, name in enumerate(values)}  # low, mid, low, mid
    found = review.measure(model, "0123456789ab", values, known)
    assert found["metrics"]["balanced_accuracy"]["value"] == 0.5  # all are called low


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("outcome", ["2", "yes"])
def test_what_is_no_outcome_is_refused(log: Log, labels: Any, verb: Verb, outcome: str) -> None:
    ids = log("0123456789ab", [0.1, 0.2])
    refused(verb("review", NAME, *labels(ids, ["1", outcome])), f"row 1 (from 0) has no outcome of {NAME}; fix")


@pytest.mark.usefixtures("tree")
def test_a_folder_without_a_log_is_refused(labels: Any, verb: Verb) -> None:
    refused(verb("review", NAME, *labels(["a"], [1])), "holds no .gz file; give the folder of the request log")


@pytest.mark.usefixtures("tree")
def test_the_log_of_another_model_and_two_outcomes_of_one_id_are_refused(log: Log, labels: Any, verb: Verb) -> None:
    ids = log("0123456789ab", [0.1, 0.2])
    refused(verb("review", NAME, *labels([*ids, ids[0]], [1, 0, 0])), "row 2 (from 0): its id has another outcome")
    log("0123456789ab", [0.1], "z.gz", "another")
    refused(verb("review", NAME, *labels(ids, [1, 0])), "z.gz is the log of another, not of " + NAME)
