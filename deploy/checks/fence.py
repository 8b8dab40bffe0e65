"""What Argo CD may apply: each of its projects permits some kinds in some namespaces, by deploy/argocd."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.checks import kustomize
from deploy.checks.rendering import Object
from deploy.lib.rules import Finding

PROJECTS = {"models": Path("deploy/argocd/appproject.yaml"), "monitoring": Path("deploy/argocd/monitoring.yaml")}


def outside(objects: Iterable[Object], project: str) -> Iterator[Finding]:
    """Objects that the AppProject does not permit; none where there is no such project."""
    path = PROJECTS.get(project)
    written = kustomize.parse(path.read_text()) if path and path.is_file() else []
    for spec in (each["spec"] for each in written if each["kind"] == "AppProject"):
        kinds = {(each["group"], each["kind"]) for each in spec["namespaceResourceWhitelist"]}
        places = {each["namespace"] for each in spec["destinations"]}
        for each in objects:
            if (each.group, each.kind) not in kinds:
                wrong = f"is none that the AppProject {project} permits: Argo CD would refuse the whole sync"
                yield each.finding("kind", wrong, f"permit it in {path}, or leave it out")
            elif (place := each.metadata.get("namespace")) not in {None, *places}:  # None: the Application's
                wrong = f"is {place}, where the AppProject {project} permits nothing"
                yield each.finding("metadata.namespace", wrong, f"set one of {', '.join(sorted(places))}")
