"""canary.yaml of a release that walks by commits: its weight, what has the rest, and what was judged at each weight.

The release of strategy `kserve` that takes the place of another has it; KServe routes by weight and judges nobody.
"""

import json
import math
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, TypeAdapter

from deploy.canary import steps
from deploy.lib.passport import Image, Passport, Record, parse_yaml, parsed
from repo.lib.files import DUMPER

FILE = "canary.yaml"
FULL = 100
MADE = "# Written by `python -m deploy promote --weight`; `python -m deploy verify` finds an edit by hand.\n"
MOST = 20  # pods, as deploy/strategies/kserve/inferenceservice.yaml has it
LABEL = "rollouts-pod-template-hash"  # tells the arms apart in Prometheus, as it does of a Rollout's pods: fork.yaml


SIGNS = {"<=": "at most", ">=": "at least"}


class Sized(Record):
    path: str
    value: Any


RESOURCES = TypeAdapter(list[Sized])  # of a resources.yaml


class Arm(Record):
    """One version as KServe is given it."""

    version: str
    image: Image
    replicas: int = Field(ge=1)
    resources: dict[str, dict[str, str | int | float]]

    @property
    def hash(self) -> str:
        return self.image.digest.removeprefix("sha256:")[:12]

    def predictor(self, name: str) -> dict[str, Any]:
        """What both arms have of their own."""
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/version": self.version, LABEL: self.hash}
        nodes = {"kubernetes.io/os": "linux"}
        if self.image.platform:
            nodes["kubernetes.io/arch"] = self.image.platform.partition("/")[2]
        served = {"image": f"{self.image.name}@{self.image.digest}", "resources": self.resources}
        return {"labels": labels, "nodeSelector": nodes, "model": served}


class Judged(Record, strict=False):
    """What was measured at a weight: by check the value, and what it was held to."""

    weight: int
    at: str  # ISO 8601
    checks: dict[str, tuple[float, Literal["<=", ">="], float]] = Field(min_length=1)

    @property
    def healthy(self) -> bool:
        return all(value <= limit if sign == "<=" else value >= limit for value, sign, limit in self.checks.values())

    def __str__(self) -> str:
        said = "; ".join(
            f"{name} {value:g}, {SIGNS[sign]} {limit:g}" for name, (value, sign, limit) in self.checks.items()
        )
        return f"{self.weight} %, {self.at}: {said}"


class Weight(Record):
    weight: int
    former: Arm  # which has the rest
    judged: list[Judged] = Field(default_factory=list)

    @property
    def next(self) -> int:
        return next(each for each in all_of_them() if each > self.weight)

    @property
    def whole(self) -> bool:
        return self.weight == FULL


def all_of_them() -> list[int]:
    """Those of the basic canary, and the end."""
    return [*(step.weight for step in steps.read().steps), FULL]


def read(files: Any, folder: Path) -> Weight | None:
    """That of a release's files; None where it has all traffic and took nobody's."""
    if (content := files.get(FILE)) is None:
        return None
    fix = "restore it with `git checkout`"
    return parsed(lambda text: Weight.model_validate(parse_yaml(text)), content, folder / FILE, fix)


def written(weight: Weight) -> bytes:
    content = weight.model_dump(exclude_none=True, mode="json")
    return (MADE + yaml.dump(content, Dumper=DUMPER, sort_keys=False, default_flow_style=None)).encode()


def arm(record: Passport, resources: bytes, folder: Path) -> Arm:
    """The version of a passport with the pods of a resources.yaml."""
    image = record.image and record.image.model_dump(exclude={"commit", "proof"})

    def made(text: bytes) -> Arm:
        values = {each.path.rpartition("/")[2]: each.value for each in RESOURCES.validate_python(parse_yaml(text))}
        return Arm.model_validate({"version": record.version, "image": image, **values})

    return parsed(made, resources, folder / "resources.yaml", "fix it there")


def arm_of(release: Any) -> Arm:
    return arm(release.passport, release.files["resources.yaml"], release.folder)


def operations(name: str, own: Arm, weight: Weight | None) -> str:
    """Lines of a JSON patch of the InferenceService.

    KServe takes the canary's pods off the number of the stable ones (its components/predictor.go); as many are added
    here, so that the stable ones can take all traffic back at once.
    """
    stable = own if weight is None or weight.whole else weight.former
    made = stable.predictor(name)
    added, canary = 0, list[Any]()
    if stable is not own and weight is not None:
        added = math.ceil(own.replicas * weight.weight / FULL)
        new = own.predictor(name)
        new["model"] |= {"modelFormat": {"name": "bento"}, "name": "kserve-container"}  # which the schema demands
        canary = [{"trafficPercent": weight.weight, "predictor": {"name": "canary", "minReplicas": added, **new}}]
    values = {
        "/spec/predictor/labels": made["labels"],
        "/spec/predictor/nodeSelector": made["nodeSelector"],
        "/spec/predictor/minReplicas": stable.replicas + added,
        "/spec/predictor/maxReplicas": MOST + added,
        **{f"/spec/predictor/model/{key}": value for key, value in made["model"].items()},
        **({"/spec/canary": canary} if canary else {}),
    }
    lines = [{"op": "add", "path": path, "value": value} for path, value in values.items()]
    return "".join(f"      - {json.dumps(each)}\n" for each in lines)
