"""The models and datasets that every-model tests run for: those of this repository, then the specimens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import ROOT
from tests.support.specimens import FRAMEWORKS, SPECIMENS


def parameters(stage: str, mark: str, slow: bool = False) -> list[Any]:
    """A parameter for each folder; those of the repository share a process, because verbs there exclude each other.

    With `slow` a test of those is: what it does costs seconds for a specimen and minutes for a team's.
    """
    ours, specimens = ({path.parent.name for path in (at / stage).glob(f"*/{mark}")} for at in (ROOT, SPECIMENS))
    others = {path.parent.name for path in FRAMEWORKS.glob(f"*/{mark}")}
    groups = dict.fromkeys(others, "frameworks") | dict.fromkeys(specimens, "specimens")
    groups |= dict.fromkeys(ours, "repository")
    marks = {"specimens": [], "repository": [pytest.mark.slow] if slow else [], "frameworks": [pytest.mark.slow]}
    return [
        pytest.param(name, marks=[pytest.mark.xdist_group(group), *marks[group]])
        for name, group in sorted(groups.items())
    ]


def root(request: pytest.FixtureRequest) -> Path:
    """The repository that holds the folder of `request.param`; a specimen's is made on demand."""
    stage = request.path.parent.name
    if (ROOT / stage / request.param).is_dir():
        return ROOT
    other = (FRAMEWORKS / request.param).is_dir()
    tree: Path = request.getfixturevalue("frameworks" if other else "workshop")
    return tree
