"""What GitHub runs, read and never run: each rule and each linter passes every file, and bites its planted fault."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from repo.lib.files import read_yaml
from tests.github import tools, workflows
from tests.github.rules import RULES
from tests.github.workflows import File

FAULTS = Path(__file__).with_name("faults")
SOUND = FAULTS / "sound.yml"
PLANTED = read_yaml(FAULTS / "rules.yaml", "restore it")
OF_TOOLS = read_yaml(FAULTS / "tools.yaml", "restore it")
FILES = workflows.every()
SHARED = pytest.mark.xdist_group("linters")  # each of which one process calls once, for all files and faults
Lint = Callable[[str], tools.Findings]


def planted(fault: dict[str, Any]) -> str:
    text = SOUND.read_text()
    edits = ([each] if isinstance(each, str) else each for each in (fault["old"], fault["new"]))
    for old, new in zip(*edits, strict=True):
        assert old in text, "the fault cannot be planted"
        text = text.replace(old, new)
    return text


def name(value: Any) -> str | None:
    return value.path.name if isinstance(value, File) else None


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


@SHARED
@pytest.mark.parametrize("tool", _marked(["schemas", "zizmor", "actionlint", "shellcheck"]))
@pytest.mark.parametrize("file", [*FILES, workflows.read(SOUND)], ids=name)
def test_every_file_passes_every_linter(file: File, tool: str, lint: Lint) -> None:
    assert tools.real(lint(tool)).get(str(file.path), []) == []


@SHARED
@pytest.mark.parametrize("fault", _marked(list(OF_TOOLS)))
def test_a_planted_fault_is_named_by_its_linter(fault: str, lint: Lint, plants: dict[str, Path]) -> None:
    found = tools.real(lint(fault.partition(",")[0])).get(str(plants[fault]), [])
    assert any(OF_TOOLS[fault]["named"] in sentence for sentence in found), found


@SHARED
@tools.needs_actionlint
def test_no_false_alarm_is_excused_that_is_not_raised(lint: Lint) -> None:
    found = lint("actionlint")
    raised = "\n".join(sentence for file in FILES for sentence in found.get(str(file.path), []))
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
