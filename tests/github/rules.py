"""What every workflow keeps, one rule a function, from a file to the sentences that say where it breaks the rule.

Expressions inside scripts, and what a token may do, are left to zizmor (test_linters.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.github import trust
from tests.github.commands import commands
from tests.github.expressions import evaluate
from tests.github.workflows import File, read

PINNED = re.compile(r"uses: (?:[\w.-]+/)+[\w.-]+@[0-9a-f]{40}  ?# v\d+\.\d+\.\d+$")
OWN = "$/"  # GitHub's name for the commit that runs: needs no checkout, and a changed workspace does not change it
OF_US = "github.event.pull_request.head.repo.full_name == github.repository"
LABELLED = {"types": ["labeled"]}
LONGEST = 5  # lines of shell; what is longer becomes a verb
INSTALLERS = re.compile(r"\b(pip3? install|npm (install|ci)|npx|apt-get|curl|wget|uv (pip|sync|tool)|brew)\b")

Rule = Callable[[File], Iterator[str]]


def pinned(file: File) -> Iterator[str]:
    """A tag can be moved to other code; a commit cannot, and its comment says which version it is."""
    for line in file.text.splitlines():
        if re.match(r"\s*(- )?uses:", line) and f"uses: {OWN}" not in line and not PINNED.search(line):
            yield f"`{line.strip()}` is not pinned: write `owner/action@<40 hexadecimal digits>  # vX.Y.Z`"


def timeouts(file: File) -> Iterator[str]:
    """A hung job would cost six hours."""
    for name, job in file.jobs.items():
        if "uses" not in job and not job.get("timeout-minutes", "").isdigit():
            yield f"{name}: timeout-minutes is missing"


def credentials(file: File) -> Iterator[str]:
    """A token left in .git would be there for every later step, and for what a pull request brings."""
    for step in file.steps():
        if (
            step.uses.startswith("actions/checkout@")
            and step.content.get("with", {}).get("persist-credentials") != "false"
        ):
            yield f"{step.place}: persist-credentials: false is missing"


def concurrency(file: File) -> Iterator[str]:
    """A newer push to a pull request ends the older run; what writes or releases is never cut short."""
    if not file.is_workflow:
        return
    found = file.content.get("concurrency")
    if not isinstance(found, dict) or not found.get("group"):
        yield "concurrency: group is missing"
    elif "cancel-in-progress" not in found:
        yield "concurrency: cancel-in-progress does not say what happens to the run before"
    elif found["cancel-in-progress"] == "true":
        yield "concurrency: cancel-in-progress ends every run; only those of pull requests may be, by an expression"


def triggers(file: File) -> Iterator[str]:
    """What strangers can start has no secret, and what has rights runs nothing that strangers wrote."""
    if "pull_request_target" in file.triggers:
        yield "on: pull_request_target runs with the repository's rights on a stranger's pull request"
    if "pull_request" in file.triggers:
        if secret := re.search(r"\bsecrets\b[.\[]?\w*", file.text):
            yield f"{secret[0]} in a workflow of pull requests; those of forks have none, and none may need one"
        for name, job in file.jobs.items():
            if "write" in str(job.get("permissions", "")) and _lets_strangers_in(job.get("if", "")):
                yield f"{name}: writes, and its if: does not ask for {OF_US}, so a fork's pull request could start it"
    if "workflow_run" in file.triggers:
        for step in file.steps():
            if step.uses.startswith("actions/checkout@"):
                yield f"{step.place}: checks out code in a workflow_run, which has rights; it may only read text"


def _lets_strangers_in(condition: str) -> bool:
    """Whether a job's `if` does not look where a branch is from, or lets that of a fork pass all the same."""
    if OF_US not in condition:
        return True
    label = re.search(r"label\.name == '([^']*)'", condition)
    pull_request = {"head": {"repo": {"full_name": "stranger/fork", "fork": True}}, "user": {"login": "stranger"}}
    event = {"pull_request": pull_request, "action": "labeled", "label": {"name": label[1] if label else ""}}
    github = {"event_name": "pull_request", "repository": "team/fork", "actor": "stranger", "event": event}
    states = {each: (lambda: True) for each in ("always", "success", "failure", "cancelled")}
    unknown: dict[str, Any] = {"inputs": None, "needs": {}, "vars": {}}
    return bool(
        evaluate(condition.strip().removeprefix("${{").removesuffix("}}"), {"github": github, **unknown, **states})
    )


def shell(file: File) -> Iterator[str]:
    """`shell: bash` stops at a failing pipe, which GitHub's default does not."""
    if file.is_workflow and file.content.get("defaults", {}).get("run", {}).get("shell") != "bash":
        yield "defaults: run: shell: bash is missing"
    for step in file.steps():
        if (lines := sum(bool(line.strip()) for line in step.run.splitlines())) > LONGEST:
            yield f"{step.place}: {lines} lines of shell; above {LONGEST} it becomes a verb"
        if step.content.get("continue-on-error"):
            yield f"{step.place}: continue-on-error hides a failure"


def outputs(file: File) -> Iterator[str]:
    """An output that nobody sets is empty text, and a condition on it is quietly false."""
    for name, job in file.jobs.items():
        for other, output in re.findall(r"\bneeds\.([\w-]+)\.outputs\.([\w-]+)", str(job)):
            if other not in file.needs(name):
                yield f"{name}: needs: does not list {other}, whose output {output} it reads"
            elif output not in file.jobs.get(other, {}).get("outputs", {}):
                yield f"{name}: needs.{other}.outputs.{output} is not an output of {other}"
    scopes = {name: str(job) for name, job in file.jobs.items()} or {"": str(file.content)}
    for name, text in scopes.items():
        steps = {step.content["id"]: step for step in file.steps() if step.job == name and "id" in step.content}
        for step_id, output in re.findall(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)", text):
            if step_id not in steps:
                yield f"{name}: steps.{step_id} is not a step of this job"
            elif (step := steps[step_id]).run and not re.search(rf"\b{output}=.*GITHUB_OUTPUT", step.run):
                yield f"{step.place}: does not write {output}= to GITHUB_OUTPUT"


def verbs(file: File) -> Iterator[str]:
    """Every verb, its arguments, every target of make and every path in a script are there."""
    for step in file.steps():
        yield from (f"{step.place}: {fault}" for fault in commands(step.run))
        if step.uses.startswith(OWN):
            yield from (f"{step.place}: {fault}" for fault in _own(step.uses, step.content.get("with", {})))


def versions(file: File) -> Iterator[str]:
    """Tools and their versions are the matter of actions/setup alone."""
    if not file.is_workflow:
        return
    for step in file.steps():
        if found := INSTALLERS.search(step.run):
            yield f"{step.place}: `{found[0]}` installs; that is the work of .github/actions/setup"
        for key in step.content.get("with", {}):
            if re.search(r"(^|-)version$", key):
                yield f"{step.place}: {key} belongs into .github/actions/setup"


def required(file: File) -> Iterator[str]:
    """The one job that a branch rule asks for sees every other one; skipped, it would count as passed."""
    events = file.content.get("on", {})
    if "pull_request" not in file.triggers or (isinstance(events, dict) and events["pull_request"] == LABELLED):
        return  # what a label starts is no check
    job = file.jobs.get("required")
    if job is None:
        yield "jobs: required is missing, which the branch rules ask for"
        return
    if job.get("if", "").strip("${} ") != "always()":
        yield "required: if: is not always(); skipped, it would count as passed"
    if missing := sorted(file.jobs.keys() - {"required", *file.needs("required")}):
        yield f"required: needs: does not list {', '.join(missing)}"


def _own(uses: str, given: dict[str, str]) -> Iterator[str]:
    path = Path(uses.removeprefix(OWN)) / "action.yml"
    if not path.is_file():
        yield f"{uses} is not an action of this repository"
        return
    inputs = read(path).content.get("inputs", {})
    for name in sorted(given.keys() - inputs.keys()):
        yield f"{uses} has no input {name}"
    for name in sorted(name for name in inputs.keys() - given.keys() if inputs[name].get("required") == "true"):
        yield f"{uses} asks for the input {name}"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        pinned, timeouts, credentials, concurrency, triggers, shell, outputs, verbs, versions,
        required,
    )
}  # fmt: skip
RULES |= trust.RULES
