"""What a release renders to: the traps that kustomize and Argo Rollouts set are avoided in each of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import release, rules, steps
from models import config
from tests.deploy.tree import Tree, digest, folder

Objects = dict[tuple[str, str], dict[str, Any]]  # by kind and name
NAME = "app.kubernetes.io/name"


def lacking() -> str | None:
    """Why this machine cannot render, with the command that mends it; kubectl 1.27 carries kustomize 5."""
    install = "install kubectl 1.27 or newer: curl -LO https://dl.k8s.io/release/v1.32.4/bin/linux/amd64/kubectl"
    if shutil.which("kubectl") is None:
        return f"no kubectl; {install}"
    done = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, check=False)
    try:
        version = json.loads(done.stdout)["clientVersion"]
        numbers = int(version["major"]), int(re.sub(r"\D", "", version["minor"]))
    except (ValueError, KeyError):
        return f"kubectl does not tell its version; {install}"
    return None if numbers >= (1, 27) else f"kubectl {numbers[0]}.{numbers[1]} is too old; {install}"


LACKING = lacking()
renders = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


def render(where: Path) -> Objects:
    done = subprocess.run(["kubectl", "kustomize", str(where)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}


@pytest.fixture(scope="module", params=release.ENVIRONMENTS)
def rendered(request: pytest.FixtureRequest, grown: Callable[[str], Path]) -> tuple[str, Objects]:
    return request.param, render(grown("a") / folder(request.param))


def rollout(objects: Objects) -> dict[str, Any]:
    return objects["Rollout", "flight-delay"]


def pod(objects: Objects) -> dict[str, Any]:
    return dict(rollout(objects)["spec"]["template"]["spec"])


@renders
def test_every_object_bears_the_models_name_and_lives_in_the_environments_namespace(
    rendered: tuple[str, Objects],
) -> None:
    environment, objects = rendered
    assert set(objects) == {
        ("Rollout", "flight-delay"),
        ("ServiceAccount", "flight-delay"),
        *(("Service", f"flight-delay{suffix}") for suffix in ("", "-stable", "-canary")),
    }
    for each in objects.values():
        assert each["metadata"]["namespace"] == f"models-{environment}"
        assert each["metadata"]["labels"][NAME] == "flight-delay"


@renders
def test_no_reference_dangles(rendered: tuple[str, Objects]) -> None:
    _, objects = rendered
    spec, canary = rollout(objects)["spec"], rollout(objects)["spec"]["strategy"]["canary"]
    assert ("Service", canary["stableService"]) in objects
    assert ("Service", canary["canaryService"]) in objects
    assert canary["stableService"] != canary["canaryService"]
    assert ("ServiceAccount", pod(objects)["serviceAccountName"]) in objects
    labels = spec["template"]["metadata"]["labels"].items()
    assert spec["selector"]["matchLabels"].items() <= labels
    ports = {port["name"] for port in pod(objects)["containers"][0]["ports"]}
    for (kind, _), each in objects.items():
        if kind == "Service":
            assert each["spec"]["selector"].items() <= labels
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports


@renders
def test_the_image_is_named_by_digest_alone(rendered: tuple[str, Objects]) -> None:
    images = [container["image"] for container in pod(rendered[1])["containers"]]
    assert images == [f"ghcr.io/acme/flight-delay@{digest('a')}"]


@renders
def test_pods_are_restricted(rendered: tuple[str, Objects]) -> None:
    spec = pod(rendered[1])
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp"}  # noqa: S108 - the pod's own


@renders
def test_probes_ask_what_bentoml_answers(rendered: tuple[str, Objects]) -> None:
    container = pod(rendered[1])["containers"][0]
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


@renders
def test_the_models_own_replicas_and_resources_are_what_runs(
    rendered: tuple[str, Objects], grown: Callable[[str], Path]
) -> None:
    environment, objects = rendered
    patch = yaml.safe_load((grown("a") / folder(environment) / "resources.yaml").read_text())
    values = {each["path"]: each["value"] for each in patch}
    assert rollout(objects)["spec"]["replicas"] == values[rules.REPLICAS]
    assert pod(objects)["containers"][0]["resources"] == values[rules.RESOURCES]


@renders
def test_environments_differ_in_namespace_and_pauses_only(grown: Callable[[str], Path]) -> None:
    staging, production = (render(grown("a") / folder(environment)) for environment in release.ENVIRONMENTS)
    for each in (*staging.values(), *production.values()):
        del each["metadata"]["namespace"]
    for objects in (staging, production):
        for step in rollout(objects)["spec"]["strategy"]["canary"]["steps"]:
            step.pop("pause", None)
    assert staging == production


@renders
def test_two_releases_differ_in_digest_version_and_passport_only(three: Tree) -> None:
    now = render(folder("production"))
    three.git("checkout", "--quiet", "HEAD~3", "--", str(folder("production")))
    then = render(folder("production"))
    assert set(differences(now, then)) == {
        "Rollout.flight-delay.metadata.annotations.release/passport",
        "Rollout.flight-delay.metadata.labels.app.kubernetes.io/version",
        "Rollout.flight-delay.spec.template.metadata.labels.app.kubernetes.io/version",
        "Rollout.flight-delay.spec.template.spec.containers.0.image",
    }


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
@pytest.mark.parametrize("version", ["123456789012", "0123456789e1", "000000000000"])
def test_a_version_that_looks_like_a_number_stays_text(released: Tree, version: str) -> None:
    assert released
    record = (folder("staging") / "passport.yaml").read_bytes()
    before = release.parse_passport(record, folder("staging")).version
    record = record.replace(f"version: {before}".encode(), f'version: "{version}"'.encode())
    record = record.replace(f"version: '{before}'".encode(), f'version: "{version}"'.encode())
    resources = (folder("staging") / "resources.yaml").read_bytes()
    release.write(release.compose("staging", "flight_delay", record, resources))
    metadata = rollout(render(folder("staging")))["spec"]["template"]["metadata"]
    assert metadata["labels"]["app.kubernetes.io/version"] == version


@renders
def test_the_base_alone_names_an_image_that_no_registry_has(original: Path) -> None:
    objects = render(original / "deploy/base")
    assert objects["Rollout", "model"]["spec"]["template"]["spec"]["containers"][0]["image"] == release.PLACEHOLDER
    assert release.PLACEHOLDER.split("/")[0].endswith(".invalid")  # RFC 2606


def test_every_environment_of_the_verbs_has_a_folder() -> None:
    found = {path.parent.name for path in Path("deploy/environments").glob("*/kustomization.yaml")}
    assert found == set(release.ENVIRONMENTS)


def test_the_steps_rise_to_all_traffic_with_a_pause_before_each() -> None:
    listed = yaml.safe_load(steps.ROLLOUT.read_text())["spec"]["strategy"]["canary"]["steps"]
    weights = [step["setWeight"] for step in listed[::2]]
    assert weights == sorted(set(weights))
    assert weights[-1] == 100
    assert all(step["pause"]["duration"] for step in listed[1::2])
    assert len(listed) == 2 * len(weights) - 1


@pytest.mark.parametrize("model", config.names())
def test_every_models_resources_fit_the_rollout(model: str) -> None:
    path = config.MODELS / model / "resources.yaml"
    assert rules.of_resources(path.read_bytes(), path, "mend it there") == []
    release.kubernetes_name(model)


def test_every_verb_of_the_table_has_a_module() -> None:
    from deploy.__main__ import ENVIRONMENTS, VERBS

    assert [verb.name for verb in VERBS if not Path("deploy", f"{verb.name}.py").is_file()] == []
    assert tuple(ENVIRONMENTS) == release.ENVIRONMENTS
