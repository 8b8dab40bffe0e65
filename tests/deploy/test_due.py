"""What a push to main has to release: what staging has not, whichever push it came with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy import due
from deploy.lib.fork import FORK
from tests.deploy.tree import MODEL, Tree
from tests.support.repository import ROOT


@pytest.fixture
def fork(tree: Tree) -> Tree:
    """With the registry of the releases that tests make."""
    FORK.parent.mkdir(parents=True)
    FORK.write_text("data: {registry: registry.example.org/specimens}\n")
    tree.commit()
    return tree


def plan(tree: Tree) -> dict[str, Any]:
    answer = tree.deploy("due")
    assert answer.code == 0, answer.error
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_the_template_releases_nothing_and_says_why(fork: Tree) -> None:
    FORK.write_text(f"data: {{registry: ghcr.io/{due.NOBODY}}}\n")
    found = plan(fork)
    assert found["models"] == []
    assert "fork.yaml names no registry of yours yet" in found["skipped"]["specimen_delay"]


def test_the_templates_own_address_is_the_one_that_counts_as_none() -> None:
    text = (ROOT / FORK).read_text()
    assert f"/{due.NOBODY}/" in text or "your-" not in text


def test_a_model_without_a_release_is_due_at_its_registry(fork: Tree) -> None:
    assert plan(fork) == {
        "models": ["specimen_delay"],
        "registry": "registry.example.org/specimens",
        "host": "registry.example.org",
        "skipped": {},
    }


def test_what_staging_has_is_not_due_even_after_other_commits(fork: Tree) -> None:
    version = fork.release("a", "staging", "production")
    Path("README.md").write_text("more\n")
    Path("deploy/base/new.yaml").write_text("a: 1\n")
    fork.commit()
    assert plan(fork)["skipped"] == {"specimen_delay": f"staging has it, as {version}"}


@pytest.mark.parametrize("changed", ["model.onnx", "network.py", "model.yaml", "resources.yaml"])
def test_a_change_of_the_model_is_due_until_it_is_released(fork: Tree, changed: str) -> None:
    fork.release("a", "staging")
    with (MODEL / changed).open("a") as file:
        file.write("\n# more\n")
    fork.commit()
    Path("README.md").write_text("a later push\n")
    fork.commit()
    assert plan(fork)["models"] == ["specimen_delay"]


def test_what_was_rolled_back_is_not_released_by_another_build_of_the_same(fork: Tree) -> None:
    fork.release("a", "staging")
    fork.release("b", "staging")
    assert fork.deploy("rollback", "specimen_delay", "--environment", "staging", "--reason", "errors").code == 0
    fork.commit()
    assert plan(fork)["skipped"] == {"specimen_delay": "what this commit has was rolled back (errors)"}
    (MODEL / "model.onnx").write_text("other bytes")
    fork.commit()
    assert plan(fork)["models"] == ["specimen_delay"]


def test_a_release_that_cannot_be_read_is_due(fork: Tree) -> None:
    fork.release("a", "staging")
    path = Path("deploy/releases/staging/specimen_delay/passport.yaml")
    assert plan(fork)["models"] == []
    path.write_text("broken: [")
    assert plan(fork)["models"] == ["specimen_delay"]


def test_one_run_releases_as_many_as_a_matrix_has_jobs(fork: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "JOBS", 1)
    shutil.copytree(MODEL, MODEL.with_name("specimen_other"))
    fork.commit()
    found = plan(fork)
    assert found["models"] == ["specimen_delay"]
    assert "the next run has it" in found["skipped"]["specimen_other"]


@pytest.mark.parametrize("registry", ["https://registry.example.org/specimens", "registry.example.org/Specimens"])
def test_an_address_that_can_hold_no_image_is_refused_before_anything_is_built(fork: Tree, registry: str) -> None:
    FORK.write_text(f"data: {{registry: '{registry}'}}\n")
    answer = fork.deploy("due")
    assert (answer.code, f"data.registry: {registry} is not a registry" in answer.error) == (2, True)
