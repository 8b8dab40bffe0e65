"""Where objects go, in which order, and how many pods there are at least and at most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from deploy.checks.rendering import Object, Rendering
from deploy.lib.rules import Fault

WAVE = "argocd.argoproj.io/sync-wave"


def everything_is_in_its_namespace(of: Rendering) -> Iterator[Fault]:
    for each in of.objects:
        if (found := each.metadata.get("namespace")) != f"models-{of.environment}":
            wrong = f"is {found or 'missing'}, not models-{of.environment}"
            mend = "let deploy/environments set it; a cluster's own kinds do not belong into a release"
            yield each.fault("metadata.namespace", wrong, mend)


def names_are_one_models(of: Rendering) -> Iterator[Fault]:
    """Two models in one namespace must not write the same object."""
    model = of.model.replace("_", "-")
    for each in of.objects:
        if each.name != model and not each.name.startswith(f"{model}-"):
            wrong = f"is {each.name}, which another model would write, too"
            yield each.fault("metadata.name", wrong, "let deploy/base/names write the model's name into it")


def templates_come_first(of: Rendering) -> Iterator[Fault]:
    """Argo CD applies lower waves first; a Rollout that names a template which is not there yet is refused."""
    rollouts = [_wave(each) for each in of.of("Rollout")]
    for each in of.of("AnalysisTemplate"):
        if rollouts and _wave(each) >= min(rollouts):
            wrong = f"is {_wave(each)}, no earlier than the Rollout's {min(rollouts)}"
            yield each.fault(f"metadata.annotations.{WAVE}", wrong, 'set it to "-1"')


def _wave(each: Object) -> int:
    return int((each.metadata.get("annotations") or {}).get(WAVE, 0))


def scaling_keeps_the_replicas(of: Rendering) -> Iterator[Fault]:
    for scaler in of.of("HorizontalPodAutoscaler"):
        least, most = scaler.spec.get("minReplicas", 1), scaler.spec.get("maxReplicas", 1)
        if least > most:
            wrong = f"is {least}, above maxReplicas, {most}"
            yield scaler.fault("spec.minReplicas", wrong, "let it be at most that")
        for rollout in of.of("Rollout"):
            replicas = rollout.spec.get("replicas", 1)
            if most < replicas:
                wrong = f"is {most}, fewer than the {replicas} replicas of the release"
                yield scaler.fault("spec.maxReplicas", wrong, "raise it, or lower replicas in resources.yaml")
            if least < replicas:
                wrong = f"is {least}, fewer than the {replicas} replicas that the canary steps need"
                yield scaler.fault("spec.minReplicas", wrong, "let deploy/base/names write the replicas into it")


def evictions_are_possible(of: Rendering) -> Iterator[Fault]:
    """A budget that allows none stops every drain of a node."""
    replicas = min((each.spec.get("replicas", 1) for each in of.of("Rollout")), default=1)
    for budget in of.of("PodDisruptionBudget"):
        if "maxUnavailable" in budget.spec and _pods(budget.spec["maxUnavailable"], replicas) < 1:
            yield budget.fault("spec.maxUnavailable", "allows no eviction: no node could be drained", "allow one")
        if "minAvailable" in budget.spec and _pods(budget.spec["minAvailable"], replicas) >= replicas:
            wrong = f"leaves none of {replicas} pods to evict: no node could be drained"
            yield budget.fault("spec.minAvailable", wrong, "use maxUnavailable")


def _pods(share: Any, replicas: int) -> int:
    """A number of pods or a percentage of them, rounded up as Kubernetes does for a budget."""
    text = str(share)
    return math.ceil(replicas * int(text.rstrip("%")) / 100) if text.endswith("%") else int(text)


RULES = (
    everything_is_in_its_namespace,
    names_are_one_models,
    templates_come_first,
    scaling_keeps_the_replicas,
    evictions_are_possible,
)
