"""The files under .github that GitHub runs, read for the tests: `python -m pytest tests/github`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = Path(".github/workflows")
ACTIONS = Path(".github/actions")
FAULTS = Path(__file__).with_name("faults")
SOUND = FAULTS / "sound.yml"  # without a fault, until one is planted
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A step and where it is: `job` is empty in a composite action."""

    job: str
    number: int
    content: dict[str, Any]

    @property
    def place(self) -> str:
        told = self.content.get("name") or self.content.get("id") or self.content.get("uses") or self.number
        return f"{self.job or 'action'}: step {told}"

    @property
    def run(self) -> str:
        return str(self.content.get("run", ""))

    @property
    def uses(self) -> str:
        return str(self.content.get("uses", ""))


@dataclass(frozen=True)
class File:
    """A workflow or a composite action; every scalar is text, so that `on` is not a boolean."""

    path: Path
    text: str

    @cached_property
    def content(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.load(self.text, yaml.BaseLoader)  # noqa: S506 - it makes only text, lists and maps
        return read

    @property
    def is_workflow(self) -> bool:
        return "jobs" in self.content

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        jobs: dict[str, dict[str, Any]] = self.content.get("jobs", {})
        return jobs

    @property
    def triggers(self) -> set[str]:
        on = self.content.get("on", {})
        return {on} if isinstance(on, str) else set(on)

    def needs(self, job: str) -> list[str]:
        named = self.jobs[job].get("needs", [])
        return [named] if isinstance(named, str) else named

    def steps(self) -> Iterator[Step]:
        of = {name: job.get("steps", []) for name, job in self.jobs.items()}
        for job, steps in (of or {"": self.content.get("runs", {}).get("steps", [])}).items():
            for number, step in enumerate(steps, 1):
                yield Step(job, number, step)


def read(path: Path) -> File:
    return File(path, path.read_text())


def every() -> list[File]:
    return [read(path) for path in sorted([*WORKFLOWS.glob("*.y*ml"), *ACTIONS.glob("*/action.y*ml")])]


def planted(fault: dict[str, Any]) -> str:
    """The sound file with `new` in the place of `old`."""
    text = SOUND.read_text()
    edits = ([each] if isinstance(each, str) else each for each in (fault["old"], fault["new"]))
    for old, new in zip(*edits, strict=True):
        assert old in text, "the fault cannot be planted"
        text = text.replace(old, new)
    return text


def put(folder: Path, program: str, stand_in: str = "") -> None:
    """One of programs/, which stands in for a program of this name."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("programs") / (stand_in or program), folder / program)


def name(value: Any) -> str | None:
    """A test's id for a file."""
    return value.path.name if isinstance(value, File) else None
