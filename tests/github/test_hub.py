"""The stand-in of GitHub has the rules that the workflows were caught by, and each old way is red in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repo.lib import pull_request
from tests.github import workflows
from tests.github.expressions import interpolate
from tests.github.hub import REPOSITORY, Hub, waiting
from tests.github.runner import Runner

PROMOTE, ROLLBACK, RETRAIN = (
    workflows.read(Path(f".github/workflows/{name}.yml")) for name in ("promote", "rollback", "retrain")
)
Event = dict[str, Any]


def event(namespace: str, model: str = "m") -> Event:
    return {"client_payload": {"model": model, "namespace": namespace, "image": "x"}}


def groups(file: workflows.File, group: str | None = None) -> Any:
    named = group or str(file.content["concurrency"]["group"])
    return lambda each: interpolate(named, {"github": {"event": each}, "inputs": None})


def starts(file: workflows.File, events: list[Event], group: str | None = None, queue: str = "") -> list[Event]:
    """Of events that come while a first one is at work, those whose job starts."""
    left = waiting(events, groups(file, group), queue or str(file.content["concurrency"].get("queue", "")))
    condition = "${{" + str(file.jobs["propose"]["if"]) + "}}"
    return [each for each in left if interpolate(condition, {"github": {"event": each}, "inputs": None})]


@pytest.mark.parametrize("model", ["m", "other"])
def test_an_event_of_production_takes_no_promotion_away(model: str) -> None:
    events = [event("models-staging"), event("models-production", model)]
    assert starts(PROMOTE, events) == events[:1]
    old = "promote-${{ inputs.model || github.event.client_payload.model }}"
    assert starts(PROMOTE, events, old, "one") == ([] if model == "m" else events[:1]), "the old way lost it"


def test_of_three_rollouts_none_is_lost() -> None:
    events = [event("models-staging") | {"number": number} for number in range(3)]
    assert starts(PROMOTE, events) == events
    assert starts(PROMOTE, events, queue="one") == events[2:], "the old way lost two"


@pytest.mark.parametrize(("namespace", "ours"), [("models-staging", 1), ("models-production", 1), ("models-dev", 0)])
def test_what_another_cluster_aborts_rolls_nothing_back(namespace: str, ours: int) -> None:
    assert len(starts(ROLLBACK, [event(namespace)])) == ours


def test_what_a_token_proposes_waits_for_an_approval_and_its_dispatched_checks_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path)
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DISPATCH", "ci.yml")
    pull_request.open_or_renew("main", "promote/x", "title", "text", "")
    runs = {run["event"]: run["conclusion"] for run in hub.read()["runs"]}
    assert runs == {"pull_request": "action_required", "workflow_dispatch": "success"}
    assert not hub.mergeable(hub.own()["number"])


@pytest.mark.parametrize(("owner", "given"), [(REPOSITORY, "cpu"), ("stranger/fork", "")])
def test_a_fork_gets_no_variable(tmp_path: Path, owner: str, given: str) -> None:
    text = """
on: pull_request
jobs:
  build:
    runs-on: x
    outputs: {torch: "${{ vars.TORCH }}"}
    steps: [{run: "true"}]
"""
    head = {"pull_request": {"head": {"repo": {"full_name": owner}}}}
    github = {"event_name": "pull_request", "event": head, "repository": REPOSITORY}
    file = workflows.File(tmp_path / "x.yml", text)
    run = Runner(file, lambda _: tmp_path, {}, github, tmp_path / "temporary", {"TORCH": "cpu"}).run()
    assert run["build"].outputs == {"torch": given}
