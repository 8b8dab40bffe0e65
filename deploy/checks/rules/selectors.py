"""Who selects which pods, by which port: a selector or port that meets nothing is not an error to any controller."""

from collections.abc import Iterator
from typing import Any

from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.pods import Workload, contained, workloads
from deploy.lib.rules import Finding

HASH = "rollouts-pod-template-hash"  # Argo Rollouts adds it to selectors itself
FIELDS = {
    "PodDisruptionBudget": ("spec.selector", "selector"),
    "PodMonitor": ("spec.selector", "selector"),
    "NetworkPolicy": ("spec.podSelector", "podSelector"),
}


def selections(rendering: Rendering) -> Iterator[tuple[Object, str, dict[str, str], list[Workload]]]:
    """What selects, the field, the labels, and the workloads whose pods it meets."""
    pods = workloads(rendering)
    for each in rendering.objects:
        if each.kind == "Service" and each.group == "":
            field, labels = "spec.selector", each.spec.get("selector") or {}
        elif each.kind in FIELDS:
            field, key = FIELDS[each.kind]
            labels = (each.spec.get(key) or {}).get("matchLabels") or {}
        else:
            continue
        wanted = {name: value for name, value in labels.items() if name != HASH}
        yield each, field, wanted, [pod for pod in pods if wanted.items() <= pod.labels.items()]


def selectors_meet_one_workload(rendering: Rendering) -> Iterator[Finding]:
    for each, field, wanted, met in selections(rendering):
        if len({pod.owner.name for pod in met}) != 1 or not wanted:
            labels = ", ".join(f"{name}={value}" for name, value in sorted(wanted.items())) or "everything"
            names = ", ".join(f"{pod.owner.kind} {pod.owner.name}" for pod in met)
            wrong = f"({labels}) meets the pods of {names}" if met else f"({labels}) meets no pod"
            yield each.finding(field, wrong, "select the labels of the Rollout's pods")


def workloads_select_their_pods(rendering: Rendering) -> Iterator[Finding]:
    for workload in workloads(rendering):
        if workload.owner.kind not in ("Rollout", "Deployment"):
            continue
        wanted = (workload.owner.spec.get("selector") or {}).get("matchLabels") or {}
        if not wanted or not wanted.items() <= workload.labels.items():
            wrong = "does not meet its own pods"
            yield workload.owner.finding("spec.selector", wrong, "let it be labels of spec.template")
        for number, spread in enumerate(workload.spec.get("topologySpreadConstraints") or []):
            labels = (spread.get("labelSelector") or {}).get("matchLabels") or {}
            if not labels or not labels.items() <= workload.labels.items():
                at = f"spec.template.spec.topologySpreadConstraints[{number}].labelSelector"
                yield workload.owner.finding(at, "does not meet its own pods: they would not be spread", "select them")


def ports_are_the_containers(rendering: Rendering) -> Iterator[Finding]:
    """A port by name or number that no container of the pods has."""
    asked = [
        (each, field, port, pod)
        for each, _, _, met in selections(rendering)
        for field, port in _ports(each)
        for pod in met
    ]
    for pod, container in contained(rendering):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            at = f"{pod.field}, container {container.get('name')}, {probe}.httpGet.port"
            asked.append((pod.owner, at, ((container.get(probe) or {}).get("httpGet") or {}).get("port"), pod))
    for each, field, port, pod in asked:
        ports = [found for container in pod.containers for found in container.get("ports") or []]
        if port not in {None, *(found.get(key) for found in ports for key in ("name", "containerPort"))}:
            wrong = f"is {port!r}, which no container of {pod.owner.kind} {pod.owner.name} has"
            yield each.finding(field, wrong, "name one of its ports")


def _ports(each: Object) -> Iterator[tuple[str, Any]]:
    if each.kind == "Service":
        for number, port in enumerate(each.spec.get("ports") or []):
            yield f"spec.ports[{number}].targetPort", port.get("targetPort", port.get("port"))
    if each.kind == "PodMonitor":
        for number, end in enumerate(each.spec.get("podMetricsEndpoints") or []):
            yield f"spec.podMetricsEndpoints[{number}].port", end.get("port", end.get("portNumber"))
    if each.kind == "NetworkPolicy":
        for number, rule in enumerate(each.spec.get("ingress") or []):
            for port in rule.get("ports") or []:
                yield f"spec.ingress[{number}].ports", port.get("port")
