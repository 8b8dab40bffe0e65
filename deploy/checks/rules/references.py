"""Names that point to nothing, and objects that nothing points to: kustomize keeps no reference of a Rollout."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.pods import contained, workloads
from deploy.checks.rules.runs import runs
from deploy.checks.rules.strategy import CANARY, PLUGIN, canaries
from deploy.lib.rules import Finding

SERVICES = {"canary": ("stableService", "canaryService"), "blueGreen": ("activeService", "previewService")}
ROUTED = f"{CANARY}.trafficRouting.plugins.{PLUGIN}"
FIX = "name an object of the release (base/names writes the model's name into it)"
URL = re.compile(r"https?://([a-z0-9-]+)(?::\d+)?(?:/|$)")  # without a dot: a Service of the same namespace
PROBES = ("readinessProbe", "livenessProbe")
NAMED = ("AnalysisTemplate", "Service", "ServiceAccount")  # kinds that do nothing unless something names them


class Reference(NamedTuple):
    owner: Object
    field: str
    kind: str
    name: Any
    version: str | None = None  # as apiVersion; None: any


def references(rendering: Rendering) -> Iterator[Reference]:
    """Every name by which one object of a release means another."""
    for rollout in rendering.of("Rollout"):
        for strategy, fields in SERVICES.items():
            content = (rollout.spec.get("strategy") or {}).get(strategy) or {}
            for field in fields:
                yield Reference(rollout, f"spec.strategy.{strategy}.{field}", "Service", content.get(field), "v1")
    for rollout, _, plugin in routed(rendering):
        yield Reference(rollout, f"{ROUTED}.httpRoute", "HTTPRoute", plugin.get("httpRoute"))
    for run in runs(rendering):
        for number, each in enumerate(run.block.get("templates") or []):
            field = f"{run.field}.templates[{number}].templateName"
            yield Reference(run.rollout, field, "AnalysisTemplate", each.get("templateName"))
    for workload in workloads(rendering):
        field = f"{workload.field}.spec.serviceAccountName"
        yield Reference(workload.owner, field, "ServiceAccount", workload.spec.get("serviceAccountName"))
    for workload, container in contained(rendering):
        called = {"args": container.get("args")}
        called |= {each: ((container.get(each) or {}).get("exec") or {}).get("command") for each in PROBES}
        for key, words in called.items():
            field = f"{workload.field}, container {container.get('name')}, {key}"
            for host in filter(None, map(URL.match, map(str, words or []))):
                yield Reference(workload.owner, field, "Service", host[1], "v1")
    for route, field, backend in backends(rendering):
        yield Reference(route, field, "Service", backend.get("name"), "v1")
    for scaler in rendering.of("HorizontalPodAutoscaler"):
        target = scaler.spec.get("scaleTargetRef") or {}
        kind, name, version = (target.get(key) for key in ("kind", "name", "apiVersion"))
        yield Reference(scaler, "spec.scaleTargetRef", str(kind), name, version)


def routed(rendering: Rendering) -> Iterator[tuple[Object, dict[str, Any], dict[str, Any]]]:
    """Rollouts whose weights the plugin moves on a route: with their canary and the plugin's settings."""
    for rollout, canary in canaries(rendering):
        plugin = ((canary.get("trafficRouting") or {}).get("plugins") or {}).get(PLUGIN)
        if plugin is not None:
            yield rollout, canary, plugin


def backends(rendering: Rendering) -> Iterator[tuple[Object, str, dict[str, Any]]]:
    for route in rendering.of("HTTPRoute"):
        for number, rule in enumerate(route.spec.get("rules") or []):
            for each in rule.get("backendRefs") or []:
                yield route, f"spec.rules[{number}].backendRefs", each


def named_objects_exist(rendering: Rendering) -> Iterator[Finding]:
    there = {(each.kind, each.name, each.content.get("apiVersion")) for each in rendering.objects}
    there |= {(kind, name, None) for kind, name, _ in there}
    for owner, field, kind, name, version in references(rendering):
        if name is not None and (kind, name, version) not in there:
            yield owner.finding(field, f"names the {kind} {name}, which is not rendered", FIX)
    for run in runs(rendering):
        if not run.block.get("templates"):
            yield run.rollout.finding(f"{run.field}.templates", "is empty: nothing is judged", "name a template")


def nothing_is_left_over(rendering: Rendering) -> Iterator[Finding]:
    """An AnalysisTemplate that no run names judges nobody; a Service that nothing names misleads its reader."""
    named = {(each.kind, each.name) for each in references(rendering)}
    for each in rendering.objects:
        own = (each.metadata.get("labels") or {}).get("app.kubernetes.io/name") == each.name  # what callers call
        if each.kind in NAMED and (each.kind, each.name) not in named and not (each.kind == "Service" and own):
            yield each.finding("metadata.name", "is named by nothing", "name it where it is needed, or remove it")


def routes_move_between_the_services(rendering: Rendering) -> Iterator[Finding]:
    """The plugin moves weights on a route whose backends are the Rollout's own two Services."""
    for rollout, canary, plugin in routed(rendering):
        if plugin.get("namespace") != rollout.metadata.get("namespace"):
            wrong = f"is {plugin.get('namespace')}, and the route is in {rollout.metadata.get('namespace')}"
            yield rollout.finding(f"{ROUTED}.namespace", wrong, FIX)
        expected = {canary.get("stableService"), canary.get("canaryService")}
        if route := rendering.find("HTTPRoute", plugin.get("httpRoute")):
            for number, rule in enumerate(route.spec.get("rules") or []):
                if {each.get("name") for each in rule.get("backendRefs") or []} != expected:
                    wrong = f"must be {' and '.join(sorted(map(str, expected)))}, between which the weights move"
                    yield route.finding(f"spec.rules[{number}].backendRefs", wrong, "name these two")


def backends_listen(rendering: Rendering) -> Iterator[Finding]:
    for route, field, each in backends(rendering):
        service = rendering.find("Service", each.get("name"), "")
        if service and each.get("port") not in {port.get("port") for port in service.spec.get("ports") or []}:
            wrong = f"name port {each.get('port')}, which the Service {service.name} has not"
            yield route.finding(field, wrong, "name one of its ports")
