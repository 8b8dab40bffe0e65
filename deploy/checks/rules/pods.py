"""What every pod must be: its image a digest, its rights none, its end graceful."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.runs import metrics_of
from deploy.lib.fork import registry
from deploy.lib.rules import Finding

DIGEST = re.compile(r"[^@]+@sha256:[0-9a-f]{64}")
KNATIVE = "serving.knative.dev"
KSERVE = "serving.kserve.io"
BINDING = "NET_BIND_SERVICE"  # the one right that a restricted pod may add
GRACE = 30  # seconds, unless a pod says
HOST = ("hostNetwork", "hostPID", "hostIPC")


@dataclass(frozen=True)
class Workload:
    """A pod template: whose, where in it, and what."""

    owner: Object
    field: str
    template: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.template.get("spec") or {})

    @property
    def labels(self) -> dict[str, str]:
        return dict((self.template.get("metadata") or {}).get("labels") or {})

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]

    def finding(self, container: dict[str, Any], field: str, wrong: str, fix: str) -> Finding:
        return self.owner.finding(f"{self.field}, container {container.get('name')}, {field}", wrong, fix)


def workloads(rendering: Rendering) -> list[Workload]:
    """Pods of Rollouts, Deployments, Knative and KServe's services and jobs, those of analysis included."""
    kinds = (("Rollout", None), ("Deployment", "apps"), ("Job", "batch"), ("Service", KNATIVE))
    owners = [each for kind, group in kinds for each in rendering.of(kind, group)]
    found = [Workload(each, "spec.template", each.spec.get("template") or {}) for each in owners]
    for each in rendering.of("InferenceService", KSERVE):
        found += [Workload(each, at, {"metadata": pod, "spec": pod}) for at, pod in arms(each)]
    for each in rendering.of("AnalysisTemplate"):
        for number, metric in enumerate(metrics_of(each)):
            if job := (metric.get("provider") or {}).get("job"):
                at = f"spec.metrics[{number}].provider.job.spec.template"
                found.append(Workload(each, at, (job.get("spec") or {}).get("template") or {}))
    return found


def arms(service: Object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Field and pod of an InferenceService's predictor, and of its canaries, which KServe lays over that."""
    stable = service.spec.get("predictor") or {}
    owns = [(f"canary[{number}].", each["predictor"]) for number, each in enumerate(service.spec.get("canary") or [])]
    for place, own in [("", dict[str, Any]()), *owns]:
        model = {"name": "model"} | (stable.get("model") or {}) | (own.get("model") or {})
        yield f"spec.{place}predictor", {**stable, **own, "containers": [model, *(stable.get("containers") or [])]}


def contained(rendering: Rendering) -> Iterator[tuple[Workload, dict[str, Any]]]:
    for workload in workloads(rendering):
        for container in workload.containers:
            yield workload, container


def images_are_digests(rendering: Rendering) -> Iterator[Finding]:
    """A tag can come to mean other bytes than those that were tested."""
    place = registry()
    for workload, container in contained(rendering):
        image = str(container.get("image"))
        if not DIGEST.fullmatch(image) or ":" in image.partition("@")[0].rpartition("/")[2]:
            wrong = f"is {image}, not named by digest alone"
            fix = "name it name@sha256:…, or placeholder.invalid/model for the release's own"
            yield workload.finding(container, "image", wrong, fix)
        elif place and not image.startswith(f"{place}/"):
            wrong = f"is {image}, which is not of {place}, the registry of deploy/argocd/fork.yaml"
            yield workload.finding(container, "image", wrong, "push it there, or fix fork.yaml")


def pods_are_restricted(rendering: Rendering) -> Iterator[Finding]:
    """What the namespaces enforce (Pod Security `restricted`), an account of its own, no token, a read-only root."""
    for workload in workloads(rendering):
        pod, at = workload.spec, f"{workload.field}.spec"
        if pod.get("automountServiceAccountToken") is not False:
            wrong = "is not false: the pod would hold a token of the cluster"
            yield workload.owner.finding(f"{at}.automountServiceAccountToken", wrong, "set it to false")
        if pod.get("serviceAccountName") in (None, "default"):
            wrong = "is that of every pod of the namespace, and no pull secret of the model's is named there"
            yield workload.owner.finding(f"{at}.serviceAccountName", wrong, "name the model's own")
        opened = [name for name in HOST if pod.get(name)]
        opened += [f"volumes ({each.get('name')})" for each in pod.get("volumes") or [] if "hostPath" in each]
        for name in opened:
            yield workload.owner.finding(f"{at}.{name}", "opens the node to the pod", "remove it, or use emptyDir")
    for workload, container in contained(rendering):
        own = container.get("securityContext") or {}
        inherited = {**(workload.spec.get("securityContext") or {}), **own}
        profile, rights = inherited.get("seccompProfile") or {}, own.get("capabilities") or {}
        wanted = {
            "runAsNonRoot": inherited.get("runAsNonRoot") is True and inherited.get("runAsUser", 1) != 0,
            "seccompProfile": profile.get("type") in ("RuntimeDefault", "Localhost"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "capabilities": "ALL" in (rights.get("drop") or []) and set(rights.get("add") or []) <= {BINDING},
            "privileged": not own.get("privileged"),
        }
        for name in [name for name, kept in wanted.items() if not kept]:
            wrong, fix = "is not as a restricted pod needs it", "set it as deploy/base/rollout.yaml does"
            yield workload.finding(container, f"securityContext.{name}", wrong, fix)


def resources_are_asked_for(rendering: Rendering) -> Iterator[Finding]:
    """Requests place a pod, a limit of memory keeps it from taking its neighbours'."""
    for workload, container in contained(rendering):
        given = container.get("resources") or {}
        for group, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if name not in (given.get(group) or {}):
                yield workload.finding(container, f"resources.{group}.{name}", "is missing", "set it")


def pods_end_gracefully(rendering: Rendering) -> Iterator[Finding]:
    for workload, container in contained(rendering):
        grace = workload.spec.get("terminationGracePeriodSeconds", GRACE)
        stop = ((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}
        if stop.get("seconds", 0) >= grace:
            wrong = f"sleeps {stop['seconds']} s of the {grace} s that the pod has to end: answers would be cut off"
            yield workload.finding(container, "lifecycle.preStop", wrong, "make terminationGracePeriodSeconds longer")


def writes_go_somewhere(rendering: Rendering) -> Iterator[Finding]:
    for workload in workloads(rendering):
        volumes = {volume.get("name") for volume in workload.spec.get("volumes") or []}
        mounted = {mount.get("name") for each in workload.containers for mount in each.get("volumeMounts") or []}
        for name in sorted(map(str, volumes ^ mounted)):
            wrong = "is mounted by no container" if name in volumes else "is mounted, but no volume"
            yield workload.owner.finding(f"{workload.field}.spec.volumes ({name})", wrong, "fix one of the two")
