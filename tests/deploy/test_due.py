"""What a push to main has to release: what staging has not, whichever push it came with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy import due
from deploy.lib.fork import FORK, NOBODY
from tests.deploy.tree import MODEL, Tree, passed, refused
from tests.github.hub import Hub
from tests.support import gh
from tests.support.repository import ROOT


@pytest.fixture
def fork(tree: Tree) -> Tree:
    """With the registry of the releases that tests make."""
    FORK.parent.mkdir(parents=True)
    FORK.write_text("data: {registry: registry.example.org/specimens}\n")
    tree.commit()
    return tree


PROVED = ("--proved", "ci.yml")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return gh.install(tmp_path, monkeypatch)


def plan(fork: Tree, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(passed(fork.deploy("due", *words)).out)
    return found


def test_the_template_releases_nothing_asks_nobody_and_says_why(fork: Tree, hub: Hub) -> None:
    FORK.write_text(f"data: {{registry: ghcr.io/{NOBODY}}}\n")
    hub.fail("asked")
    for words in ((), PROVED):
        found = plan(fork, *words)
        assert found["models"] == []
        assert "fork.yaml names no registry of yours yet" in found["skipped"]["specimen_delay"]


def test_the_templates_own_address_is_the_one_that_counts_as_none() -> None:
    text = (ROOT / FORK).read_text()
    assert f"/{NOBODY}/" in text or "your-" not in text


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
    refused(fork.deploy("due"), f"data.registry: {registry} is not a registry")


# A release starts from a commit of main that its checks have passed, or says why not.


def head(fork: Tree) -> str:
    return fork.git("rev-parse", "HEAD")


def test_a_commit_whose_checks_passed_is_released(fork: Tree, hub: Hub) -> None:
    hub.ran("ci.yml", head(fork))
    assert len(plan(fork, *PROVED)["models"]) == 1


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
def test_any_other_one_says_why_not(fork: Tree, hub: Hub, about: dict[str, str]) -> None:
    hub.ran("ci.yml", head(fork) if about else "0" * 40, **about)
    found = plan(fork, *PROVED)
    assert found["models"] == []
    (reason,) = found["skipped"].values()
    assert reason.startswith(f"ci.yml has not succeeded for main as it is now ({head(fork)[:10]})")


def test_releases_upon_it_need_no_checks_of_their_own(fork: Tree, hub: Hub) -> None:
    """What a workflow's token pushes starts none, and it changes what runs and not what is built."""
    hub.ran("ci.yml", head(fork))
    Path("deploy/releases/staging/other").mkdir(parents=True)
    Path("deploy/releases/staging/other/passport.yaml").write_text("{}\n")
    fork.commit()
    assert len(plan(fork, *PROVED)["models"]) == 1
    Path("README.md").write_text("more\n")
    fork.commit()
    assert plan(fork, *PROVED)["models"] == []


def test_a_merged_change_of_a_data_pin_is_due(fork: Tree, hub: Hub) -> None:
    """Its model is judged on other rows, so it is another version."""
    fork.release("a", "staging")
    hub.ran("ci.yml", head(fork))
    assert plan(fork, *PROVED)["models"] == []
    (pin,) = Path("data_schemas").glob("*/data.dvc")
    pin.write_text(pin.read_text().replace("md5: ", "md5: 0", 1))
    fork.commit()
    hub.ran("ci.yml", head(fork))
    assert len(plan(fork, *PROVED)["models"]) == 1
