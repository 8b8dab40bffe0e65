"""`run --no-train`: the committed model is judged again; whatever is wrong with it, nothing is made or rewritten."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.lib import lock, pipeline
from tests.models.scene import Verb
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.process import run
from tests.support.repository import git
from tests.support.specimens import MODEL

LOCK = MODEL / "dvc.lock"


@pytest.fixture
def clone(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone in which the pipeline ran, as current directory."""
    monkeypatch.chdir(trees.copy(shop, tmp_path / "clone"))
    answer_here(monkeypatch)
    return tmp_path / "clone"


def made() -> dict[str, tuple[int, bytes]]:
    """Time and bytes of what a run that may train replaces."""
    paths = [LOCK, MODEL / "model.onnx", *(MODEL / "weights").glob("*")]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths if path.is_file()}


@pytest.mark.slow
def test_a_fresh_clone_is_judged_and_nothing_is_trained(clone: Path) -> None:
    """Nor would it be without the word: weights and model.onnx are those that the lock names."""
    for name in ("data_schemas/specimen_trips/build", str(MODEL / "build"), ".dvc/cache"):
        shutil.rmtree(name, ignore_errors=True)
    before = {name: content for name, (_, content) in made().items()}
    answer = run("models", "run", "specimen_delay", "--no-train", root=clone)
    assert (answer.code, answer.error) == (0, "")
    assert "run specimen_delay: trained nothing: weights and model.onnx are those that the lock names.\n" in answer.out
    assert "model.onnx has the committed bytes" in answer.out
    assert answer.out.splitlines()[-1].startswith("run specimen_delay: PASS: all ")
    assert (MODEL / "build/passport.yaml").is_file()
    assert {name: content for name, (_, content) in made().items()} == before
    assert git("status", "--porcelain") == ""
    times = made()
    assert "run specimen_delay: nothing changed.\n" in run("models", "run", "specimen_delay", root=clone).out
    assert made() == times


def other_bytes(name: str) -> Callable[[], object]:
    return lambda: trees.append(MODEL / name, " ")


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "another seed": (lambda: trees.configure(Path(), {"training.seed": 8}), "train: training of .*model.yaml"),
    "no weights": (lambda: shutil.rmtree(MODEL / "weights"), "models/specimen_delay/weights is missing"),
    "no model": ((MODEL / "model.onnx").unlink, "models/specimen_delay/model.onnx is missing"),
    "another model": (other_bytes("model.onnx"), "models/specimen_delay/model.onnx is not the file"),
    "no lock": (LOCK.unlink, "models/specimen_delay/dvc.lock is missing"),
}


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("name", FAULTS)
def test_what_would_have_to_be_made_again_is_refused_and_stays_as_it_is(verb: Verb, name: str) -> None:
    fault, words = FAULTS[name]
    fault()
    before = made()
    answer = verb("run", "specimen_delay", "--no-train")
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert re.search(words, answer.error)
    assert "--no-train makes nothing new; run `python -m models run specimen_delay` and commit" in answer.error
    assert made() == before


@pytest.mark.slow
@pytest.mark.usefixtures("clone")
def test_dvc_cannot_train_whatever_it_believes(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the question before it were wrong, the stage would refuse."""
    trees.configure(Path(), {"training.seed": 8})
    # So that a stage before it runs, and is written into the lock.
    content = yaml.safe_load((MODEL / "dvc.yaml").read_text())
    content["stages"]["validate"]["cmd"] = "echo '{}' > models/${model}/build/validation.json"
    (MODEL / "dvc.yaml").write_text(yaml.safe_dump(content))
    before = {name: content for name, (_, content) in made().items()}
    monkeypatch.setattr(lock, "stale", lambda _: [])
    answer = verb("run", "specimen_delay", "--no-train")
    assert answer.code == 2
    assert "models train: models/specimen_delay/weights would be made again, and --no-train" in answer.error
    assert "evaluate specimen_delay" not in answer.out
    assert (MODEL / "build/validation.json").read_text() == "{}\n"
    assert {name: content for name, (_, content) in made().items()} == before


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("ending", [None, KeyboardInterrupt])
def test_a_lock_that_dvc_rewrites_is_put_back(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException] | None
) -> None:
    """As it does for figures that are others on this machine."""
    before = made()[str(LOCK)][1]

    def rewrite(*_: Any) -> int:
        LOCK.write_text("stages: {}\n")
        if ending:
            raise ending
        return 0

    monkeypatch.setattr(pipeline, "repro", rewrite)
    assert verb("run", "specimen_delay", "--no-train").code == (130 if ending else 0)
    assert made()[str(LOCK)][1] == before
