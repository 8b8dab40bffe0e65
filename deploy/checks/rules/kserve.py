"""How an InferenceService shares traffic: what its schema lets pass, and KServe refuses or ignores."""

from collections.abc import Iterator

from deploy.checks.rendering import Rendering
from deploy.checks.rules.pods import KSERVE, arms
from deploy.checks.rules.selectors import HASH
from deploy.lib.rules import Finding

MODE = "serving.kserve.io/deploymentMode"


def weights_are_not_ignored(rendering: Rendering) -> Iterator[Finding]:
    for service in rendering.of("InferenceService", KSERVE):
        if (mode := (service.metadata.get("annotations") or {}).get(MODE)) != "Standard":
            wrong = f"is {mode or 'missing'}: in another mode KServe refuses spec.canary"
            yield service.finding(f"metadata.annotations.{MODE}", wrong, "set it to Standard")
        (_, stable), *canaries = arms(service)
        if "canaryTrafficPercent" in stable:
            wrong = "is ignored silently in Standard mode, so all traffic would go to the new version"
            fix = "let `promote --weight` write spec.canary"
            yield service.finding("spec.predictor.canaryTrafficPercent", wrong, fix)
        if stable.get("containers"):
            wrong = "is a custom predictor, beside which KServe refuses a canary"
            yield service.finding("spec.predictor.containers", wrong, "use model and a runtime (argocd/kserve.yaml)")
        for field, arm in canaries:
            if (arm.get("labels") or {}).get(HASH) == (stable.get("labels") or {}).get(HASH):
                wrong = "is that of the stable pods: nothing tells the two apart, and nothing could be judged"
                yield service.finding(f"{field}.labels.{HASH}", wrong, "let `promote --weight` write it")
