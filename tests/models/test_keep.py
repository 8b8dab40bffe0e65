"""Bytes that Git does not hold go to a DVC remote that lasts longer than the job that trained them."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.lib import worktree
from repo.lib.refusal import Refusal
from tests.support.dvc import answer_here
from tests.support.repository import git
from tests.support.trees import make_dvc


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    answer_here(monkeypatch)
    git("init", "--quiet")
    make_dvc()
    return tmp_path


def remote(url: str) -> None:
    Path(".dvc/config").write_text(f"[core]\n    remote = there\n['remote \"there\"']\n    url = {url}\n")


def test_a_folder_of_a_runner_is_no_remote(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote(str(place / "bytes"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(Refusal, match=r"the remote there is the folder .*bytes of this runner, which is gone after"):
        worktree.refuse_to_lose()
    monkeypatch.delenv("GITHUB_ACTIONS")
    worktree.refuse_to_lose()


@pytest.mark.usefixtures("place")
def test_one_with_an_address_is(monkeypatch: pytest.MonkeyPatch) -> None:
    remote("s3://bucket/models")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    worktree.refuse_to_lose()
