"""What Argo CD may apply: each of its projects permits some kinds in some namespaces, by deploy/argocd."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from deploy.checks.rendering import Object
from deploy.lib.rules import Finding
from repo.lib.files import LOADER

ARGOCD = Path("deploy/argocd")


def outside(objects: Iterable[Object], project: str) -> Iterator[Finding]:
    """Objects that the AppProject does not permit; none where there is no such project."""
    texts = [path.read_text() for path in ARGOCD.glob("*.yaml")]
    written = [each or {} for text in texts for each in yaml.load_all(text, Loader=LOADER)]
    specs = [
        each["spec"] for each in written if each.get("kind") == "AppProject" and each["metadata"]["name"] == project
    ]
    for spec in specs:
        kinds = {(each["group"], each["kind"]) for each in spec["namespaceResourceWhitelist"]}
        places = {each["namespace"] for each in spec["destinations"]}
        for each in objects:
            if (each.group, each.kind) not in kinds:
                wrong = f"is none that the AppProject {project} permits: Argo CD would refuse the whole sync"
                yield each.finding("kind", wrong, f"permit it in {ARGOCD}, or leave it out")
            elif (place := each.metadata.get("namespace")) not in places:
                wrong = f"is {place}, where the AppProject {project} permits nothing"
                yield each.finding("metadata.namespace", wrong, f"set one of {', '.join(sorted(places))}")
