"""Runs a workflow's scripts on this machine, through needs, conditions, outputs and matrix; `uses:` are stand-ins.

It knows what the workflows use and fails at all else: an unknown action, function or file is an error, never skipped.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.github.expressions import evaluate, interpolate, text
from tests.github.workflows import File

STATES = re.compile(r"\b(always|success|failure|cancelled)\(\)")
Action = Callable[[dict[str, str], Path], dict[str, str] | None]  # from its inputs and the job's folder to its outputs


@dataclass
class Job:
    """What became of a job, with the output of all its scripts; a matrix is one job that ran several times."""

    result: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""


@dataclass
class Runner:
    """`folder` gives each job the place to work in, by its name; `uses` has an action for each beginning of `uses:`.

    `temporary` gets what GitHub keeps beside the workspace: a job's summary. `jobs` may begin with those that are done.
    """

    file: File
    folder: Callable[[str], Path]
    uses: Mapping[str, Action]
    github: dict[str, Any]
    temporary: Path
    variables: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    def run(self) -> dict[str, Job]:
        waiting = [name for name in self.file.jobs if name not in self.jobs]
        while waiting:
            name = next(each for each in waiting if self.jobs.keys() >= set(self.file.needs(each)))
            waiting.remove(name)
            self.jobs[name] = self.job(name)
        return self.jobs

    def job(self, name: str) -> Job:
        content, done = self.file.jobs[name], Job()
        needs = {
            each: {"result": self.jobs[each].result, "outputs": self.jobs[each].outputs}
            for each in self.file.needs(name)
        }
        contexts = {"github": self.github, "vars": self.variables, "needs": needs, "secrets": {}}
        contexts["inputs"] = self.github["event"].get("inputs")
        state = "success" if all(each["result"] == "success" for each in needs.values()) else "failure"
        try:
            if not _true(content.get("if", ""), contexts, state):
                return done
        except ValueError as error:  # `fromJSON` of what is none, which GitHub counts as the job's failure
            return Job("failure", log=f"if: {error}")
        done.result = "success"
        for matrix in _matrix(content.get("strategy", {}).get("matrix", {}), contexts):
            label = " ".join([name, *(_label(each) for each in matrix.values())])
            self._steps(name, contexts | {"matrix": matrix}, self.folder(label), self.temporary / label, done)
        return done

    def _steps(self, name: str, contexts: dict[str, Any], folder: Path, temporary: Path, done: Job) -> None:
        content, state = self.file.jobs[name], "success"
        temporary.mkdir(parents=True)
        contexts = contexts | {"steps": {}, "env": {}}
        _add(contexts, self.file.content.get("env", {}), content.get("env", {}))
        for number, step in enumerate(content["steps"]):
            if not _true(step.get("if", ""), contexts, state):
                continue
            of_step = contexts | {"env": dict(contexts["env"])}
            _add(of_step, step.get("env", {}))
            if "uses" in step:
                action = next(act for start, act in self.uses.items() if step["uses"].startswith(start))
                given = {key: text(interpolate(value, of_step)) for key, value in step.get("with", {}).items()}
                try:
                    contexts["steps"][step.get("id", str(number))] = {"outputs": action(given, folder) or {}}
                except OSError as error:
                    done.log += f"{step['uses']}: {error}\n"
                    state = done.result = "failure"
                continue
            output = temporary / f"output-{number}"
            output.touch()
            files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(temporary / "summary.md")}
            files |= {"GITHUB_SHA": self.github.get("sha", ""), "RUNNER_TEMP": str(temporary)}
            ran = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=folder,
                env=os.environ | self.environment | of_step["env"] | files,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            done.log += ran.stdout
            contexts["steps"][step.get("id", str(number))] = {"outputs": _written(output)}
            if ran.returncode:
                state = done.result = "failure"
        for key, value in content.get("outputs", {}).items():
            done.outputs[key] = text(interpolate(value, contexts))


def _add(contexts: dict[str, Any], *environments: dict[str, str]) -> None:
    for environment in environments:
        contexts["env"] |= {key: text(interpolate(value, contexts)) for key, value in environment.items()}


def _true(condition: str, contexts: dict[str, Any], state: str) -> bool:
    """Without a word on the state of the run, a condition is about what succeeded so far."""
    condition = condition.strip().removeprefix("${{").removesuffix("}}").strip()
    states = {each: state == each for each in ("success", "failure", "cancelled")} | {"always": True}
    known = {each: partial(bool, is_so) for each, is_so in states.items()}
    if not condition or not STATES.search(condition):
        condition = f"success() && ({condition or 'true'})"
    return bool(evaluate(condition, contexts | known))


def _matrix(matrix: dict[str, Any], contexts: dict[str, Any]) -> list[dict[str, Any]]:
    values = [each if isinstance(each, list) else interpolate(each, contexts) for each in matrix.values()]
    return [dict(zip(matrix, each, strict=True)) for each in itertools.product(*values)]


def _label(value: Any) -> str:
    return str(value["name"] if isinstance(value, dict) else value)


def _written(output: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in output.read_text().splitlines())
