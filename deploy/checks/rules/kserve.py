"""How an InferenceService shares traffic: what its schema lets pass, and KServe refuses or ignores."""

from collections.abc import Iterator

from deploy.checks.rendering import Rendering
from deploy.checks.rules.pods import KSERVE, arms
from deploy.checks.rules.selectors import HASH
from deploy.lib.rules import Finding

MODE = "serving.kserve.io/deploymentMode"
SCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")


def it_runs_in_standard_mode(rendering: Rendering) -> Iterator[Finding]:
    for service in rendering.of("InferenceService", KSERVE):
        if (mode := (service.metadata.get("annotations") or {}).get(MODE)) != "Standard":
            wrong = f"is {mode or 'missing'}: in another mode KServe refuses spec.canary"
            yield service.finding(f"metadata.annotations.{MODE}", wrong, "set it to Standard")
        for field, arm in arms(service):
            if "canaryTrafficPercent" in arm:
                wrong = "is ignored silently in Standard mode, so all traffic would go to the new version"
                fix = "let `promote --weight` write spec.canary"
                yield service.finding(f"{field}.canaryTrafficPercent", wrong, fix)


def kserve_takes_the_canary(rendering: Rendering) -> Iterator[Finding]:
    for service in rendering.of("InferenceService", KSERVE):
        (_, stable), *canaries = arms(service)
        if canaries and stable.get("containers"):
            wrong = "is a custom predictor, beside which KServe refuses a canary"
            yield service.finding("spec.predictor.containers", wrong, "use model and a runtime (argocd/kserve.yaml)")
        if stable.get("minReplicas", 1) > (most := stable.get("maxReplicas", 0)) > 0:
            wrong = f"is {stable['minReplicas']}, above maxReplicas, {most}"
            yield service.finding("spec.predictor.minReplicas", wrong, "lower replicas in resources.yaml")
        for number, (field, arm) in enumerate(canaries):
            for name in set(SCALING) & set(service.spec["canary"][number]["predictor"]):
                wrong = "is refused: a canary has a fixed number of pods"
                yield service.finding(f"{field}.{name}", wrong, "set minReplicas")
            if not arm.get("name") or arm["name"] == stable.get("name"):
                yield service.finding(f"{field}.name", "is missing or the stable pods' own", "name the canary")
            if (arm.get("labels") or {}).get(HASH) == (stable.get("labels") or {}).get(HASH):
                wrong = "is that of the stable pods: nothing tells the two apart, and nothing could be judged"
                yield service.finding(f"{field}.labels.{HASH}", wrong, "let `promote --weight` write it")
