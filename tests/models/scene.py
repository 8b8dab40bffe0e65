"""Trees in which verbs of models are tried, made once a session; the fixtures of conftest.py hand out copies."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from tests.support import trees
from tests.support.forks import pack
from tests.support.repository import commit, git
from tests.support.specimens import DATASET, NAME

OPTIONS = argparse.Namespace(model=NAME)
READ = (
    "pyproject.toml",
    "requirements",
    ".dvc/config",
    ".gitignore",
    "repo",
    "models",
    "data_schemas",
)  # by verbs of models


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
    """A tree where a worse model was trained on one month, by the verbs train and export."""
    from models import export, train

    trees.copy(plain, root)
    shrink(root)
    with contextlib.chdir(root):
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
    for name in READ:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (fork / name).is_dir() else shutil.copy)(fork / name, source / name)
    git("init", "--quiet", "--initial-branch=main", root=source)
    commit(source)
    git("branch", "work", root=source)
    git("clone", "--quiet", "--bare", "--template=", str(source), str(root / "origin"))
    git("clone", "--quiet", "--template=", str(root / "origin"), str(root / "here"))
    shutil.rmtree(source)


def sample(rows: int, seed: int) -> pl.DataFrame:
    """Rows as `fit` gets them, with a target that can be learned."""
    source = importlib.import_module(f"data_schemas.{DATASET.name}.source")
    table: pl.DataFrame = source.table(1 + seed).sample(rows, with_replacement=True, seed=seed)
    late = np.random.default_rng(seed).random(rows) < table["humid"].to_numpy() / 120
    features = [name for name in table.columns if name not in ("flight_date", "flight", "arr_delay")]
    return table.select(features).with_columns(target=pl.Series(late.astype(np.int8)))


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
