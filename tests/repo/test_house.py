"""The house as README describes it: a file directly in a stage is a verb of its `--help`."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

from repo.lib.change import GROUND
from tests.support.repository import ROOT


@pytest.mark.parametrize("stage", GROUND)
def test_the_files_of_a_stage_are_its_verbs(stage: str) -> None:
    files = {path.stem for path in (ROOT / stage).glob("*.py")} - {"__main__", "conftest"}
    verbs = [verb.name for verb in import_module(f"{stage}.__main__").VERBS]
    assert sorted(files) == sorted(verbs)


@pytest.mark.parametrize("script", sorted((ROOT / "tests/bench").glob("*.py")), ids=lambda script: script.stem)
def test_a_benchmark_finds_the_stages_before_it_imports_them(script: Path) -> None:
    """They are run as files, whose folder is no place of stages."""
    for node in ast.parse(script.read_text()).body:
        if "sys.path" in ast.unparse(node):
            return
        assert not (isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in (*GROUND, "tests"))
