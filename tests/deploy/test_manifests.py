"""What a release renders to: its objects by strategy and environment, and what two releases differ in."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.__main__ import ENVIRONMENTS
from deploy.checks import check, kustomize, rendering
from deploy.checks.rendering import Object
from deploy.checks.rules.pods import arms
from deploy.lib import kustomization, promise, release, rules, weights
from deploy.lib.passport import Served
from deploy.lib.release import Release
from deploy.lib.strategies import TABLE
from tests.deploy.manifests import faults, renamed, renders, specimen
from tests.support.repository import ROOT
from tests.support.specimens import SPECIMENS

Text = Callable[[Release], str]
Objects = dict[tuple[str, str], dict[str, Any]]  # by kind and name
STRATEGIES = rendering.strategies()
SERVICES = [strategy for strategy in STRATEGIES if TABLE[strategy].image]
PODS = {
    *(("Rollout", "specimen"), ("ServiceAccount", "specimen"), ("Service", "specimen"), ("Service", "specimen-canary")),
    *(("HorizontalPodAutoscaler", "specimen"), ("PodDisruptionBudget", "specimen"), ("NetworkPolicy", "specimen")),
    ("PodMonitor", "specimen"),
}
ALONE = {("AnalysisTemplate", f"specimen-{name}") for name in ("success", "downtime")}
BOUNDS = ("slow", "stable-slow", "budget", "stable-budget")
COMPARED = {
    ("AnalysisTemplate", f"specimen-{name}")
    for name in ("errors", "refusals", "latency", "budget", "score-shift", "evidence")
}
CANARY = PODS | ALONE | COMPARED | {("Service", "specimen-stable")}
EXPECTED = {
    "canary": CANARY,
    "gateway": CANARY | {("HTTPRoute", "specimen")},
    "bluegreen": PODS | ALONE | {("AnalysisTemplate", "specimen-smoke")},
    "serverless": {("Service", "specimen"), ("ServiceAccount", "specimen")},
    "kserve": {
        *(("InferenceService", "specimen"), ("ServiceAccount", "specimen"), ("PodMonitor", "specimen")),
        *(("NetworkPolicy", "specimen"), ("PodDisruptionBudget", "specimen")),
    },
    "seldon": {("Model", "specimen"), ("Job", "specimen-stored"), ("ServiceAccount", "specimen")},
}
OWN = ("serverless", "kserve", "seldon")  # which have no Rollout
KINDS = ("canary", "kserve")
VERSION = "app.kubernetes.io/version"
# Strategy, and a version that looks like a number; environment, strategy, the image's platform, and how many pods.
NUMBERS = [
    (each, version)
    for each in ("canary", "serverless", "kserve")
    for version in ("123456789012", "0123456789e1", "0" * 12)
]
PLACES = [
    ("staging", "canary", "linux/arm64", 2),
    ("production", "gateway", "linux/arm64", 1),
    ("production", "bluegreen", "linux/arm64", 2),
    ("production", "canary", None, 1),
]
FOUND = [path.parent for root in (ROOT, SPECIMENS) for path in sorted(root.glob("models/*/model.yaml"))]


@pytest.fixture(scope="module")
def text(specimen_texts: list[str]) -> Text:
    """What a specimen renders to, or one of `others`, which are rendered together under names of their own."""
    known = dict(zip(map(written, rendering.specimens()), specimen_texts, strict=True))
    listed = others()
    with rendering.copied() as tree:
        made, refused = check.render_all([renamed(of, f"other_{place:02}") for place, of in enumerate(listed)], tree)
    assert refused == []
    for place, of in enumerate(listed):
        known[written(of)] = made[place][1].replace(f"other-{place:02}", release.kubernetes_name(of.model))
    return lambda of: known[written(of)]


def written(of: Release) -> tuple[bytes, ...]:
    return (str(of.folder).encode(), *of.files.values())


def named(of: Release, text: Text) -> Objects:
    """The objects, of a model named `specimen` whatever its strategy."""
    objects = rendering.parse(text(of).replace(release.kubernetes_name(of.model), "specimen"), of).objects
    return {(each.kind, each.name): each.content for each in objects}


def workload(objects: Objects) -> dict[str, Any]:
    """What runs the model's pods: the Rollout, the Knative Service, or what KServe makes of the newest arm."""
    if service := objects.get(("InferenceService", "specimen")):
        *_, (_, arm) = arms(Object(service, Path()))
        template = {"metadata": {"labels": arm["labels"]}, "spec": {**arm, "containers": [arm["model"]]}}
        return {"metadata": service["metadata"], "spec": {"template": template}}
    return objects.get(("Rollout", "specimen")) or objects["Service", "specimen"]


@renders
@pytest.mark.parametrize("environment", release.ENVIRONMENTS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_has_its_objects(strategy: str, environment: str, text: Text) -> None:
    objects = named(specimen(environment, strategy), text)
    called = environment == "staging" and strategy not in OWN
    caller = {("Deployment", "specimen-caller")} if called else set()
    constants = {("PrometheusRule", "specimen")} if strategy in SERVICES else set()
    assert set(objects) == EXPECTED[strategy] | caller | constants


@renders
@pytest.mark.parametrize("strategy", SERVICES)
def test_a_pod_may_have_the_feedback_keys_of_its_own_model_and_runs_without(strategy: str, text: Text) -> None:
    pod = workload(named(specimen("production", strategy), text))["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["feedback"]["secret"] == {"secretName": "specimen-feedback", "optional": True}
    assert volumes["requests"]["emptyDir"] == {"sizeLimit": "256Mi"}
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["feedback"]["mountPath"] == "/var/run/secrets/feedback"
    assert mounts["feedback"]["readOnly"]
    assert mounts["requests"]["mountPath"] == "/var/log/requests"


@renders
@pytest.mark.parametrize("strategy", SERVICES)
def test_two_releases_differ_in_digest_version_and_passport_only(strategy: str, text: Text) -> None:
    of = specimen("staging", strategy)
    before = named(of, text)
    changed = differences(before, named(another(of), text))
    pod = (f"metadata.labels.{VERSION}", "spec.containers.0.image")
    callers = {f"Deployment.specimen-caller.spec.template.{each}" for each in pod}
    smoke = {f"AnalysisTemplate.specimen-smoke.spec.metrics.0.provider.job.spec.template.{each}" for each in pod}
    owner = {"serverless": "Service", "kserve": "InferenceService"}.get(strategy, "Rollout")
    arm = (f"labels.{VERSION}", f"labels.{weights.LABEL}", "model.image")
    arms = {f"{owner}.specimen.spec.predictor.{each}" for each in arm}
    assert {each for each in changed if not each.startswith(CONSTANTS)} == {
        f"{owner}.specimen.metadata.annotations.release/passport",
        f"{owner}.specimen.metadata.labels.{VERSION}",
        *(arms if strategy == "kserve" else (f"{owner}.specimen.spec.template.{each}" for each in pod)),
        *(callers if strategy not in OWN else ()),
        *(smoke if strategy == "bluegreen" else ()),
    }


def another(of: Release, version: str = "fedcba987654", **image: str | None) -> Release:
    """The same model's next release; `image` is what its passport says of it, but for what is None."""
    record = yaml.safe_load(of.files["passport.yaml"])
    said = record["image"] | {"digest": f"sha256:{'6' * 64}"} | image
    record |= {"version": version, "image": {key: value for key, value in said.items() if value is not None}}
    both = yaml.safe_dump(record).encode(), of.files["resources.yaml"]
    return kustomization.compose(of.environment, of.model, *both, promise.of_release(of))


def others() -> list[Release]:
    """All that tests of this module render beside the specimens."""
    found = [another(specimen("staging", strategy)) for strategy in SERVICES]
    found += [another(specimen("staging", strategy), version) for strategy, version in NUMBERS]
    return found + [another(specimen(*where), platform=platform) for *where, platform, _ in PLACES]


CONSTANTS = "PrometheusRule.specimen.spec.groups.0."  # whose labels say which release they are of


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Paths of the leaves that differ."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [where.lstrip(".")]
    names = {key: ".".join(key) if isinstance(key, tuple) else str(key) for key in {*one, *other}}
    return [
        leaf for key, name in names.items() for leaf in differences(one.get(key), other.get(key), f"{where}.{name}")
    ]


@renders
def test_environments_differ_in_namespace_pauses_and_callers_only(text: Text) -> None:
    staging, production = (named(specimen(each, "canary"), text) for each in release.ENVIRONMENTS)
    del staging["Deployment", "specimen-caller"]
    steps = "Rollout.specimen.spec.strategy.canary.steps"
    assert {each for each in differences(staging, production) if not each.startswith(CONSTANTS)} == {
        *(f"{kind}.{name}.metadata.namespace" for kind, name in production),
        *(f"{steps}.{number}.pause.duration" for number in (1, 4, 7)),
    }


@renders
@pytest.mark.parametrize("strategy", SERVICES)
def test_the_models_own_replicas_and_resources_are_what_runs(strategy: str, text: Text) -> None:
    of = specimen("production", strategy)
    objects = named(of, text)
    values = {each["path"]: each["value"] for each in yaml.safe_load(of.files["resources.yaml"])}
    spec = workload(objects)["spec"]
    assert spec["template"]["spec"]["containers"][0]["resources"] == values[rules.RESOURCES]
    if TABLE[strategy].compared:  # 7.5 ms, as the label `le` of the histogram writes it
        assert workload(objects)["metadata"]["annotations"]["release/slow"] == "0.0075"
    if strategy not in OWN:
        assert spec["replicas"] == values[rules.REPLICAS]
        assert objects["HorizontalPodAutoscaler", "specimen"]["spec"]["minReplicas"] == values[rules.REPLICAS]


@renders
@pytest.mark.parametrize(("strategy", "version"), NUMBERS)
def test_a_version_that_looks_like_a_number_stays_text(strategy: str, version: str, text: Text) -> None:
    objects = named(another(specimen("staging", strategy), version), text)
    assert workload(objects)["spec"]["template"]["metadata"]["labels"][VERSION] == version


@renders
def test_kserve_s_pods_are_those_of_the_rollout(text: Text) -> None:
    """All but what KServe sets itself, and what makes a predictor of a pod."""
    pod, arm = (workload(named(specimen("production", each), text))["spec"]["template"]["spec"] for each in KINDS)
    ours, theirs = pod.pop("containers")[0], arm.pop("containers")[0]
    assert pod == {key: arm.get(key) for key in pod}
    assert (ours.pop("name"), theirs.pop("name")) == ("model", "kserve-container")
    assert ours.pop("image").partition("@")[2] == theirs["image"].partition("@")[2]
    for port in theirs["ports"]:
        assert port.pop("protocol") == "TCP"
    assert ours == {key: theirs.get(key) for key in ours}


@renders
def test_each_arm_keeps_its_pods_beside_the_other_s(text: Text) -> None:
    """KServe takes the canary's 2 of 8 off the stable ones, of which the former release has 4."""
    spec = named(specimen("production", "kserve"), text)["InferenceService", "specimen"]["spec"]
    (canary,) = spec["canary"]
    assert canary["trafficPercent"] == 25
    assert (spec["predictor"]["minReplicas"], spec["predictor"]["maxReplicas"]) == (6, 22)
    assert canary["predictor"]["minReplicas"] == 2
    images = [each["model"]["image"].partition("@")[2] for each in (spec["predictor"], canary["predictor"])]
    assert images == [rendering.FORMER, rendering.DIGEST]
    whole = named(specimen("staging", "kserve"), text)["InferenceService", "specimen"]["spec"]
    assert "canary" not in whole
    assert (whole["predictor"]["minReplicas"], whole["predictor"]["maxReplicas"]) == (8, 20)


@renders
def test_probes_ask_what_bentoml_answers(text: Text) -> None:
    container = workload(named(specimen("production", "canary"), text))["spec"]["template"]["spec"]["containers"][0]
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


@renders
def test_objects_name_the_file_that_they_come_from(text: Text) -> None:
    of = specimen("staging", "gateway")
    objects = rendering.parse(text(of), of).objects
    files = {(each.kind, each.name): str(each.file) for each in objects}
    assert files["HTTPRoute", "gateway-specimen"] == "deploy/strategies/gateway/httproute.yaml"
    assert files["AnalysisTemplate", "gateway-specimen-errors"] == "deploy/base/analysis/errors.yaml"
    assert files.pop(("PrometheusRule", "gateway-specimen")) == str(of.folder / release.MONITORING)
    assert all(Path(file).is_file() for file in files.values())


@renders
def test_what_is_rendered_bears_no_annotation_of_the_checks(text: Text) -> None:
    of = specimen("production", "canary")
    assert rendering.ORIGIN not in (shown := str(named(of, text)))
    assert f"'{rendering.MARK}'" not in shown
    assert rendering.ORIGIN.encode() not in of.files["kustomization.yaml"]


@renders
def test_the_base_alone_names_an_image_that_no_registry_has() -> None:
    rollout = next(each for each in kustomize.parse(kustomize.text(Path("deploy/base"))) if each["kind"] == "Rollout")
    assert rollout["spec"]["template"]["spec"]["containers"][0]["image"] == kustomization.PLACEHOLDER
    assert kustomization.PLACEHOLDER.split("/")[0].endswith(".invalid")  # RFC 2606


def test_every_environment_of_the_verbs_has_a_folder() -> None:
    found = {path.parent.name for path in Path("deploy/environments").glob("*/kustomization.yaml")}
    assert found == set(release.ENVIRONMENTS) == set(ENVIRONMENTS)


def test_every_strategy_of_a_passport_has_a_folder() -> None:
    said = Served.model_fields["strategy"].annotation
    assert set(STRATEGIES) == set(TABLE) == set(said.__args__)  # type: ignore[union-attr]
    assert set(EXPECTED) == set(STRATEGIES)


@pytest.mark.every_model
@pytest.mark.parametrize("folder", FOUND, ids=lambda folder: folder.name)
def test_every_models_resources_fit_the_rollout(folder: Path) -> None:
    path = folder / "resources.yaml"
    assert rules.of_resources(path.read_bytes(), path, "fix it there") == []
    release.kubernetes_name(folder.name)


def test_replicas_need_to_fit_the_steps_of_a_canary_only() -> None:
    three = rendering.RESOURCES.replace("value: 8", "value: 3").encode()
    assert rules.of_resources(three, Path("resources.yaml"), "fix it")
    assert not rules.of_resources(three, Path("resources.yaml"), "fix it", "gateway")
    of = specimen("production", "gateway")
    composed = kustomization.compose(of.environment, of.model, of.files["passport.yaml"], three)
    assert not [each for each in rules.of_release(composed, ()) if "pods cannot take" in each.wrong]


def test_a_specimen_is_told_from_a_model() -> None:
    of = specimen("production", "canary")
    found = rendering.Rendering(of.environment, of.model, "canary", ())
    assert str(found) == "a specimen: production, canary"
    assert str(dataclasses.replace(found, model="specimen_delay")) == (
        "release production/specimen_delay: production, canary"
    )


def pods(node: Any) -> list[dict[str, Any]]:
    """Every specification of a pod that runs the release's image."""
    if isinstance(node, dict):
        found = [node] if any("image" in each for each in node.get("containers", [])) else []
        return found + [each for value in node.values() for each in pods(value)]
    return [each for value in node for each in pods(value)] if isinstance(node, list) else []


@renders
@pytest.mark.parametrize(("environment", "strategy", "platform", "count"), PLACES)
def test_every_pod_of_a_release_goes_where_its_image_runs(
    environment: str, strategy: str, platform: str | None, count: int, text: Text
) -> None:
    """And one from before platforms were recorded asks for none."""
    of = another(specimen(environment, strategy), platform=platform)
    assert not faults(of, text(of), rules_only=True)
    found = [each["nodeSelector"] for each in pods([each.content for each in rendering.parse(text(of), of).objects])]
    architecture = {"kubernetes.io/arch": "arm64"} if platform else {}
    assert found == [{"kubernetes.io/os": "linux", **architecture}] * count
