"""The strategies of `serving.strategy`: what a release of each renders, and what the cluster does with it.

A strategy's manifests are deploy/strategies/<name>, a component over deploy/base; the canary is the base itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

POD = "/spec/template/spec"


@dataclass(frozen=True)
class Strategy:
    words: str  # what the cluster does with a new release; {weights} are those of the base's steps
    walks: bool = False  # the weights of a Rollout's canary, which its analyses judge
    by_commits: bool = False  # `promote --weight` judges and moves it, and canary.yaml records that
    compared: bool = False  # former and new pods serve the same callers at the same time
    by_pods: bool = False  # a share of traffic is a share of pods
    names: str = "base/names"  # transformers: where the name and the version go
    target: str = "kind: Rollout"  # of a release's patches
    back: str = ""  # annotation and its value by which a rollback gets all traffic at once
    image: bool = True  # what answers is the release's image: contract, telemetry and feedback
    # By target: where the pod is that runs only on nodes of the image's architecture.
    pods: Mapping[str, str] = field(default_factory=lambda: {"kind: Rollout|Deployment": POD})


TABLE: dict[str, Strategy] = {
    "canary": Strategy(
        "a canary walks {weights}, or aborts and the earlier release stays", walks=True, compared=True, by_pods=True
    ),
    "gateway": Strategy(
        "a canary walks the shares of deploy/strategies/gateway, or aborts and the earlier release stays",
        walks=True,
        compared=True,
    ),
    "bluegreen": Strategy(
        "it takes all traffic at once after its smoke test; errors or downtime bring the earlier one back",
        pods={
            "kind: Rollout|Deployment": POD,
            "kind: AnalysisTemplate, name: model-smoke": "/spec/metrics/0/provider/job/spec/template/spec",
        },
    ),
    "serverless": Strategy(
        "it takes the traffic over ten minutes; nothing judges it on the way",
        names="strategies/serverless/names",
        target="group: serving.knative.dev, kind: Service",
        back='serving.knative.dev~1rollout-duration, value: "0s"',
        pods={},  # Knative refuses a node selector by default
    ),
    "kserve": Strategy(
        "KServe gives it the first of {weights} in the place of another of its kind; `promote --weight` judges it on "
        "PROMETHEUS_URL and commits each further weight",
        by_commits=True,
        compared=True,
        names="strategies/kserve/names",
        target="kind: InferenceService",
        pods={},  # lib/weights.py has them, with all else that is an arm's own
    ),
    "seldon": Strategy(
        "Seldon loads the ONNX file, once its hash was checked, and moves all traffic to it; nothing judges it, or "
        "brings the earlier one back",
        names="strategies/seldon/names",
        target="group: mlops.seldon.io, kind: Model",
        pods={},
        image=False,
    ),
}
