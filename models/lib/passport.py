"""The record that travels with a model: what it was made from, what was measured, what judged it and how."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from data_schemas.lib import pointer
from models.lib import config, governance
from repo.lib.files import DUMPER, read_json, read_yaml, sha256, sha256_of_files
from repo.lib.refusal import Refusal

SERVED = ("strategy", "api", "latency_budget_ms", "canary", "threshold", "shift")  # of `serving`, what others ask
# What makes, measures and judges a model beside its own folder and its dataset's, and what its service is made of. The
# rest (what CI plans, pull requests, reports of changes) is another matter, and no model has another version for it.
CODE = (
    *(f"repo/lib/{name}.py" for name in ("command", "files", "git", "refusal")),
    *("data_schemas/lib/*.py", "data_schemas/validate.py", "models/lib/*.py", "models/lib/tasks/*.py"),
    *(f"models/{verb}.py" for verb in ("profile", "train", "export", "evaluate", "measure", "gates")),
)
SERVICE = (
    "serving/runtime/*",
    "serving/lib/*.py",
    "serving/build.py",
    "serving/Dockerfile",
    "requirements/serving.txt",
)
REPRODUCED = "reproduced.json"
KEYS = ("model", "version", "verdict", "content", "dataset", "metrics", "gates", "champion")


def content(model: config.Model, onnx: str | None = None) -> dict[str, str]:
    """The hashes of everything that a release came from; the version is derived from these and nothing else.

    `onnx`: the SHA-256 of model.onnx, where the file itself is not here.
    """
    return {
        "data": pointer.demand(model.dataset).hash,
        "schema": sha256(Path("data_schemas", model.dataset, "schema.py")),
        "code": sha256_of_files(code(model)),
        "service": sha256_of_files(_files(SERVICE)),
        "requirements": sha256_of_files([Path("requirements/training.txt"), *_files([str(model.requirements)])]),
        "onnx": onnx or sha256(model.onnx),
    }


def code(model: config.Model) -> list[Path]:
    """The sources that made, measured and judged the model."""
    own = [path for folder in (Path("data_schemas") / model.dataset, model.folder) for path in folder.glob("*.py")]
    return [*_files(CODE), *own, model.folder / "model.yaml", *_files([str(model.folder / governance.CARD)])]


def _files(patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in Path().glob(pattern) if path.is_file()]


def version(hashes: dict[str, str]) -> str:
    """Twelve hex digits of the SHA-256 of the content's canonical JSON: the same content, the same version."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:12]


class _Dumper(DUMPER):
    """Lists of numbers, such as a row of a promise, on one line."""


def _listed(dumper: DUMPER, data: list[Any]) -> yaml.Node:
    numbers = bool(data) and all(isinstance(each, int | float) for each in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=numbers)


_Dumper.add_representer(list, _listed)


def text(record: dict[str, Any]) -> str:
    """The passport as YAML."""
    return yaml.dump(record, Dumper=_Dumper, sort_keys=False, width=120)


def make(
    model: config.Model,
    evaluation: dict[str, Any],
    gates: list[dict[str, Any]],
    champion: Any,
    promises: list[dict[str, Any]],
    slow_ms: float,
) -> dict[str, Any]:
    """The passport, in the order in which a person reads it."""
    hashes = content(model)
    return {
        "model": model.name,
        "version": version(hashes),
        "verdict": "fail" if any(gate["verdict"] == "fail" for gate in gates) else "pass",
        "content": hashes,
        "dataset": {
            "name": model.dataset,
            "window": model.span("test"),
            "rows": evaluation["rows"],
            "level": evaluation["level"],
            "quarantined": pointer.demand(model.dataset).quarantined,
        },
        "governance": governance.record(model),
        "metrics": evaluation["metrics"],
        "gates": gates,
        "judged_by": model.gate_names,  # all there are: a gate added later judges later passports
        "champion": champion,
        "serving": model.serving.model_dump(include=set(SERVED), exclude_none=True) | {"slow_ms": slow_ms},
        "slo": model.slo.model_dump(),
        "retraining": model.retraining.model_dump(),
        "promises": promises,
        **({"reference": evaluation["reference"]} if "reference" in evaluation else {}),
        **_reproduced(model, hashes["onnx"]),
    }


def reference(model: config.Model, evaluation: dict[str, Any], profile: dict[str, Any]) -> dict[str, Any]:
    """What the monitoring measures live traffic against: shares and limits of each feature and of the answers."""
    from models.lib import importance
    from models.lib.tasks import task

    behaviour, matter = task.of(model), importance.matters(evaluation["importance"])
    features = {
        name: {key: each[key] for key in ("shares", "chi2", "limits", "broken", "last")} | {"matters": name in matter}
        for name, each in profile["features"].items()
    }
    answers = {key: evaluation["answers"][key] for key in ("rows", "shares", "chi2", "limits")}
    higher = sorted(behaviour.higher)
    known = {"rows": profile["rows"], "main": behaviour.main, "higher": higher, "fall": evaluation["answers"]["fall"]}
    return {**known, "features": features, "answers": answers}


def _reproduced(model: config.Model, onnx: str) -> dict[str, Any]:
    """What `models reproduce` found of this file on another machine, where it was asked; it decides nothing."""
    path = model.build / REPRODUCED
    found = read_json(path, f"python -m models reproduce {model.name}") if path.is_file() else {}
    return {"reproduced": {key: found[key] for key in ("found", "on")}} if found.get("onnx") == onnx else {}


def refuse_stale(model: config.Model, recorded: Mapping[str, str], but: Sequence[str] = ()) -> None:
    """What the passport in build/ records must be what is there now: model.onnx first, then all that it was made from.

    Building and promoting ask: otherwise they would stamp other sources with the version of these. Of the parts in
    `but` nothing is asked.
    """
    if not model.onnx.is_file():
        fix = "dvc pull" if model.storage == "dvc" else f"git checkout HEAD -- {model.onnx}"
        raise Refusal(f"{model.onnx} is missing; fetch it with `{fix}`.")
    try:
        now = content(model)
    except FileNotFoundError as error:
        name = error.filename
        raise Refusal(f"{name} is missing; restore it with `git checkout HEAD -- {name}`.") from None
    for part in ("onnx", *now):
        if part not in but and recorded.get(part) != now[part]:
            what = model.onnx if part == "onnx" else f"the present {part}"
            wrong = f"{model.build / 'passport.yaml'}: content.{part} is not the hash of {what}"
            raise Refusal(f"{wrong}; run `python -m models run {model.name}`.")


def slow_ms(model: config.Model) -> float:
    """The bound of model.yaml or, where it has none, the one that was measured and judged."""
    if model.serving.slow_ms is not None:
        return model.serving.slow_ms
    path, fix = model.build / "passport.yaml", f"make it with `python -m models run {model.name}`"
    try:
        return float(read_yaml(path, fix, KEYS)["serving"]["slow_ms"])
    except (KeyError, TypeError, ValueError):
        raise Refusal(f"{path}: serving.slow_ms is missing; {fix}.") from None
