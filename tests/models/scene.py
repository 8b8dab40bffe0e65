"""Trees in which verbs of models are tried, made once a session; the fixtures of conftest.py hand out copies."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support import trees
from tests.support.forks import pack
from tests.support.process import Answer
from tests.support.repository import commit, git
from tests.support.specimens import NAME

Verb = Callable[..., Answer]  # runs `python -m models …` in this process
OPTIONS = argparse.Namespace(model=NAME)
# by verbs of models
READ = ("pyproject.toml", "requirements", ".dvc/config", ".gitignore", "repo", "models", "data_schemas")


def make_plain(root: Path, workshop: Path) -> None:
    """What the verbs of models read and make, without Git and without DVC's cache."""
    for name in READ:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (workshop / name).is_dir() else shutil.copy)(workshop / name, root / name)


def make_shop(root: Path, workshop: Path) -> None:
    """The workshop without the other stages: a third of its files to copy for each test."""
    trees.copy(workshop, root)
    for path in root.iterdir():
        if path.name not in {".git", *(Path(name).parts[0] for name in READ)}:
            (shutil.rmtree if path.is_dir() else os.remove)(path)
    pack(root)


def make_small(root: Path, plain: Path) -> None:
    """A tree where a worse model was trained on one month, by the verbs profile, train and export."""
    from models import export, profile, train

    trees.copy(plain, root)
    shrink(root)
    with contextlib.chdir(root):
        assert profile.main(OPTIONS) == 0
        assert train.main(OPTIONS) == 0
        assert export.main(OPTIONS) == 0


def shrink(root: Path) -> None:
    """Settings that learn little."""
    first, second = ({"first": month, "last": month} for month in ("2013-01", "2013-02"))
    little = {"training.max_epochs": 1, "training.weight_decay": 100.0}
    trees.configure(root, {"windows.train": first, "windows.valid": second, **little})


def make_exchange(root: Path, fork: Path) -> None:
    """`origin`, with the branches main and work, and `here`, a clone of it; of the fork what landing needs."""
    source = root / "source"
    make_plain(source, fork)
    git("init", "--quiet", "--initial-branch=main", root=source)
    commit(source)
    git("branch", "work", root=source)
    git("clone", "--quiet", "--bare", "--template=", str(source), str(root / "origin"))
    git("clone", "--quiet", "--template=", str(root / "origin"), str(root / "here"))
    shutil.rmtree(source)


def refused(answer: Answer, *words: str) -> None:
    """In one sentence that holds these words, and with nothing before it."""
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1), answer
    assert [word for word in words if word not in answer.error] == [], answer.error


class Verbs:
    """The children of renew and retrain, replaced: `codes` are what they end with, `effects` what they do first."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.shared: list[Path] = []  # the clones whose cache a tree uses
        self.codes: dict[str, int] = {}
        self.effects: dict[str, Callable[[], object]] = {}

    def __call__(self, *words: str) -> int:
        line = " ".join(words)
        self.called.append(line)
        self.effects.get(line, lambda: None)()
        return self.codes.get(line, 0)
