"""What GitHub runs, read by the linters that others keep: every file passes, each linter bites its planted fault."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from repo.lib.files import read_yaml
from tests.github import tools, workflows
from tests.github.workflows import SOUND, File, name, planted

OF_TOOLS = read_yaml(workflows.FAULTS / "tools.yaml", "restore it")
FILES = workflows.every()
Lint = Callable[[str], tools.Findings]

pytestmark = pytest.mark.xdist_group("linters")  # each of which one process calls once, for all files and faults


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file with each fault that only a tool names."""
    folder = tmp_path_factory.mktemp("planted")
    files = {fault: folder / f"{number}.yml" for number, fault in enumerate(OF_TOOLS)}
    for fault, path in files.items():
        path.write_text(planted(OF_TOOLS[fault]))
    return files


@pytest.fixture(scope="module")
def lint(plants: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Lint:
    """From a linter's name to what it finds in every file, and in those with its own faults."""

    @cache
    def run(tool: str) -> tools.Findings:
        of_tool = [path for fault, path in plants.items() if fault.startswith(tool)]
        paths = [*(file.path for file in FILES), SOUND, *of_tool]
        if tool == "shellcheck":
            return tools.shellcheck(paths, tmp_path_factory.mktemp("scripts"))
        return {"schemas": tools.schemas, "zizmor": tools.zizmor, "actionlint": tools.actionlint}[tool](paths)

    return run


def _marked(faults: list[str]) -> list[Any]:
    return [
        pytest.param(fault, marks=tools.needs_actionlint if fault.startswith("actionlint") else ()) for fault in faults
    ]


@pytest.mark.parametrize("tool", _marked(["schemas", "zizmor", "actionlint", "shellcheck"]))
@pytest.mark.parametrize("file", [*FILES, workflows.read(SOUND)], ids=name)
def test_every_file_passes_every_linter(file: File, tool: str, lint: Lint) -> None:
    assert tools.real(lint(tool)).get(str(file.path), []) == []


@pytest.mark.parametrize("fault", _marked(list(OF_TOOLS)))
def test_a_planted_fault_is_named_by_its_linter(fault: str, lint: Lint, plants: dict[str, Path]) -> None:
    found = tools.real(lint(fault.partition(",")[0])).get(str(plants[fault]), [])
    assert any(OF_TOOLS[fault]["named"] in sentence for sentence in found), found


@tools.needs_actionlint
def test_no_false_alarm_is_excused_that_is_not_raised(lint: Lint) -> None:
    found = lint("actionlint")
    raised = "\n".join(sentence for file in FILES for sentence in found.get(str(file.path), []))
    assert [alarm for alarm in tools.FALSE_ALARMS if alarm not in raised] == []
