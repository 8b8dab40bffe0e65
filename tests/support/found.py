"""The models and datasets that every-model tests run for: those of this repository, then the specimens."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import trees
from tests.support.process import run
from tests.support.repository import ROOT, commit
from tests.support.specimens import NAME, SPECIMENS


def parameters(stage: str, mark: str, slow: bool = False) -> list[Any]:
    """A parameter for each folder; those of the repository share a process, because verbs there exclude each other.

    With `slow` a test of those is: what it does costs seconds for a specimen and minutes for a team's.
    """
    ours, specimens = ({path.parent.name for path in (at / stage).glob(f"*/{mark}")} for at in (ROOT, SPECIMENS))
    groups = dict.fromkeys(specimens, "specimens") | dict.fromkeys(ours, "repository")
    others = specimens - {NAME} if stage == "models" else set()  # their pipelines run for these tests alone
    marks = {"specimens": [], "repository": [pytest.mark.slow] if slow else []}
    return [
        pytest.param(
            name, marks=[pytest.mark.xdist_group(group), *([pytest.mark.slow] if name in others else marks[group])]
        )
        for name, group in sorted(groups.items())
    ]


def root(request: pytest.FixtureRequest) -> Path:
    """The repository that holds the folder of `request.param`; a specimen's is made on demand."""
    stage = request.path.parent.name
    if (ROOT / stage / request.param).is_dir():
        return ROOT
    workshop: Path = request.getfixturevalue("workshop")
    if (workshop / stage / request.param).is_dir():
        return workshop
    name, once = request.param, request.getfixturevalue("once")
    return once(f"with-{name}", lambda root: make_another(root, name, workshop))  # type: ignore[no-any-return]


def make_another(root: Path, name: str, workshop: Path) -> None:
    """The workshop with one more specimen of tests/specimens/models, after its pipeline ran."""
    trees.copy(workshop, root)
    shutil.copytree(SPECIMENS / "models" / name, root / "models" / name, ignore=shutil.ignore_patterns("__pycache__"))
    answer = run("models", "run", name, root=root)  # another network, in a process of its own
    assert answer.code == 0, answer.out + answer.error
    commit(root)
