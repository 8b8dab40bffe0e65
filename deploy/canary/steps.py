"""The canary of a Rollout, as a rehearsal walks it: weights, pauses, analyses."""

import copy
import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.canary import durations
from repo.lib.files import LOADER, read_yaml
from repo.lib.refusal import Refusal

ROLLOUT = Path("deploy/base/rollout.yaml")
ENVIRONMENTS, STRATEGIES = Path("deploy/environments"), Path("deploy/strategies")
STEP = re.compile(r"/spec/strategy/canary/steps/(\d+)/(.+)")
_parsed = dict[bytes | None, Any]()
PATIENCE = 3600.0  # seconds that a weight waits for its requests: `count` of base/analysis/evidence.yaml


@dataclass(frozen=True)
class Analysis:
    """Names of AnalysisTemplates and the arguments given to them, at `where` in the Rollout."""

    templates: tuple[str, ...]
    args: tuple[Mapping[str, Any], ...]
    where: str


@dataclass(frozen=True)
class Step:
    """A weight of the candidate, in percent, how long the cluster stays there, in seconds, and what must then hold."""

    weight: int
    seconds: float
    analyses: tuple[Analysis, ...] = ()


@dataclass(frozen=True)
class Steps:
    """`background` is measured from the weight number `background_from` on; `left_out` names what no rehearsal does."""

    steps: tuple[Step, ...]
    left_out: tuple[str, ...]
    background: Analysis | None = None
    background_from: int = 0

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def rollout(path: Path = ROLLOUT) -> Any:
    """What a Rollout's file holds, which nobody may change: of the same bytes it is parsed once."""
    content = path.read_bytes() if path.is_file() else None  # of which nothing is kept
    if content not in _parsed:
        _parsed[content] = read_yaml(path, "restore it with `git checkout`")
    return _parsed[content]


def evidence(path: Path = ROLLOUT) -> list[tuple[int, int, str]]:
    """Where each weight states how many requests to wait for: number of the step, of the argument, and its value."""
    canary = _at(path, rollout(path), "spec", "strategy", "canary", "steps")
    return [
        (step, place, str(arg.get("value")))
        for step, action in enumerate(canary)
        for place, arg in enumerate((action.get("analysis") or {}).get("args") or [])
        if arg.get("name") == "requests"
    ]


def of(environment: str, strategy: str) -> Steps:
    """The steps that an environment and a strategy make of the base's, by their patches."""
    changed = copy.deepcopy(rollout())
    patches = read_yaml(ENVIRONMENTS / environment / "kustomization.yaml", "restore it with `git checkout`")
    texts = [patch.get("patch", "[]") for patch in patches.get("patches") or []]
    operations = [each for text in texts for each in yaml.load(text, Loader=LOADER)]  # noqa: S506 - a safe loader
    if (patch := STRATEGIES / strategy / "rollout.yaml").is_file():
        operations += read_yaml(patch, "restore it with `git checkout`")
    for each in operations:
        found = STEP.fullmatch(str(each.get("path")))
        if each.get("op") == "replace" and found:
            place = changed["spec"]["strategy"]["canary"]["steps"][int(found[1])]
            *above, last = found[2].split("/")
            for key in above:
                place = place[key]
            place[last] = each["value"]
    return plan(changed, str(ROLLOUT))


def takes(walk: Steps, requests: int, rate: float) -> list[float]:
    """Seconds at each weight, with `rate` requests a second to all pods and `requests` more to the canary a weight.

    Infinite from the weight on that waits longer than an hour, where the rollout pauses for a person.
    """
    found, sent = list[float](), 0.0
    for number, step in enumerate(walk.steps, 1):
        share = rate * step.weight / 100
        lacking = max(0.0, requests * number - sent - share * step.seconds)
        waits = lacking / share if share else math.inf
        found.append(step.seconds + waits if waits <= PATIENCE else math.inf)
        sent += share * found[-1] if math.isfinite(found[-1]) else 0.0
    return found


def read(path: Path = ROLLOUT) -> Steps:
    """The steps of a Rollout's file."""
    content = rollout(path)
    _at(path, content, "spec", "strategy", "canary", "steps")
    # What a release's resources.yaml replaces; it stands after the steps, so a file cut off among them has none.
    _at(path, content, "spec", "replicas")
    _at(path, content, "spec", "template", "spec", "containers", 0, "resources")
    return plan(content, str(path))


def plan(rollout: Any, where: str) -> Steps:
    """Weights, pauses and analyses in order; a weight of 0 or 100 % leaves nothing to compare and is not a step."""
    listed = _at(where, rollout, "spec", "strategy", "canary", "steps")
    if not isinstance(listed, list):
        raise Refusal(f"{where}: spec.strategy.canary.steps is not a list; fix it there.")
    canary = rollout["spec"]["strategy"]["canary"]
    steps: list[Step] = []
    left_out: list[str] = []
    ends: list[int] = []  # number of the last action at each weight
    weight = 0
    for number, step in enumerate(listed):
        place = f"{where}: spec.strategy.canary.steps[{number}]"
        if not isinstance(step, dict) or len(step) != 1:
            raise Refusal(f"{place} must hold one action, such as `setWeight: 25`; fix it there.")
        action, value = next(iter(step.items()))
        compared = 0 < weight < 100
        if action == "setWeight":
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
                raise Refusal(f"{place}.setWeight is {value!r}; it must be a whole number from 0 to 100.")
            weight = value
            if 0 < weight < 100:
                steps.append(Step(weight, 0.0))
                ends.append(number)
        elif action == "pause":
            duration = (value or {}).get("duration") if isinstance(value, dict | None) else value
            seconds = None if duration is None else durations.seconds(duration, f"{place}.pause.duration")
            if seconds is None:
                left_out.append(f"Step {number} waits for a person; the rehearsal goes on once it has enough evidence.")
            elif compared:
                steps[-1] = dataclasses.replace(steps[-1], seconds=steps[-1].seconds + seconds)
        elif action == "analysis" and compared:
            found = _analysis(value, f"{place}.analysis")
            steps[-1] = dataclasses.replace(steps[-1], analyses=(*steps[-1].analyses, found))
        else:
            left_out.append(f"Step {number} ({action}) is the cluster's; the rehearsal leaves it out.")
        if compared and action != "setWeight":
            ends[-1] = number
    if not sum(step.seconds for step in steps):
        raise Refusal(f"{where}: spec.strategy.canary.steps has no pause at a weight between 0 and 100; add one.")
    if not canary.get("analysis"):
        return Steps(tuple(steps), tuple(left_out))
    place = f"{where}: spec.strategy.canary.analysis"
    first = canary["analysis"].get("startingStep", 0)
    begins = next((index for index, end in enumerate(ends) if end >= first), None)
    if begins is None:
        raise Refusal(f"{place}.startingStep is {first}, after the last weight, so it measures nothing; lower it.")
    return Steps(tuple(steps), tuple(left_out), _analysis(canary["analysis"], place), begins)


def _analysis(content: Any, place: str) -> Analysis:
    if not isinstance(content, dict) or not all(isinstance(each, dict) for each in content.get("args") or ()):
        raise Refusal(f"{place} must hold templates and args, each with a name; fix it there.")
    unknown = set(content) - {"templates", "args", "startingStep"}
    if unknown:
        raise Refusal(f"{place}.{min(unknown)} is not understood; a rehearsal reads templates, args, startingStep.")
    names = [each.get("templateName") for each in content.get("templates") or [] if not each.get("clusterScope")]
    if not names or None in names or len(names) < len(content["templates"]):
        raise Refusal(f"{place}.templates must name AnalysisTemplates, each by templateName; fix it there.")
    return Analysis(tuple(names), tuple(content.get("args") or ()), place)


def _at(where: Path | str, content: Any, *keys: str | int) -> Any:
    """What stands there; a Refusal where nothing does."""
    for key in keys:
        try:
            content = content[key]
        except (KeyError, TypeError, IndexError):
            content = None
    if content is None:
        place = ".".join(map(str, keys))
        raise Refusal(f"{where}: {place} is missing; restore the file with `git checkout`.")
    return content
