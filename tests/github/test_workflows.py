"""What GitHub runs, read and never run: every file keeps every rule, and each rule bites its planted fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from repo.lib.files import read_yaml
from tests.github import workflows
from tests.github.expressions import interpolate
from tests.github.rules import RULES
from tests.github.workflows import SOUND, File, name, planted

PLANTED = read_yaml(workflows.FAULTS / "rules.yaml", "restore it")
FILES = workflows.every()


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


def test_one_action_has_one_version_everywhere() -> None:
    lines = {line.partition("uses: ")[2] for file in FILES for line in file.text.splitlines() if "uses: " in line}
    pins = [line for line in lines if "@" in line]
    assert len({line.partition("@")[0] for line in pins}) == len(pins), sorted(pins)


def test_what_zizmor_is_told_to_ignore_has_a_reason() -> None:
    for file in FILES:
        for line in file.text.splitlines():
            if "zizmor: ignore" in line:
                assert len(line.partition("]")[2].split()) > 4, line


@pytest.mark.parametrize(("namespace", "ours"), [("models-staging", True), ("models-production", True), ("dev", False)])
def test_what_another_cluster_aborts_rolls_nothing_back(namespace: str, ours: bool) -> None:
    condition = workflows.read(workflows.WORKFLOWS / "rollback.yml").jobs["propose"]["if"]
    event = {"client_payload": {"model": "m", "namespace": namespace, "image": "x"}}
    assert interpolate("${{" + condition + "}}", {"github": {"event": event}, "inputs": None}) is ours
