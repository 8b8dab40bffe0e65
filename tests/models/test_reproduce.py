"""`reproduce`: training again must give an equivalent model, and the same bytes are good news only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.utils.serialize import modify_yaml  # type: ignore[import-untyped]

from models import reproduce
from models.lib import config, passport, samples, scoring
from repo.lib.files import sha256
from tests.models.scene import Verb
from tests.models.tiny import Tiny, file
from tests.support import trees
from tests.support.specimens import MODEL


@pytest.fixture
def trained(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model that was trained and exported, in a tree of its own; training it again gives `again`."""
    root = tmp_path / "trained"
    shutil.copytree(small, root, symlinks=True)
    trees.configure(root, {"windows.test": {"first": "2013-03", "last": "2013-03"}})
    monkeypatch.chdir(root)
    return root


@pytest.mark.usefixtures("trained")
def test_the_same_bytes_are_said_to_be_the_same(verb: Verb) -> None:
    for stage in ("train", "export"):  # in this process: what others have loaded may round another way
        assert verb(stage, MODEL.name).code == 0
    before = {path: path.read_bytes() for path in MODEL.rglob("*") if path.is_file()}
    answer = verb("reproduce", MODEL.name)
    assert (answer.code, "the very bytes that are committed" in answer.out) == (0, True), answer
    after = {path: path.read_bytes() for path in MODEL.rglob("*") if path.is_file()}
    found = json.loads(after.pop(MODEL / "build/reproduced.json"))
    assert after == before
    assert found == {"onnx": sha256(MODEL / "model.onnx"), "found": "identical bytes", "on": reproduce.machine()}


@pytest.mark.usefixtures("trained")
def test_a_passport_says_what_was_found_of_its_own_file_alone() -> None:
    model = config.load(MODEL.name, check_columns=False)
    figures = {"rows": 1, "level": 0.5, "metrics": {}}
    made = [passport.make(model, figures, [], None, [], 1.0)]
    reproduce.record(model, "identical bytes")
    made.append(passport.make(model, figures, [], None, [], 1.0))
    trees.append(model.onnx, "x")
    made.append(passport.make(model, figures, [], None, [], 1.0))
    found = {"found": "identical bytes", "on": reproduce.machine()}
    assert [each.get("reproduced") for each in made] == [None, found, None]
    assert {each["verdict"] for each in made} == {"pass"}


def scores(monkeypatch: pytest.MonkeyPatch, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Training again gives other bytes, whose scores are changed so."""
    session, real = scoring.session, scoring.scores

    def scored(each: Any, table: Any) -> Any:
        return change(real(session(MODEL / "model.onnx"), table)) if each == "new" else real(each, table)

    monkeypatch.setattr(reproduce, "again", lambda _: b"other bytes")
    monkeypatch.setattr(scoring, "session", lambda each: "new" if each == b"other bytes" else session(each))
    monkeypatch.setattr(scoring, "scores", scored)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("change", "red"),
    [
        (lambda score: score + 1e-6 * (-1.0) ** np.arange(len(score)), None),
        (lambda score: np.where(np.arange(len(score)) == 7, score + 0.021, score), "score"),
        (lambda score: np.where(np.arange(len(score)) == 7, np.nan, score), "score"),
        (lambda score: np.clip(score + 0.019, 0, 1), "calibration_error"),
    ],
    ids=["a little noise", "one score", "no number", "all of them by less than a score may"],
)
def test_other_bytes_must_be_an_equivalent_model(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, change: Callable[..., object], red: str | None
) -> None:
    scores(monkeypatch, change)  # type: ignore[arg-type]
    answer = verb("reproduce", MODEL.name)
    assert answer.code == (1 if red else 0), answer.out
    assert ("other bytes, and an equivalent model" in answer.out) is (red is None)
    named = [line.split()[1] for line in answer.out.splitlines() if line.startswith("  RED")]
    assert (red in named) if red else (named == [])
    if red:
        assert f"run `python -m models run {MODEL.name}` and commit" in answer.out
        assert "the label `train`" in answer.out


def test_a_number_may_differ_by_a_share_of_what_the_predictions_span(
    tinies: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40,000 the second decimal says nothing, and of a share it is all."""
    monkeypatch.chdir(tinies.root)
    model = tinies.evidence("regression").model
    found = {x: reproduce.compare(model, file("regression", x=x)) for x in (1.001, 1.1)}
    values = scoring.scores(scoring.session(model.onnx), samples.rows(model, "test"))
    for difference, limit in (each["prediction"] for each in found.values()):
        assert limit == pytest.approx(0.02 * np.ptp(values))
        assert difference > 10
    assert all(difference <= limit for difference, limit in found[1.001].values())
    assert found[1.1]["prediction"][0] > found[1.1]["prediction"][1]
    assert list(found[1.1]) == ["prediction", "rmse", "mae", "r2"]
    assert reproduce.compare(model, file("regression", x=np.nan))["prediction"][0] == np.inf


def test_the_lock_says_on_which_machine_it_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text("schema: '2.0'\nstages: {}\n")
    for library in ("glibc 2.36", "glibc 2.41"):
        monkeypatch.setattr("models.reproduce.platform.libc_ver", lambda library=library: tuple(library.split()))
        reproduce.note(lock, reproduce.machine())
        first, *others = lock.read_text().splitlines()
        assert first.startswith("# trained on ")
        assert f", {library}, torch 2." in first
        assert others == ["schema: '2.0'", "stages: {}"]
    with modify_yaml(str(lock)) as content:  # as DVC does
        content["stages"]["train"] = {"cmd": "false"}
    assert lock.read_text().startswith(first)


@pytest.mark.usefixtures("trained")
def test_what_is_not_there_is_one_sentence(verb: Verb) -> None:
    (MODEL / "model.onnx").unlink()
    answer = verb("reproduce", MODEL.name)
    assert (answer.code, "model.onnx is missing; make it with" in answer.error) == (2, True)
