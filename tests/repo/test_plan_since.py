"""`plan`: where a change starts, what belongs to it, and what the plan costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_schemas.lib import datasets
from models.lib import config
from repo.lib import change
from repo.lib import git as git_of_verbs
from repo.lib.files import exclusive
from tests.support import trees
from tests.support.forks import SECOND, stages_of
from tests.support.process import Answer
from tests.support.repository import commit, git
from tests.support.specimens import MODEL

TRAIN, _, BUILD, _ = (change.STAGES[start:] for start in range(4))
NOTHING: list[str] = []


@pytest.mark.usefixtures("branch")
def test_committed_staged_unstaged_and_new_files_all_count(plan: Callable[..., dict[str, Any]]) -> None:
    trees.append("serving/runtime/page.html")
    commit()
    trees.append(SECOND / "test_behaviour.py")
    git("add", "--all")
    trees.append("models/specimen_tip/words.txt")
    trees.append("README.md")
    found = plan()
    assert (found["changed"], stages_of(found), stages_of(found, "specimen_tip")) == (4, BUILD, TRAIN)


@pytest.mark.usefixtures("branch")
def test_what_main_got_meanwhile_is_no_change_of_the_branch(plan: Callable[..., dict[str, Any]]) -> None:
    start = git("rev-parse", "HEAD")
    trees.append("models/train.py")
    ahead = commit()
    git("reset", "--quiet", "--hard", start)
    trees.append("serving/runtime/page.html")
    commit()
    found = plan("--since", ahead)
    assert (found["since"], stages_of(found)) == (start, BUILD)


@pytest.mark.usefixtures("branch")
def test_settings_that_cannot_be_read_affect_all_of_their_model(plan: Callable[..., dict[str, Any]]) -> None:
    trees.append(SECOND / "model.yaml", "\n]\n")
    found = plan()
    assert (stages_of(found), stages_of(found, "specimen_tip")) == (NOTHING, TRAIN)


@pytest.mark.usefixtures("branch")
def test_a_commit_that_is_not_there_is_one_sentence(verb: Callable[..., Answer]) -> None:
    answer = verb("plan", "--since", "nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert answer.error == (
        "repo plan: --since nowhere is not a commit of this clone; name one, or `git fetch origin nowhere`.\n"
    )
    assert verb("plan", "--since=--all").code == 2


def test_a_shallow_clone_says_what_to_fetch(
    branch: Path, tmp_path: Path, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.append("README.md")
    commit()
    address, shallow = f"file://{branch}", tmp_path / "shallow"
    git("clone", "--quiet", "--depth=1", "--branch=change", address, str(shallow), root=tmp_path)
    monkeypatch.chdir(shallow)
    assert "is shallow and lacks main; fetch it with `git fetch --unshallow origin main`" in verb("plan").error
    git("fetch", "--quiet", "--depth=1", "origin", "main:refs/remotes/origin/main")
    trees.append("README.md")
    commit()
    git("replace", "--graft", "HEAD")
    answer = verb("plan")
    assert answer.code == 2
    assert "no commit in common with HEAD here; fetch the rest with `git fetch --unshallow origin`" in answer.error


def test_a_clone_without_the_branch_asks_its_origins(
    branch: Path, tmp_path: Path, plan: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.append("serving/runtime/page.html")
    commit()
    git("clone", "--quiet", "--branch=change", str(branch), str(tmp_path / "clone"), root=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    assert stages_of(plan()) == BUILD


@pytest.mark.usefixtures("branch")
def test_models_and_datasets_are_those_of_the_other_verbs() -> None:
    assert change.folders("models") == config.names() == ["specimen_delay", "specimen_tip"]
    assert change.folders("data_schemas") == datasets.names() == ["specimen_fares", "specimen_trips"]


def test_many_models_cost_a_handful_of_git_calls(
    branch: Path, plan: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a second for a thousand (tests/bench/affected.py); here what makes it so."""
    for number in range(200):
        folder = branch / f"models/many_{number}"
        folder.mkdir()
        for name in ("dvc.yaml", "model.yaml"):
            text = (MODEL / name).read_text().replace("model: specimen_delay", f"model: many_{number}")
            text += f"\n# {number}\n" if name == "model.yaml" else ""
            (folder / name).write_text(text)
    commit()
    trees.append("models/many_7/network.py")
    calls: list[tuple[str, ...]] = []
    ask = git_of_verbs.git

    def count(*words: str) -> bytes:
        calls.append(words)
        return ask(*words)

    monkeypatch.setattr(git_of_verbs, "git", count)
    found = plan("--since", "HEAD")
    assert [each["name"] for each in found["models"]] == ["many_7"]
    assert len(calls) <= 6


def test_it_waits_for_no_other_verb(branch: Path, plan: Callable[..., dict[str, Any]]) -> None:
    with exclusive(branch / ".dvc/tmp/run.lock", "a run"):
        assert plan()["nothing"]


def test_it_needs_nothing_but_yaml(branch: Path) -> None:
    """CI asks before it installs the rest."""
    code = (
        "import sys; from repo.__main__ import VERBS; from repo.lib.command import run;"
        "run('repo', VERBS, ['plan', '--since', 'HEAD']);"
        "print({n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names)"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=branch, env=bare, capture_output=True, text=True, check=True)
    loaded = {name for name in ast.literal_eval(done.stdout.splitlines()[-1]) if not name.startswith("_")}
    assert loaded <= {"repo", "yaml", "cython_runtime"}, loaded
