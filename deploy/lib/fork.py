"""What a fork states about itself in deploy/argocd/fork.yaml."""

import re
from pathlib import Path

from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

FORK = Path("deploy/argocd/fork.yaml")
NOBODY = "your-organisation"  # of the template: it deploys nothing


def registry(root: Path = Path()) -> str | None:
    """Where this fork keeps its images; None where there is no fork.yaml."""
    return _entry(root, "registry", "the registry of this fork's images")


def repository(root: Path = Path()) -> str | None:
    """Its address, https://<host>/<organisation>/<repository>; None where there is no fork.yaml."""
    return _entry(root, "repository", "the address of this fork")


def labels() -> dict[str, str]:
    """By argument of an AnalysisTemplate: what this fork's Prometheus calls the labels of job and pod template."""
    names = {"job-label": "job", "hash-label": "rollouts_pod_template_hash"}
    return {key: _entry(Path(), key, "a label of Prometheus") or name for key, name in names.items()}


def models_store(root: Path = Path()) -> str | None:
    """Where models lie that are served without an image; None where there is no fork.yaml."""
    place = _entry(root, "models-store", "the object store of this fork's models")
    if place and (NOBODY in place or not re.fullmatch(r"\w+://[^/\s]+(/[^/\s]+)*", place)):
        raise Refusal(
            f"{FORK}: data.models-store: {place} is no address of yours; write it such as s3://bucket/folder."
        )
    return place


def _entry(root: Path, key: str, what: str) -> str | None:
    if not (root / FORK).is_file():
        return None
    content = read_yaml(root / FORK, "restore it with `git checkout`", ["data"])
    place = (content["data"] or {}).get(key)
    if not place:
        raise Refusal(f"{FORK}: data.{key} is missing; name {what}, or use `git checkout`.")
    return str(place).rstrip("/")
