"""What every release must be: promote refuses what breaks a rule, and `python -m deploy verify` names it."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.canary import steps
from deploy.lib import promise
from deploy.lib.kustomization import again
from deploy.lib.passport import Gate, Passport, Served, parse_yaml
from deploy.lib.release import FILES, MONITORING, Release
from deploy.lib.strategies import TABLE
from models.lib import config, passport
from repo.lib.refusal import Refusal

REPLICAS = "/spec/replicas"
RESOURCES = "/spec/template/spec/containers/0/resources"
QUANTITY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|[kMGT]|[KMGT]i)?")


@dataclass(frozen=True)
class Finding:
    file: Path
    thing: str  # the object or field in it
    wrong: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}: {self.thing}: {self.wrong}; {self.fix}."


def of_refusal(refusal: Refusal, file: Path, thing: str, fix: str = "") -> Finding:
    """What a Refusal names as wrong, without its path; `fix` replaces its own advice if there is a better one."""
    wrong, _, own = str(refusal).removeprefix(f"{file}: ").rstrip(".").rpartition("; ")
    return Finding(file, thing, wrong, fix or own)


# Of passports that do not say which gates judged them; all of them are of a binary model.
FIRST_GATES = ["roc_auc", "log_loss", "brier", "calibration_error", "slice_roc_auc", "champion", "baseline", "parity"]
FIRST_GATES += ["latency", "size_mb", "behaviour"]


def required_gates(name: str) -> list[str]:
    """Those that the model's model.yaml can limit: a passport without one of them was never judged by it."""
    return config.load(name, check_columns=False).gate_names


def of_passport(record: Passport, model: str, file: Path, required: Collection[str], fix: str) -> list[Finding]:
    """The model's own, with every gate there and passed, and a version that fits its content."""
    present, fits = {gate.name for gate in record.gates}, record.version == passport.version(record.content)
    wrong = [
        ("model", record.model != model and f"is {record.model!r} in a release of {model}"),
        ("version", not fits and f"{record.version} does not fit the content"),
        *((f"gate {gate.name}", _wrong(gate)) for gate in record.gates),
        *((f"gate {name}", "is missing") for name in required if name not in present),
        ("verdict", record.verdict != "pass" and f"is {record.verdict}"),
    ]
    return [Finding(file, thing, text, fix) for thing, text in wrong if text]


def _wrong(gate: Gate) -> str:
    if gate.verdict == "fail":
        return f"failed ({gate.value} against {gate.limit})"
    if gate.verdict == "off":
        return "" if (gate.reason or "").strip() else "is off without a reason"
    return f"passed on {gate.value}" if isinstance(gate.value, float) and not math.isfinite(gate.value) else ""


def of_resources(content: bytes, file: Path, fix: str, strategy: str = "canary") -> list[Finding]:
    """A JSON6902 patch that sets replicas and resources, and nothing else, to what the canary steps can reach.

    Other strategies share traffic without regard to the number of pods.
    """
    try:
        patch = parse_yaml(content)
    except (yaml.YAMLError, ValueError) as error:
        return [Finding(file, "the file", f"not YAML ({' '.join(str(error).split())})", fix)]
    shape = {"op", "path", "value"}
    if not isinstance(patch, list) or not all(isinstance(each, dict) and set(each) == shape for each in patch):
        return [Finding(file, "the file", "not a list of {op, path, value}", fix)]
    values = {str(each["path"]): each["value"] for each in patch if each["op"] == "replace"}
    if len(values) != len(patch) or set(values) != {REPLICAS, RESOURCES}:
        wrong = f"must replace {REPLICAS} and {RESOURCES}, each once, and nothing else"
        return [Finding(file, "the patch", wrong, fix)]
    found = _of_replicas(values[REPLICAS], file, fix, strategy)
    return found + _of_quantities(values[RESOURCES], file, fix)


def _of_replicas(replicas: Any, file: Path, fix: str, strategy: str) -> list[Finding]:
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 1:
        return [Finding(file, REPLICAS, f"{replicas!r} is not a number of pods", fix)]
    if not TABLE[strategy].by_pods:
        return []
    weights = [step.weight for step in steps.read().steps if replicas * step.weight % 100]
    wrong = [f"{replicas} pods cannot take {weight} % of traffic, a step of {steps.ROLLOUT}" for weight in weights]
    return [Finding(file, REPLICAS, each, fix) for each in wrong]


def _of_quantities(resources: Any, file: Path, fix: str) -> list[Finding]:
    """Requests of CPU and memory place the pod; a limit of memory bounds it."""
    found = []
    for group, names in {"requests": ("cpu", "memory"), "limits": ("memory",)}.items():
        given = resources.get(group) if isinstance(resources, dict) else None
        for name in names:
            value = given.get(name) if isinstance(given, dict) else None
            if not QUANTITY.fullmatch(str(value)):
                wrong = "is missing" if value is None else f"{value!r} is not a quantity such as 250m or 384Mi"
                found.append(Finding(file, f"{RESOURCES}/{group}/{name}", wrong, fix))
    return found


def rollout_in_words(serving: Served) -> str:
    """What the cluster does with a new release, for a person, by its strategy."""
    weights = " → ".join(f"{step.weight}" for step in steps.read().steps) + " → 100 %"
    return TABLE[serving.strategy].words.format(weights=weights)


def of_release(release: Release, required: Collection[str]) -> list[Finding]:
    """All rules of its own files; history is asked only for what a rollback is held to."""
    fix = f"roll back or promote again, never by hand (uncommitted: `git checkout HEAD -- {release.folder}`)"
    if missing := [name for name in FILES if name not in release.files]:
        return [Finding(release.folder / name, "the file", "is missing", fix) for name in missing]
    file, found = release.folder / "passport.yaml", list[Finding]()
    try:
        found += of_passport(release.passport, release.model, file, required, fix)
        expected = again(release, promise.of_release(release))
    except Refusal as refusal:
        return [*found, of_refusal(refusal, file, "the passport", fix)]
    resources = release.folder / "resources.yaml"
    found += of_resources(release.files["resources.yaml"], resources, fix, release.passport.serving.strategy)
    return found + [each for name in (FILES[0], MONITORING) for each in _of_written(name, release, expected, fix)]


def _of_written(name: str, release: Release, expected: Release, fix: str) -> list[Finding]:
    """It is what follows from the other files, whose hashes the kustomization holds: any edit shows."""
    try:
        written, follows = (parse_yaml(each.files.get(name, b"{}")) for each in (release, expected))
    except (yaml.YAMLError, ValueError):
        written, follows = None, {}
    if written == follows:
        return []
    fields = [key for key in follows if not isinstance(written, dict) or written.get(key) != follows[key]]
    fields += [key for key in written if key not in follows] if isinstance(written, dict) else []
    wrong = "does not follow from the files beside it: one was edited, or writing them was cut short"
    return [Finding(release.folder / name, ", ".join(fields) or "the file", wrong, fix)]
