"""Names that point to nothing, and objects that nothing points to: kustomize keeps no reference of a Rollout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.pods import workloads
from deploy.checks.rules.runs import runs
from deploy.checks.rules.strategy import CANARY, canaries
from deploy.lib.rules import Fault

SERVICES = {"canary": ("stableService", "canaryService"), "blueGreen": ("activeService", "previewService")}
PLUGIN = "argoproj-labs/gatewayAPI"
MEND = "name an object of the release (base/names writes the model's name into it)"


def services_exist(of: Rendering) -> Iterator[Fault]:
    for rollout, field, name in named_services(of):
        if name is not None and of.find("Service", name, "") is None:
            yield rollout.fault(field, f"names the Service {name}, which is not rendered", MEND)


def named_services(of: Rendering) -> Iterator[tuple[Object, str, Any]]:
    for rollout in of.of("Rollout"):
        for strategy, fields in SERVICES.items():
            content = (rollout.spec.get("strategy") or {}).get(strategy) or {}
            for field in fields:
                yield rollout, f"spec.strategy.{strategy}.{field}", content.get(field)


def templates_exist(of: Rendering) -> Iterator[Fault]:
    for run in runs(of):
        listed = [each.get("templateName") for each in run.block.get("templates") or []]
        for number, name in enumerate(listed):
            if of.find("AnalysisTemplate", name) is None:
                wrong = f"names the AnalysisTemplate {name}, which is not rendered"
                yield run.rollout.fault(f"{run.field}.templates[{number}].templateName", wrong, MEND)
        for name in {name for name in listed if listed.count(name) > 1}:
            yield run.rollout.fault(f"{run.field}.templates", f"names {name} twice", "leave one")
        if not listed:
            yield run.rollout.fault(f"{run.field}.templates", "is empty: nothing is judged", "name a template")


def accounts_exist(of: Rendering) -> Iterator[Fault]:
    for workload in workloads(of):
        name = workload.spec.get("serviceAccountName")
        if name is not None and of.find("ServiceAccount", name) is None:
            wrong = f"names the ServiceAccount {name}, which is not rendered"
            yield workload.owner.fault(f"{workload.field}.spec.serviceAccountName", wrong, MEND)


def routes_exist(of: Rendering) -> Iterator[Fault]:
    """The plugin moves weights on a route whose backends are the Rollout's own two Services."""
    for rollout, canary in canaries(of):
        plugin = ((canary.get("trafficRouting") or {}).get("plugins") or {}).get(PLUGIN)
        if plugin is None:
            continue
        at = f"{CANARY}.trafficRouting.plugins.{PLUGIN}"
        if plugin.get("namespace") != rollout.metadata.get("namespace"):
            wrong = f"is {plugin.get('namespace')}, and the route is in {rollout.metadata.get('namespace')}"
            yield rollout.fault(f"{at}.namespace", wrong, MEND)
        if (route := of.find("HTTPRoute", plugin.get("httpRoute"))) is None:
            wrong = f"names the HTTPRoute {plugin.get('httpRoute')}, which is not rendered"
            yield rollout.fault(f"{at}.httpRoute", wrong, MEND)
            continue
        expected = {canary.get("stableService"), canary.get("canaryService")}
        for number, rule in enumerate(route.spec.get("rules") or []):
            if {each.get("name") for each in rule.get("backendRefs") or []} != expected:
                wrong = f"must be {' and '.join(sorted(map(str, expected)))}, between which the weights move"
                yield route.fault(f"spec.rules[{number}].backendRefs", wrong, "name these two")


def backends_exist(of: Rendering) -> Iterator[Fault]:
    for route in of.of("HTTPRoute"):
        for number, rule in enumerate(route.spec.get("rules") or []):
            for each in rule.get("backendRefs") or []:
                service = of.find("Service", each.get("name"), "")
                at = f"spec.rules[{number}].backendRefs"
                if service is None:
                    wrong = f"name the Service {each.get('name')}, which is not rendered"
                    yield route.fault(at, wrong, MEND)
                elif each.get("port") not in {port.get("port") for port in service.spec.get("ports") or []}:
                    wrong = f"name port {each.get('port')}, which the Service {service.name} has not"
                    yield route.fault(at, wrong, "name one of its ports")


def scaled_exist(of: Rendering) -> Iterator[Fault]:
    for scaler in of.of("HorizontalPodAutoscaler"):
        target = scaler.spec.get("scaleTargetRef") or {}
        found = of.find(str(target.get("kind")), target.get("name"))
        if found is None or found.content.get("apiVersion") != target.get("apiVersion"):
            named = f"{target.get('kind')} {target.get('name')} of {target.get('apiVersion')}"
            yield scaler.fault("spec.scaleTargetRef", f"names the {named}, which is not rendered", MEND)


def callers_call_something(of: Rendering) -> Iterator[Fault]:
    """A URL without a dot names a Service of the same namespace."""
    for workload in workloads(of):
        for container in workload.containers:
            for text in container.get("args") or []:
                host = re.match(r"https?://([a-z0-9-]+)(?::\d+)?(?:/|$)", str(text))
                if host and of.find("Service", host[1], "") is None:
                    wrong = f"calls {text}, a Service that is not rendered"
                    yield workload.owner.fault(f"{workload.field}, container {container.get('name')}", wrong, MEND)


def nothing_is_left_over(of: Rendering) -> Iterator[Fault]:
    """An AnalysisTemplate that no run names judges nobody; a Service that nothing names misleads its reader."""
    judged = {each.get("templateName") for run in runs(of) for each in run.block.get("templates") or []}
    for template in of.of("AnalysisTemplate"):
        if template.name not in judged:
            wrong = "is named by no analysis of the Rollout: it judges nothing"
            yield template.fault("metadata.name", wrong, "name it there, or let the strategy's component delete it")
    called = {name for _, _, name in named_services(of)}
    called |= {
        each.get("name")
        for route in of.of("HTTPRoute")
        for rule in route.spec.get("rules") or []
        for each in rule.get("backendRefs") or []
    }
    for service in of.of("Service", ""):
        if service.name not in called and service.name != service.metadata.get("labels", {}).get(
            "app.kubernetes.io/name"
        ):
            yield service.fault("metadata.name", "is named by nothing, and is not the model's own", "remove it")
    used = {workload.spec.get("serviceAccountName") for workload in workloads(of)}
    for account in of.of("ServiceAccount"):
        if account.name not in used:
            yield account.fault("metadata.name", "is the identity of no pod", "name it in the pods, or remove it")


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
