"""How a Rollout moves traffic: what its schema lets pass and its controller refuses, ignores, or cannot do."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from deploy.checks.rendering import Object, Rendering
from deploy.lib.rules import Finding

CANARY = "spec.strategy.canary"
PLUGIN = "argoproj-labs/gatewayAPI"


def canaries(rendering: Rendering) -> Iterator[tuple[Object, dict[str, Any]]]:
    """Rollouts with their canary strategy."""
    for rollout in rendering.of("Rollout"):
        if isinstance(canary := (rollout.spec.get("strategy") or {}).get("canary"), dict):
            yield rollout, canary


def steps(rendering: Rendering) -> Iterator[tuple[Object, int, dict[str, Any]]]:
    """Every step of every canary: its Rollout, number and content."""
    for rollout, canary in canaries(rendering):
        for number, step in enumerate(canary.get("steps") or []):
            yield rollout, number, step


def weights(canary: dict[str, Any]) -> list[tuple[int, int]]:
    """Step number and weight, in order."""
    return [(number, step["setWeight"]) for number, step in enumerate(canary.get("steps") or []) if "setWeight" in step]


def one_strategy(rendering: Rendering) -> Iterator[Finding]:
    for rollout in rendering.of("Rollout"):
        if len(rollout.spec.get("strategy") or {}) != 1:
            yield rollout.finding("spec.strategy", "must be one of canary and blueGreen", "leave one")


def one_action_a_step(rendering: Rendering) -> Iterator[Finding]:
    """Of two actions in a step the controller does one."""
    for rollout, number, step in steps(rendering):
        if len(step) != 1:
            does = f"has {len(step)} actions ({', '.join(step) or 'none'})"
            yield rollout.finding(f"{CANARY}.steps[{number}]", does, "make each a step of its own")


def weights_rise(rendering: Rendering) -> Iterator[Finding]:
    for rollout, canary in canaries(rendering):
        listed = weights(canary)
        for number, weight in listed:
            if not 0 <= weight <= 100:
                wrong = f"is {weight}, no percentage"
                yield rollout.finding(f"{CANARY}.steps[{number}].setWeight", wrong, "give a weight from 0 to 100")
        for (_, before), (number, weight) in pairwise(listed):
            if weight <= before:
                wrong = f"is {weight} after {before}: the canary would lose traffic on the way up"
                yield rollout.finding(f"{CANARY}.steps[{number}].setWeight", wrong, "let weights rise")


def weights_within_reach(rendering: Rendering) -> Iterator[Finding]:
    """Without a traffic router pods are the traffic: 4 of them make multiples of 25 %."""
    for rollout, canary in canaries(rendering):
        if "trafficRouting" not in canary:
            replicas = rollout.spec.get("replicas", 1)
            for number, weight in weights(canary):
                if replicas * weight % 100:
                    wrong = f"is {weight}, which {replicas} pods cannot make without a traffic router"
                    fix = "take a multiple that they can make, other replicas, or `strategy: gateway`"
                    yield rollout.finding(f"{CANARY}.steps[{number}].setWeight", wrong, fix)


def services_of_a_router(rendering: Rendering) -> Iterator[Finding]:
    """A router needs both services, and two that are one leave nothing to route between."""
    for rollout, canary in canaries(rendering):
        named = {name: canary.get(name) for name in ("canaryService", "stableService")}
        for name, value in named.items():
            if not value:
                refused = ", and the router refuses" if "trafficRouting" in canary else ""
                wrong = f"is missing: canary and stable pods cannot be told apart{refused}"
                yield rollout.finding(f"{CANARY}.{name}", wrong, "name its Service")
        if named["canaryService"] and named["canaryService"] == named["stableService"]:
            wrong = f"is {named['canaryService']}, as stableService"
            yield rollout.finding(f"{CANARY}.canaryService", wrong, "give each its own Service")
    for rollout in rendering.of("Rollout"):
        blue = (rollout.spec.get("strategy") or {}).get("blueGreen") or {}
        if blue and blue.get("activeService") == blue.get("previewService"):
            wrong = f"is {blue.get('previewService')}, as activeService"
            yield rollout.finding("spec.strategy.blueGreen.previewService", wrong, "give each its own Service")


def what_needs_a_router(rendering: Rendering) -> Iterator[Finding]:
    for rollout, canary in canaries(rendering):
        if "trafficRouting" in canary:
            continue
        named = {f"{CANARY}.{name}" for name in ("dynamicStableScale", "scaleDownDelaySeconds") if name in canary}
        for number, step in enumerate(canary.get("steps") or []):
            needing = {"setCanaryScale", "setHeaderRoute", "setMirrorRoute"} & set(step)
            named |= {f"{CANARY}.steps[{number}].{name}" for name in needing}
        for field in sorted(named):
            wrong = "is refused without a traffic router"
            yield rollout.finding(field, wrong, "remove it, or use `strategy: gateway`")


def router_is_a_plugin(rendering: Rendering) -> Iterator[Finding]:
    """Argo Rollouts 1.9 knows Gateway API by a plugin only, and ignores a block of that name."""
    for rollout, canary in canaries(rendering):
        routing = canary.get("trafficRouting") or {"plugins": [PLUGIN]}
        if "gatewayAPI" in routing:
            wrong = "is ignored silently, so no weight would ever be set"
            yield rollout.finding(f"{CANARY}.trafficRouting.gatewayAPI", wrong, f"write it as plugins.{PLUGIN}")
        elif PLUGIN not in (routing.get("plugins") or {}):
            wrong = "names no router that deploy/argocd installs"
            yield rollout.finding(f"{CANARY}.trafficRouting", wrong, f"use plugins.{PLUGIN}")


def pods_can_move(rendering: Rendering) -> Iterator[Finding]:
    for rollout, canary in canaries(rendering):
        if str(canary.get("maxSurge", "25%")).rstrip("%") == "0" == str(canary.get("maxUnavailable", 0)).rstrip("%"):
            wrong = "and maxUnavailable are both 0: no pod could be replaced"
            yield rollout.finding(f"{CANARY}.maxSurge", wrong, "let one of them be more")


def stuck_pods_abort(rendering: Rendering) -> Iterator[Finding]:
    """Otherwise a canary that never gets ready stays beside the stable pods until a person looks."""
    for rollout in rendering.of("Rollout"):
        if rollout.spec.get("progressDeadlineAbort") is not True:
            wrong = "is not true: a canary that never gets ready would stay half rolled out"
            yield rollout.finding("spec.progressDeadlineAbort", wrong, "set it to true")
        if rollout.spec.get("progressDeadlineSeconds", 600) <= rollout.spec.get("minReadySeconds", 0):
            wrong = "is not above minReadySeconds: every release would abort"
            yield rollout.finding("spec.progressDeadlineSeconds", wrong, "make it longer")
