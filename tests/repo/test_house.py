"""The house as README describes it: a file directly in a stage is a verb of its `--help`. Not yet so in models/."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.support.repository import ROOT


@pytest.mark.parametrize("stage", ["repo", "data_schemas", "serving", "deploy"])
def test_the_files_of_a_stage_are_its_verbs(stage: str) -> None:
    files = {path.stem for path in (ROOT / stage).glob("*.py")} - {"__main__", "conftest"}
    verbs = [verb.name for verb in import_module(f"{stage}.__main__").VERBS]
    assert sorted(files) == sorted(verbs)
