"""Names that point to nothing, and objects that nothing points to: kustomize keeps no reference of a Rollout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.pods import workloads
from deploy.checks.rules.runs import runs
from deploy.checks.rules.strategy import CANARY, canaries
from deploy.lib.rules import Finding

SERVICES = {"canary": ("stableService", "canaryService"), "blueGreen": ("activeService", "previewService")}
PLUGIN = "argoproj-labs/gatewayAPI"
MEND = "name an object of the release (base/names writes the model's name into it)"


def services_exist(rendering: Rendering) -> Iterator[Finding]:
    for rollout, field, name in named_services(rendering):
        if name is not None and rendering.find("Service", name, "") is None:
            yield rollout.finding(field, f"names the Service {name}, which is not rendered", MEND)


def named_services(rendering: Rendering) -> Iterator[tuple[Object, str, Any]]:
    for rollout in rendering.of("Rollout"):
        for strategy, fields in SERVICES.items():
            content = (rollout.spec.get("strategy") or {}).get(strategy) or {}
            for field in fields:
                yield rollout, f"spec.strategy.{strategy}.{field}", content.get(field)


def templates_exist(rendering: Rendering) -> Iterator[Finding]:
    for run in runs(rendering):
        listed = [each.get("templateName") for each in run.block.get("templates") or []]
        for number, name in enumerate(listed):
            if rendering.find("AnalysisTemplate", name) is None:
                wrong = f"names the AnalysisTemplate {name}, which is not rendered"
                yield run.rollout.finding(f"{run.field}.templates[{number}].templateName", wrong, MEND)
        for name in {name for name in listed if listed.count(name) > 1}:
            yield run.rollout.finding(f"{run.field}.templates", f"names {name} twice", "leave one")
        if not listed:
            yield run.rollout.finding(f"{run.field}.templates", "is empty: nothing is judged", "name a template")


def accounts_exist(rendering: Rendering) -> Iterator[Finding]:
    for workload in workloads(rendering):
        name = workload.spec.get("serviceAccountName")
        if name is not None and rendering.find("ServiceAccount", name) is None:
            wrong = f"names the ServiceAccount {name}, which is not rendered"
            yield workload.owner.finding(f"{workload.field}.spec.serviceAccountName", wrong, MEND)


def routes_exist(rendering: Rendering) -> Iterator[Finding]:
    """The plugin moves weights on a route whose backends are the Rollout's own two Services."""
    for rollout, canary in canaries(rendering):
        plugin = ((canary.get("trafficRouting") or {}).get("plugins") or {}).get(PLUGIN)
        if plugin is None:
            continue
        at = f"{CANARY}.trafficRouting.plugins.{PLUGIN}"
        if plugin.get("namespace") != rollout.metadata.get("namespace"):
            wrong = f"is {plugin.get('namespace')}, and the route is in {rollout.metadata.get('namespace')}"
            yield rollout.finding(f"{at}.namespace", wrong, MEND)
        if (route := rendering.find("HTTPRoute", plugin.get("httpRoute"))) is None:
            wrong = f"names the HTTPRoute {plugin.get('httpRoute')}, which is not rendered"
            yield rollout.finding(f"{at}.httpRoute", wrong, MEND)
            continue
        expected = {canary.get("stableService"), canary.get("canaryService")}
        for number, rule in enumerate(route.spec.get("rules") or []):
            if {each.get("name") for each in rule.get("backendRefs") or []} != expected:
                wrong = f"must be {' and '.join(sorted(map(str, expected)))}, between which the weights move"
                yield route.finding(f"spec.rules[{number}].backendRefs", wrong, "name these two")


def backends_exist(rendering: Rendering) -> Iterator[Finding]:
    for route in rendering.of("HTTPRoute"):
        for number, rule in enumerate(route.spec.get("rules") or []):
            for each in rule.get("backendRefs") or []:
                service = rendering.find("Service", each.get("name"), "")
                at = f"spec.rules[{number}].backendRefs"
                if service is None:
                    wrong = f"name the Service {each.get('name')}, which is not rendered"
                    yield route.finding(at, wrong, MEND)
                elif each.get("port") not in {port.get("port") for port in service.spec.get("ports") or []}:
                    wrong = f"name port {each.get('port')}, which the Service {service.name} has not"
                    yield route.finding(at, wrong, "name one of its ports")


def scaled_exist(rendering: Rendering) -> Iterator[Finding]:
    for scaler in rendering.of("HorizontalPodAutoscaler"):
        target = scaler.spec.get("scaleTargetRef") or {}
        found = rendering.find(str(target.get("kind")), target.get("name"))
        if found is None or found.content.get("apiVersion") != target.get("apiVersion"):
            named = f"{target.get('kind')} {target.get('name')} of {target.get('apiVersion')}"
            yield scaler.finding("spec.scaleTargetRef", f"names the {named}, which is not rendered", MEND)


def callers_call_something(rendering: Rendering) -> Iterator[Finding]:
    """A URL without a dot names a Service of the same namespace."""
    for workload in workloads(rendering):
        for container in workload.containers:
            for text in container.get("args") or []:
                host = re.match(r"https?://([a-z0-9-]+)(?::\d+)?(?:/|$)", str(text))
                if host and rendering.find("Service", host[1], "") is None:
                    wrong = f"calls {text}, a Service that is not rendered"
                    yield workload.owner.finding(f"{workload.field}, container {container.get('name')}", wrong, MEND)


def nothing_is_left_over(rendering: Rendering) -> Iterator[Finding]:
    """An AnalysisTemplate that no run names judges nobody; a Service that nothing names misleads its reader."""
    judged = {each.get("templateName") for run in runs(rendering) for each in run.block.get("templates") or []}
    for template in rendering.of("AnalysisTemplate"):
        if template.name not in judged:
            wrong = "is named by no analysis of the Rollout: it judges nothing"
            yield template.finding("metadata.name", wrong, "name it there, or let the strategy's component delete it")
    called = {name for _, _, name in named_services(rendering)}
    called |= {
        each.get("name")
        for route in rendering.of("HTTPRoute")
        for rule in route.spec.get("rules") or []
        for each in rule.get("backendRefs") or []
    }
    for service in rendering.of("Service", ""):
        if service.name not in called and service.name != service.metadata.get("labels", {}).get(
            "app.kubernetes.io/name"
        ):
            yield service.finding("metadata.name", "is named by nothing, and is not the model's own", "remove it")
    used = {workload.spec.get("serviceAccountName") for workload in workloads(rendering)}
    for account in rendering.of("ServiceAccount"):
        if account.name not in used:
            yield account.finding("metadata.name", "is the identity of no pod", "name it in the pods, or remove it")


RULES = (
    services_exist,
    templates_exist,
    accounts_exist,
    routes_exist,
    backends_exist,
    scaled_exist,
    callers_call_something,
    nothing_is_left_over,
)
