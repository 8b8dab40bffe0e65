"""The champion is found by its hash in Git."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from models.lib import champion, config
from models.lib.champion import Champion
from repo.lib.files import write
from repo.lib.refusal import Refusal
from tests.models.scene import Verb, refused
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.repository import commit, git
from tests.support.specimens import MODEL

ONNX = MODEL / "model.onnx"


def release(onnx: str, version: str = "0123456789ab") -> None:
    """What promotion leaves of production's model."""
    write(champion.passport_path("specimen_delay"), yaml.safe_dump({"version": version, "content": {"onnx": onnx}}))


def commit_model(content: bytes) -> str:
    ONNX.write_bytes(content)
    return commit()


@pytest.fixture
def repository(tree: Path) -> Path:
    """The tree under Git."""
    git("init", "--quiet")
    commit()
    return tree


@pytest.mark.usefixtures("repository")
def test_the_champion_is_found_in_history_by_its_bytes(model: config.Model) -> None:
    assert champion.find(model) is None
    first, newer = commit_model(b"older"), commit_model(b"newer")
    again = commit_model(b"older")
    ONNX.unlink()
    commit()  # a commit without the file does not end the search
    for content, where in ((b"older", again), (b"newer", newer)):
        onnx = hashlib.sha256(content).hexdigest()
        release(onnx)
        assert champion.find(model) == Champion(version="0123456789ab", onnx=onnx, commit=where)
        assert champion.blob(model, onnx) == (content, where)
    assert again != first  # the newest commit with these bytes


@pytest.mark.usefixtures("repository")
def test_uncommitted_bytes_are_no_champion_and_the_refusal_says_how_to_fetch(verb: Verb) -> None:
    release("f" * 64)
    refused(
        verb("gates", "specimen_delay"),
        "the model ffffffffffff that deploy/releases/production/specimen_delay/passport.yaml names",
        "fetch it with `git fetch --unshallow`",
    )


@pytest.mark.parametrize("text", ["", "content: {}\nversion: a\n", "content: {onnx: 1731d5}\nversion: a\n", "[\n"])
@pytest.mark.usefixtures("repository")
def test_a_broken_passport_of_the_champion_is_refused(model: config.Model, text: str) -> None:
    write(champion.passport_path("specimen_delay"), text)
    with pytest.raises(
        Refusal, match=r"^deploy/releases/production/specimen_delay/passport\.yaml.*`git checkout -- deploy/"
    ):
        champion.find(model)


@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_a_release_without_its_passport_is_not_taken_for_none(tree: Path, model: config.Model, instead: str) -> None:
    """It would be judged as a first release, which needs to beat no champion."""
    path = tree / champion.passport_path("specimen_delay")
    path.parent.mkdir(parents=True)
    path.with_name("kustomization.yaml").touch()
    if instead == "a folder":
        path.mkdir()
    with pytest.raises(Refusal, match=r"^deploy/.*/passport\.yaml is not a file, yet .*`git checkout -- deploy/"):
        champion.find(model)


@pytest.mark.usefixtures("tree")
def test_a_champion_outside_of_git_is_refused(model: config.Model) -> None:
    release("f" * 64)
    with pytest.raises(Refusal, match="not a git repository"):
        champion.find(model)


def test_with_dvc_storage_the_champion_comes_from_the_cache(
    model: config.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    trees.make_dvc()
    write(MODEL / "dvc.yaml", f"stages: {{export: {{wdir: ../.., cmd: 'true', outs: [{ONNX}]}}}}\n")
    Path(".gitignore").write_text("*.onnx\n")
    commits = []
    for content in ("older", "newer"):
        write(ONNX, content)
        subprocess.run(
            [sys.executable, "-m", "dvc", "commit", "--quiet", "--force", str(MODEL / "dvc.yaml")], check=True
        )
        commits.append(commit())
    stored = model.model_copy(update={"storage": "dvc"})
    assert champion.blob(stored, hashlib.sha256(b"older").hexdigest()) == (b"older", commits[0])
    with pytest.raises(Refusal, match=r"nowhere in the DVC cache and remote; .*`dvc pull --all-commits`"):
        champion.blob(stored, "0" * 64)
