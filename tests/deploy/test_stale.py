"""A release is of what its sources make: `promote` asks the lock in the tree, `verify` that of the image's commit."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.deploy.tree import MODEL, Tree, folder, judge, lock


def edited(old: str = "seed: 7", new: str = "seed: 8") -> None:
    text = (MODEL / "model.yaml").read_text()
    assert old in text
    (MODEL / "model.yaml").write_text(text.replace(old, new))


def test_an_edit_of_training_is_not_released_with_the_former_file(tree: Tree) -> None:
    """The passport of a gates run after the edit has the new code's hash, and the file is the old one."""
    tree.build("a")
    edited()
    tree.commit()
    judge(MODEL.name)
    answer = tree.promote("staging")
    assert (answer.code, answer.error.count("\n")) == (2, 1)
    assert (
        "dvc.lock does not fit what is beside it (train: training of models/specimen_delay/model.yaml" in answer.error
    )
    assert not folder("staging").exists()


def test_a_file_that_the_lock_does_not_name_is_not_released(tree: Tree) -> None:
    tree.build("a")
    (MODEL / "model.onnx").write_text("by hand")
    tree.commit()
    judge(MODEL.name)
    assert "model.onnx is not the file that the lock names" in tree.promote("staging").error


def test_verify_reads_a_file_that_is_no_text_as_git_holds_it(tree: Tree) -> None:
    (MODEL / "model.onnx").write_bytes(b"\x08\xff\xfe")
    (MODEL / "dvc.lock").write_text(lock(MODEL.name))
    tree.commit()
    judge(MODEL.name)
    assert tree.promote("staging").code == 0
    tree.commit()
    assert tree.deploy("verify").code == 0


def test_verify_names_a_release_whose_commit_held_another_model(tree: Tree) -> None:
    """As an earlier `promote` would have taken it."""
    tree.build("a")
    fitting = (MODEL / "dvc.lock").read_text()
    assert tree.promote("staging").code == 0
    tree.commit()
    assert tree.deploy("verify").code == 0
    edited()
    bad = tree.commit()
    passport = folder("staging") / "passport.yaml"
    record = yaml.safe_load(passport.read_text())
    passport.write_text(passport.read_text().replace(record["image"]["commit"], bad))
    answer = tree.deploy("verify")
    assert answer.code == 1
    assert f"{bad[:10]} held another model: train: training of models/specimen_delay/model.yaml changed" in answer.out
    assert fitting == (MODEL / "dvc.lock").read_text()
    assert lock(MODEL.name) != fitting


@pytest.mark.parametrize("gone", ["models/specimen_delay/dvc.lock"])
def test_a_commit_without_a_lock_is_from_before_there_were_any(released: Tree, gone: str) -> None:
    Path(gone).unlink()
    released.commit()
    assert released.deploy("verify").code == 0
