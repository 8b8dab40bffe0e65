"""A lock that was made of other sources is found without DVC, in the tree and at any commit."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from models.lib import lock
from tests.models.scene import Verb
from tests.support import trees
from tests.support.specimens import MODEL


def test_of_another_commit_a_folder_is_not_held_against_the_lock(tree: Path) -> None:
    """Git answers for weights/ with a list of names, and what the template was then nobody can say."""
    (tree / "models/train.py").write_text("another")
    assert lock.faults(MODEL.name, lambda path: b"names" if path.endswith("weights") else lock.here(path)) == []
    assert lock.faults(MODEL.name, lock.here) != []


def test_numbers_are_the_same_in_any_notation(tree: Path) -> None:
    text = (tree / MODEL / "model.yaml").read_text()
    (tree / MODEL / "model.yaml").write_text(text.replace("weight_decay: 0.001", "weight_decay: 1e-3"))
    assert lock.faults(MODEL.name, lock.here) == []


def test_a_broken_lock_or_none_is_a_fault_and_no_traceback(tree: Path) -> None:
    lock_of = (tree / MODEL / "dvc.lock").read_text()
    for text in ("[", "", "stages: 3\n"):
        (tree / MODEL / "dvc.lock").write_text(text)
        assert lock.faults(MODEL.name, lock.here)
    (tree / MODEL / "dvc.lock").write_text(lock_of.replace("  export:", "  other:"))
    assert lock.faults(MODEL.name, lock.here) == [f"{MODEL}/dvc.lock has no stage export"]
    (tree / MODEL / "dvc.lock").unlink()
    assert lock.faults(MODEL.name, lock.here) == [f"{MODEL}/dvc.lock has no stage train"]


def test_a_stage_that_the_template_had_once_is_no_fault(tree: Path) -> None:
    """DVC leaves it in the lock."""
    path = tree / MODEL / "dvc.lock"
    locked = yaml.safe_load(path.read_text())
    former = {"cmd": "former", "params": {f"{MODEL}/build/engine.json": {"former": "0"}}}
    locked["stages"]["former"] = former | {"outs": [{"path": f"{MODEL}/build/profile.json", "md5": "0" * 32}]}
    path.write_text(yaml.safe_dump(locked))
    assert lock.faults(MODEL.name, lock.here) == []


@pytest.mark.parametrize("name", ["measure", "gates"])
def test_an_edit_of_what_training_reads_is_not_judged_with_the_former_file(tree: Path, verb: Verb, name: str) -> None:
    trees.configure(tree, {"training.max_epochs": 7})
    before = (tree / MODEL / "build/passport.yaml").read_bytes()
    answer = verb(name, MODEL.name)
    assert (answer.code, answer.error.count("\n")) == (2, 1)
    assert "is not what its sources make (train: training of" in answer.error
    assert "`python -m models run specimen_delay`" in answer.error
    assert (tree / MODEL / "build/passport.yaml").read_bytes() == before


def test_a_file_that_was_made_by_hand_since_can_be_tried(tree: Path) -> None:
    """Training and export by hand leave the lock behind; only `promote` refuses what it does not name."""
    trees.configure(tree, {"training.max_epochs": 7})
    (tree / MODEL / "model.onnx").write_bytes(b"another")
    lock.refuse_stale(MODEL.name)


@pytest.mark.usefixtures("tree")
def test_a_lock_can_be_read_from_anywhere() -> None:
    """As `verify` reads that of a commit, without the model's own bytes."""
    kept = {
        path.as_posix(): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.suffix != ".onnx"
    }
    assert lock.faults(MODEL.name, kept.get) == []
    settings = yaml.safe_load(kept[f"{MODEL}/model.yaml"])
    settings["training"]["seed"] += 1
    assert lock.faults(MODEL.name, (kept | {f"{MODEL}/model.yaml": yaml.safe_dump(settings).encode()}).get)
