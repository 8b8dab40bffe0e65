"""A lock that was made of other sources is found without DVC, in the tree and at any commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from models.lib import lock
from tests.support import trees
from tests.support.process import Answer
from tests.support.specimens import DATASET, MODEL


@pytest.fixture
def place(tree: Path) -> Path:
    """A tree of sources, lock and model.onnx that fit together."""
    return tree


@pytest.mark.usefixtures("place")
def test_what_is_committed_fits_together() -> None:
    assert lock.faults(MODEL.name, lock.here) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "printed"),
    [
        (
            "models/specimen_delay/model.yaml",
            "max_epochs: 6",
            "max_epochs: 7",
            "train: training of models/specimen_delay/model",
        ),
        ("models/specimen_delay/model.yaml", "  - visib\n", "", "train: features of models/specimen_delay/model.yaml"),
        ("models/specimen_delay/model.yaml", "origin: categories", "visib: [0, 9]", "evaluate: slices of"),
        ("models/specimen_delay/network.py", "import", "import  ", "train: models/specimen_delay/network.py changed"),
        ("models/export.py", "import", "import  ", "export: what the template or its packages make of it changed"),
        (f"{DATASET}/data.dvc", "md5: ", "md5: 0", f"validate: {DATASET}/data changed"),
        (
            "models/specimen_delay/dvc.lock",
            "  export:",
            "  other:",
            "models/specimen_delay/dvc.lock has no stage export",
        ),
    ],
)
def test_what_changed_since_is_named(place: Path, file: str, old: str, new: str, printed: str) -> None:
    text = (place / file).read_text()
    assert old in text
    (place / file).write_text(text.replace(old, new, 1))
    assert lock.faults(MODEL.name, lock.here)[0].startswith(printed)


def test_of_another_commit_a_folder_is_not_held_against_the_lock(place: Path) -> None:
    """Git answers for weights/ with a list of names, and what the template was then nobody can say."""
    assert place.is_dir()
    (place / "models/train.py").write_text("another")
    assert lock.faults(MODEL.name, lambda path: b"names" if path.endswith("weights") else lock.here(path)) == []
    assert lock.faults(MODEL.name, lock.here) != []


def test_another_file_than_the_locked_one_is_named(place: Path) -> None:
    (place / MODEL / "model.onnx").write_bytes(b"another")
    assert lock.faults(MODEL.name, lock.here) == [f"{MODEL}/model.onnx is not the file that the lock names"]


def test_numbers_are_the_same_in_any_notation(place: Path) -> None:
    text = (place / MODEL / "model.yaml").read_text()
    (place / MODEL / "model.yaml").write_text(text.replace("weight_decay: 0.001", "weight_decay: 1e-3"))
    assert lock.faults(MODEL.name, lock.here) == []


def test_a_broken_lock_or_none_is_a_fault_and_no_traceback(place: Path) -> None:
    for text in ("[", "", "stages: 3\n"):
        (place / MODEL / "dvc.lock").write_text(text)
        assert lock.faults(MODEL.name, lock.here)
    (place / MODEL / "dvc.lock").unlink()
    assert lock.faults(MODEL.name, lock.here) == [f"{MODEL}/dvc.lock has no stage train"]


@pytest.mark.parametrize("name", ["measure", "gates"])
def test_an_edit_of_what_training_reads_is_not_judged_with_the_former_file(
    tree: Path, verb: Callable[..., Answer], name: str
) -> None:
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


@pytest.mark.usefixtures("place")
def test_a_lock_can_be_read_from_anywhere() -> None:
    """As `verify` reads that of a commit, without the model's own bytes."""
    kept = {
        path.as_posix(): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.suffix != ".onnx"
    }
    assert lock.faults(MODEL.name, kept.get) == []
    settings = yaml.safe_load(kept[f"{MODEL}/model.yaml"])
    settings["training"]["seed"] += 1
    assert lock.faults(MODEL.name, (kept | {f"{MODEL}/model.yaml": yaml.safe_dump(settings).encode()}).get)
