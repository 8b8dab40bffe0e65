"""What a fork states about itself in deploy/argocd/fork.yaml."""

from pathlib import Path

from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

FORK = Path("deploy/argocd/fork.yaml")


def registry(root: Path = Path()) -> str | None:
    """Where this fork keeps its images, by deploy/argocd/fork.yaml; None where there is no such file."""
    if not (root / FORK).is_file():
        return None
    content = read_yaml(root / FORK, "restore it with `git checkout`", ["data"])
    place = (content["data"] or {}).get("registry")
    if not place:
        raise Refusal(
            f"{FORK}: data.registry is missing; name the registry of this fork's images, or use `git checkout`."
        )
    return str(place).rstrip("/")
