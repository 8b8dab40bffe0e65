"""The canary steps of the Rollout, as a rehearsal walks them: `python -m deploy rehearse flight_delay`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_schemas.command import Refusal
from data_schemas.files import read_yaml

ROLLOUT = Path("deploy/base/rollout.yaml")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Step:
    """One weight of the candidate, in percent, and how long the cluster stays there, in seconds."""

    weight: int
    seconds: float


@dataclass(frozen=True)
class Steps:
    """`left_out` names what a rehearsal does not do, as a sentence each."""

    steps: tuple[Step, ...]
    left_out: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def read(path: Path = ROLLOUT) -> Steps:
    """Weights and pauses in order; a weight of 0 or 100 % leaves nothing to compare and is not a step."""
    content = read_yaml(path, "restore it with `git checkout`")
    listed = _at(path, content, "spec", "strategy", "canary", "steps")
    if not isinstance(listed, list):
        raise Refusal(f"{path}: spec.strategy.canary.steps is no list; mend it there.")
    # What a release's resources.yaml replaces; it stands after the steps, so a file cut off among them has none.
    _at(path, content, "spec", "replicas")
    _at(path, content, "spec", "template", "spec", "containers", 0, "resources")
    steps: list[Step] = []
    left_out: list[str] = []
    weight = 0
    for number, step in enumerate(listed):
        place = f"{path}: spec.strategy.canary.steps[{number}]"
        if not isinstance(step, dict) or len(step) != 1:
            raise Refusal(f"{place} must hold one action, such as `setWeight: 25`; mend it there.")
        action, value = next(iter(step.items()))
        if action == "setWeight":
            weight = _weight(value, place)
            if 0 < weight < 100:
                steps.append(Step(weight, 0.0))
        elif action == "pause":
            seconds = _seconds(value, place)
            if seconds is None:
                left_out.append(f"Step {number} waits for a person; the rehearsal goes on once it has enough evidence.")
            elif 0 < weight < 100:
                steps[-1] = Step(weight, steps[-1].seconds + seconds)
        else:
            left_out.append(f"Step {number} ({action}) is the cluster's; the rehearsal's own judge looks all the time.")
    if not sum(step.seconds for step in steps):
        raise Refusal(f"{path}: spec.strategy.canary.steps has no pause at a weight between 0 and 100; add one.")
    return Steps(tuple(steps), tuple(left_out))


def _at(path: Path, content: Any, *keys: str | int) -> Any:
    """What stands there; a Refusal where nothing does."""
    for key in keys:
        try:
            content = content[key]
        except (KeyError, TypeError, IndexError):
            content = None
    if content is None:
        place = ".".join(map(str, keys))
        raise Refusal(f"{path}: {place} is missing; restore the file with `git checkout HEAD -- {path}`.")
    return content


def _weight(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise Refusal(f"{place}.setWeight is {value!r}; it must be a whole number from 0 to 100.")
    return value


def _seconds(value: Any, place: str) -> float | None:
    """Seconds of a pause (`30`, `30s`, `2m`, `1h30m`), None for one without an end."""
    duration = (value or {}).get("duration") if isinstance(value, dict | None) else value
    if duration is None:
        return None
    text = str(duration)
    if re.fullmatch(r"\d+", text):
        return float(text)
    if not re.fullmatch(r"(\d+(\.\d+)?[hms])+", text):
        raise Refusal(f"{place}.pause.duration is {duration!r}; write it like 30s, 2m or 1h.")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))
