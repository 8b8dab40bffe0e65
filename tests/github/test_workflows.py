"""What GitHub runs, read and never run: each rule and each linter passes every file, and bites its planted fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_schemas.files import read_yaml
from tests.github import tools, workflows
from tests.github.rules import RULES
from tests.github.workflows import File

FAULTS = Path(__file__).with_name("faults")
SOUND = FAULTS / "sound.yml"
PLANTED = read_yaml(FAULTS / "rules.yaml", "restore it")
OF_TOOLS = read_yaml(FAULTS / "tools.yaml", "restore it")
FILES = workflows.every()
Lint = Callable[[Path], str]


def planted(fault: dict[str, Any]) -> str:
    text = SOUND.read_text()
    edits = ([each] if isinstance(each, str) else each for each in (fault["old"], fault["new"]))
    for old, new in zip(*edits, strict=True):
        assert old in text, "the fault cannot be planted"
        text = text.replace(old, new)
    return text


def name(value: Any) -> str | None:
    return str(value.path) if isinstance(value, File) else None


def test_there_are_workflows_and_actions_to_hold_against_the_rules() -> None:
    assert {Path(".github/workflows/ci.yml"), Path(".github/actions/setup/action.yml")} <= {file.path for file in FILES}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("file", [*FILES, workflows.read(SOUND)], ids=name)
def test_every_file_keeps_every_rule(file: File, rule: str) -> None:
    assert list(RULES[rule](file)) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named_by_its_rule(fault: str) -> None:
    file = File(SOUND, planted(PLANTED[fault]))
    found = list(RULES[fault.partition(",")[0]](file))
    assert any(PLANTED[fault]["named"] in sentence for sentence in found), found


def test_every_rule_has_a_planted_fault() -> None:
    assert {fault.partition(",")[0] for fault in PLANTED} == RULES.keys()


@pytest.fixture
def lints(tmp_path: Path) -> dict[str, Lint]:
    """Each linter, from a file to what it says."""
    return {
        "schemas": tools.schemas,
        "zizmor": tools.zizmor,
        "actionlint": lambda path: "\n".join(tools.real(tools.actionlint([path]))),
        "shellcheck": lambda path: tools.shellcheck(path, tmp_path),
    }


def _marked(faults: list[str]) -> list[Any]:
    return [
        pytest.param(fault, marks=tools.needs_actionlint if fault.startswith("actionlint") else ()) for fault in faults
    ]


@pytest.mark.parametrize("tool", _marked(["schemas", "zizmor", "actionlint", "shellcheck"]))
@pytest.mark.parametrize("file", [*FILES, workflows.read(SOUND)], ids=name)
def test_every_file_passes_every_linter(file: File, tool: str, lints: dict[str, Lint]) -> None:
    if tool == "actionlint" and not file.is_workflow:
        return  # it knows workflows only
    assert lints[tool](file.path) == ""


@pytest.mark.parametrize("fault", _marked(list(OF_TOOLS)))
def test_a_planted_fault_is_named_by_its_linter(fault: str, lints: dict[str, Lint], tmp_path: Path) -> None:
    path = tmp_path / "planted.yml"
    path.write_text(planted(OF_TOOLS[fault]))
    assert OF_TOOLS[fault]["named"] in lints[fault.partition(",")[0]](path)


@tools.needs_actionlint
def test_no_false_alarm_is_excused_that_is_not_raised() -> None:
    raised = "\n".join(tools.actionlint([file.path for file in FILES if file.is_workflow]))
    assert [alarm for alarm in tools.FALSE_ALARMS if alarm not in raised] == []


def test_one_action_has_one_version_everywhere() -> None:
    lines = {line.partition("uses: ")[2] for file in FILES for line in file.text.splitlines() if "uses: " in line}
    pins = [line for line in lines if "@" in line]
    assert len({line.partition("@")[0] for line in pins}) == len(pins), sorted(pins)


def test_what_zizmor_is_told_to_ignore_has_a_reason() -> None:
    for file in FILES:
        for line in file.text.splitlines():
            if "zizmor: ignore" in line:
                assert len(line.partition("]")[2].split()) > 4, line
