"""Fixtures of the tests of the ground: a fork on a branch, and the verbs in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from repo.__main__ import VERBS
from repo.lib import command
from tests.support import trees
from tests.support.process import Answer, in_this_process
from tests.support.repository import git

verb = in_this_process(partial(command.run, "repo", VERBS))


@pytest.fixture(scope="session")
def fork(forked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this process alone, so that a test may change it and put it back."""
    return trees.copy(forked, tmp_path_factory.mktemp("fork") / "repository")


@pytest.fixture
def branch(fork: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fork on a branch of main, as current directory; whatever a test does to it is undone."""
    monkeypatch.chdir(fork)
    git("checkout", "--quiet", "-B", "change", "main")
    yield fork
    git("reset", "--quiet", "--hard", "main", root=fork)
    git("clean", "--quiet", "-fd", root=fork)


@pytest.fixture
def plan(verb: Callable[..., Answer]) -> Callable[..., dict[str, Any]]:
    """What `python -m repo plan` answers, which workflows read as one line with always the same keys."""

    def ask(*arguments: str) -> dict[str, Any]:
        answer = verb("plan", *arguments)
        assert (answer.code, answer.error, answer.out.count("\n")) == (0, "", 1)
        found: dict[str, Any] = json.loads(answer.out)
        assert list(found) == [
            "since",
            "changed",
            "datasets",
            "models",
            "runner",
            "code",
            "tests",
            "manifests",
            "nothing",
        ]
        return found

    return ask
