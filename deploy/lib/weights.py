"""canary.yaml of a release that walks by commits: its weight, what has the rest, and what was judged at each weight.

The release of strategy `kserve` that takes the place of another has it; KServe routes by weight and judges nobody.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from deploy.canary import steps
from deploy.lib.passport import Image, Passport, Record, parse_yaml, parsed
from repo.lib.files import DUMPER
from repo.lib.refusal import Refusal

FILE = "canary.yaml"
FULL = 100
MADE = "# Written by `python -m deploy promote --weight`; `python -m deploy verify` finds an edit by hand.\n"
MOST = 20  # pods, as deploy/strategies/kserve/inferenceservice.yaml has it
LABEL = "rollouts-pod-template-hash"  # tells the arms apart in Prometheus, as it does of a Rollout's pods: fork.yaml


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


class Judged(Record):
    """What was measured at a weight: by check the value and what it was held to, `0.31, at most 4.6`."""

    weight: int
    at: str  # ISO 8601
    checks: dict[str, str] = Field(min_length=1)

    def __str__(self) -> str:
        return f"{self.weight} %, {self.at}: {'; '.join(f'{name} {said}' for name, said in self.checks.items())}"


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


def read(files: Mapping[str, bytes], folder: Path) -> Weight | None:
    """That of a release's files; None where it has all traffic and took nobody's."""
    if FILE not in files:
        return None
    fix = "restore it with `git checkout`"
    return parsed(lambda text: Weight.model_validate(parse_yaml(text)), files[FILE], folder / FILE, fix)


def written(weight: Weight) -> bytes:
    content = weight.model_dump(exclude_none=True, mode="json")
    return (MADE + yaml.dump(content, Dumper=DUMPER, sort_keys=False, default_flow_style=None, width=120)).encode()


def arm(record: Passport, resources: bytes, folder: Path) -> Arm:
    """The version of a passport with the pods of a resources.yaml."""
    image = record.image and record.image.model_dump(exclude={"commit", "proof"})

    def made(text: bytes) -> Arm:
        values = {str(each["path"]).rpartition("/")[2]: each["value"] for each in parse_yaml(text)}
        return Arm.model_validate({"version": record.version, "image": image, **values})

    return parsed(made, resources, folder / "resources.yaml", "fix it there")


def operations(name: str, own: Arm, weight: Weight | None) -> str:
    """Lines of a JSON patch of the InferenceService.

    Refuses a name that with `-predictor-models-production` is longer than a label of a host, which KServe makes of it.
    KServe takes the canary's pods off the number of the stable ones (its components/predictor.go); as many are added
    here, so that the stable ones can take all traffic back at once.
    """
    if len(name) > 35:
        raise Refusal(f"{name} has {len(name)} characters, and KServe takes at most 35; shorten the model's name.")
    walks = weight is not None and not weight.whole
    stable = weight.former if weight and walks else own
    added = math.ceil(own.replicas * weight.weight / FULL) if weight and walks else 0
    made = stable.predictor(name)
    values = {f"model/{key}": value for key, value in made.pop("model").items()}
    values |= {**made, "minReplicas": stable.replicas + added, "maxReplicas": MOST + added}
    lines = [{"op": "add", "path": f"/spec/predictor/{path}", "value": value} for path, value in values.items()]
    if weight and walks:
        new = own.predictor(name) | {"name": "canary", "minReplicas": added}
        new["model"] |= {"modelFormat": {"name": "bento"}, "name": "kserve-container"}  # which the schema demands
        canary = [{"trafficPercent": weight.weight, "predictor": new}]
        lines.append({"op": "add", "path": "/spec/canary", "value": canary})
    return "".join(f"      - {json.dumps(each)}\n" for each in lines)
