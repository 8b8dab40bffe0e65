"""Where objects go, in which order, and how many pods there are at least and at most."""

import math
import re
from collections.abc import Iterator
from typing import Any

from deploy.checks import fence
from deploy.checks.rendering import Object, Rendering
from deploy.lib.rules import Finding

HOOK, WAVE = "argocd.argoproj.io/hook", "argocd.argoproj.io/sync-wave"


def everything_is_in_its_namespace(rendering: Rendering) -> Iterator[Finding]:
    for each in rendering.objects:
        if (found := each.metadata.get("namespace")) != f"models-{rendering.environment}":
            wrong = f"is {found or 'missing'}, not models-{rendering.environment}"
            fix = "let deploy/environments set it; a cluster's own kinds do not belong into a release"
            yield each.finding("metadata.namespace", wrong, fix)


def argo_cd_may_apply_it(rendering: Rendering) -> Iterator[Finding]:
    yield from fence.outside(rendering.objects, "models")


def routes_have_a_listener_each(rendering: Rendering) -> Iterator[Finding]:
    """Of two routes with the same path on one listener the older gets every request: staging's."""
    for route in rendering.of("HTTPRoute"):
        for number, parent in enumerate(route.spec.get("parentRefs") or []):
            if (found := parent.get("sectionName")) != rendering.environment:
                wrong = f"is {found or 'missing'}: both environments' routes would claim the same requests"
                yield route.finding(
                    f"spec.parentRefs[{number}].sectionName", wrong, f"set it to {rendering.environment}"
                )


def names_are_one_models(rendering: Rendering) -> Iterator[Finding]:
    """Two models in one namespace must not write the same object."""
    model = rendering.model.replace("_", "-")
    for each in rendering.objects:
        if each.name != model and not each.name.startswith(f"{model}-"):
            wrong = f"is {each.name}, which another model would write, too"
            yield each.finding("metadata.name", wrong, "let deploy/base/names write the model's name into it")


def templates_come_first(rendering: Rendering) -> Iterator[Finding]:
    """Argo CD applies lower waves first; a Rollout that names a template which is not there yet is refused."""
    rollouts = [_wave(each) for each in rendering.of("Rollout")]
    for each in rendering.of("AnalysisTemplate"):
        if rollouts and _wave(each) >= min(rollouts):
            wrong = f"is {_wave(each)}, no earlier than the Rollout's {min(rollouts)}"
            yield each.finding(f"metadata.annotations.{WAVE}", wrong, 'set it to "-1"')


def stored_models_are_held_to_their_passport(rendering: Rendering) -> Iterator[Finding]:
    """Seldon serves whatever lies in a folder: its name is the SHA-256 of the model, which a Job of the sync proves."""
    for model in rendering.of("Model", "mlops.seldon.io"):
        uri, digest = str(model.spec.get("storageUri")), (model.metadata.get("annotations") or {}).get("release/onnx")
        if not re.fullmatch(rf"\w+://[^/]+(/[^/]+)+/{digest}", uri) or len(str(digest)) != 64:
            wrong = f"is {uri}, not a folder named by the SHA-256 of the model's file"
            yield model.finding(
                "spec.storageUri", wrong, "let data.models-store of deploy/argocd/fork.yaml be such as s3://bucket"
            )
        if model.spec.get("artifactVersion") != 1:
            wrong = "is not 1: the highest number would be served, whoever put it there"
            yield model.finding("spec.artifactVersion", wrong, "set it to 1")
        if not any(_holds(job, uri, model) for job in rendering.of("Job", "batch")):
            wrong = "is read by no Job of the sync, with the Secret of the Model, before the Model is applied"
            yield model.finding("spec.storageUri", wrong, "restore deploy/strategies/seldon/stored.yaml")


def _holds(job: Object, uri: str, model: Object) -> bool:
    """Whether a sync fails before the Model unless this Job succeeds with its folder."""
    hook, pod = (job.metadata.get("annotations") or {}).get(HOOK), job.spec["template"]["spec"]
    secrets = [(each.get("secret") or {}).get("secretName") for each in pod.get("volumes") or []]
    reads = uri in pod["containers"][0].get("args", []) and model.spec.get("secretName") in secrets
    return reads and hook == "Sync" and _wave(job) < _wave(model)


def _wave(each: Object) -> int:
    return int((each.metadata.get("annotations") or {}).get(WAVE, 0))


def scaling_keeps_the_replicas(rendering: Rendering) -> Iterator[Finding]:
    for scaler in rendering.of("HorizontalPodAutoscaler"):
        least, most = scaler.spec.get("minReplicas", 1), scaler.spec.get("maxReplicas", 1)
        if least > most:
            wrong = f"is {least}, above maxReplicas, {most}"
            yield scaler.finding("spec.minReplicas", wrong, "let it be at most that")
        for rollout in rendering.of("Rollout"):
            replicas = rollout.spec.get("replicas", 1)
            if most < replicas:
                wrong = f"is {most}, fewer than the {replicas} replicas of the release"
                yield scaler.finding("spec.maxReplicas", wrong, "raise it, or lower replicas in resources.yaml")
            if least < replicas:
                wrong = f"is {least}, fewer than the {replicas} replicas that the canary steps need"
                yield scaler.finding("spec.minReplicas", wrong, "let deploy/base/names write the replicas into it")


def evictions_are_possible(rendering: Rendering) -> Iterator[Finding]:
    """A budget that allows none stops every drain of a node."""
    replicas = min((each.spec.get("replicas", 1) for each in rendering.of("Rollout")), default=1)
    for budget in rendering.of("PodDisruptionBudget"):
        if "maxUnavailable" in budget.spec and _pods(budget.spec["maxUnavailable"], replicas) < 1:
            yield budget.finding("spec.maxUnavailable", "allows no eviction: no node could be drained", "allow one")
        if "minAvailable" in budget.spec and _pods(budget.spec["minAvailable"], replicas) >= replicas:
            wrong = f"leaves none of {replicas} pods to evict: no node could be drained"
            yield budget.finding("spec.minAvailable", wrong, "use maxUnavailable")


def _pods(share: Any, replicas: int) -> int:
    """A number of pods or a percentage of them, rounded up as Kubernetes does for a budget."""
    text = str(share)
    return math.ceil(replicas * int(text.rstrip("%")) / 100) if text.endswith("%") else int(text)
