"""A fork with two models, made once a session; fixtures hand out copies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.support import trees
from tests.support.repository import commit, git
from tests.support.specimens import DATASET, MODEL, NAME

SECOND = Path("models/specimen_tip")  # in a fork, where it learns from FARES
FARES = Path("data_schemas/specimen_fares")


def pack(root: Path) -> None:
    """Commit, and put all of Git's objects into one file, which is quick to copy."""
    commit(root)
    git("repack", "-a", "-d", "--quiet", root=root)


def make_clone(root: Path, source: Path) -> None:
    """A fresh clone: no data, no cache, no build products, no remote."""
    git("clone", "--quiet", "--template=", str(source), str(root))
    git("remote", "remove", "origin", root=root)


def make_fork(root: Path, workshop: Path) -> None:
    """A clone with a second model, a second dataset and some tests, on main."""
    make_clone(root, workshop)
    shutil.copytree(root / DATASET, root / FARES)
    shutil.copytree(root / MODEL, root / SECOND)
    trees.edit(root / SECOND / "dvc.yaml", f"model: {NAME}", f"model: {SECOND.name}")
    trees.edit(root / SECOND / "model.yaml", f"dataset: {DATASET.name}", f"dataset: {FARES.name}")
    for part in ("models", "serving"):
        trees.append(root / "tests" / part / "test_more.py")
    pack(root)


def stages_of(plan: dict[str, Any], model: str = NAME) -> list[str]:
    """Those that a plan of `affected` has for a model."""
    return next((each["stages"] for each in plan["models"] if each["name"] == model), [])
