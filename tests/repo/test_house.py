"""The house as README describes it: a file directly in a stage is a verb of its `--help`."""

from __future__ import annotations

from importlib import import_module

import pytest

from repo.lib.change import GROUND
from tests.support.repository import ROOT


@pytest.mark.parametrize("stage", GROUND)
def test_the_files_of_a_stage_are_its_verbs(stage: str) -> None:
    files = {path.stem for path in (ROOT / stage).glob("*.py")} - {"__main__", "conftest"}
    verbs = [verb.name for verb in import_module(f"{stage}.__main__").VERBS]
    assert sorted(files) == sorted(verbs)
