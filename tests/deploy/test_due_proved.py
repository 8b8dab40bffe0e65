"""A release starts from a commit of main that its checks have passed, or says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.due import NOBODY
from tests.deploy.tree import Tree
from tests.github.hub import Hub

FORK = Path("deploy/argocd/fork.yaml")


@pytest.fixture
def hub(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """GitHub beside a tree with a registry and a model that is due."""
    found = Hub(tmp_path / "hub")
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    FORK.parent.mkdir(parents=True)
    FORK.write_text("data: {registry: registry.example.org/specimens}\n")
    tree.commit()
    return found


def plan(tree: Tree) -> dict[str, Any]:
    answer = tree.deploy("due", "--proved", "ci.yml")
    assert answer.code == 0, answer.error
    found: dict[str, Any] = json.loads(answer.out)
    return found


def head(tree: Tree) -> str:
    return tree.git("rev-parse", "HEAD")


def test_a_commit_whose_checks_passed_is_released(tree: Tree, hub: Hub) -> None:
    hub.ran("ci.yml", head(tree))
    assert len(plan(tree)["models"]) == 1


@pytest.mark.parametrize(
    "about",
    [
        {"conclusion": "failure"},
        {"event": "pull_request"},
        {"repository": "stranger/fork"},
        {"head_branch": "work"},
        {},
    ],
    ids=["red", "of a pull request", "of a fork whose branch is main", "of another branch", "of another commit"],
)
def test_any_other_one_says_why_not(tree: Tree, hub: Hub, about: dict[str, str]) -> None:
    hub.ran("ci.yml", head(tree) if about else "0" * 40, **about)
    found = plan(tree)
    assert found["models"] == []
    (reason,) = found["skipped"].values()
    assert reason.startswith(f"ci.yml has not succeeded for main as it is now ({head(tree)[:10]})")


def test_releases_upon_it_need_no_checks_of_their_own(tree: Tree, hub: Hub) -> None:
    """What a workflow's token pushes starts none, and it changes what runs and not what is built."""
    hub.ran("ci.yml", head(tree))
    Path("deploy/releases/staging/other").mkdir(parents=True)
    Path("deploy/releases/staging/other/passport.yaml").write_text("{}\n")
    tree.commit()
    assert len(plan(tree)["models"]) == 1
    Path("README.md").write_text("more\n")
    tree.commit()
    assert plan(tree)["models"] == []


def test_the_template_asks_nobody(tree: Tree, hub: Hub) -> None:
    FORK.write_text(f"data: {{registry: ghcr.io/{NOBODY}}}\n")
    hub.fail("asked")
    assert plan(tree)["models"] == []


def test_a_merged_change_of_a_data_pin_is_due(tree: Tree, hub: Hub) -> None:
    """Its model is judged on other rows, so it is another version."""
    tree.release("a", "staging")
    hub.ran("ci.yml", head(tree))
    assert plan(tree)["models"] == []
    (pin,) = Path("data_schemas").glob("*/data.dvc")
    pin.write_text(pin.read_text().replace("md5: ", "md5: 0", 1))
    tree.commit()
    hub.ran("ci.yml", head(tree))
    assert len(plan(tree)["models"]) == 1
