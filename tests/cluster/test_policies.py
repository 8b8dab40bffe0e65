"""The policies of deploy/argocd/policies by Kyverno's own command line: what they refuse, and why, and what they admit.

By a key, for a signature of GitHub's cannot be made on a laptop: between the two only the attestor differs.
"""

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import kustomize, rendering
from deploy.checks.rules.pods import workloads
from tests.cluster.conftest import KINDS, PROGRAMS, REASONS, Place, needs
from tests.deploy.manifests import renders
from tests.support.repository import ROOT

STAGING = "models-staging"
POLICIES = {"ImageValidatingPolicy": "isImageValidatingPolicy", "ValidatingPolicy": "isValidatingPolicy"}


def kind_of(name: str) -> dict[str, Any]:
    """A custom resource definition, of which the command line reads the names."""
    group, version, plural = KINDS[name]
    whatever = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        **{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"},
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            **{"group": group, "scope": "Namespaced"},
            "names": {"kind": name, "plural": plural, "singular": name.lower(), "listKind": f"{name}List"},
            "versions": [{"name": version, "served": True, "storage": True, "schema": whatever}],
        },
    }


def declared(place: Place) -> list[dict[str, Any]]:
    """What is expected, as Kyverno's tests state it: a release passes both policies, one of them refuses all else."""
    by_static = {"elsewhere", "nameless", "arm", "unwritten"}
    found = []
    for case, content in place.objects.items():
        for each in place.policies:
            asks = each["kind"] == "ImageValidatingPolicy"
            refused = case in REASONS and (asks != (case in by_static) or case == "tag")
            found.append(
                {
                    **{"policy": each["metadata"]["name"], POLICIES[each["kind"]]: True, "kind": content["kind"]},
                    **{"resources": [f"{STAGING}/{case}"], "result": "fail" if refused else "pass"},
                }
            )
    return found


@pytest.fixture(scope="module")
def rows(place: Place, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The cells of each line of what `kyverno test` prints."""
    folder = tmp_path_factory.mktemp("policies")

    def written(name: str, *contents: dict[str, Any]) -> str:
        (folder / name).write_text(yaml.safe_dump_all(contents))
        return name

    labels = {"kubernetes.io/metadata.name": STAGING}
    of_tests = {"apiVersion": "cli.kyverno.io/v1alpha1", "metadata": {"name": "policies"}}
    kinds = [written(f"{name}.yaml", kind_of(name)) for name in KINDS]
    test = {
        "policies": [written("policies.yaml", *place.policies)],
        "resources": [written("objects.yaml", *place.objects.values())],
        "clusterResources": [
            written("kinds.yaml", {**of_tests, "kind": "ClusterResource", "spec": {"crds": kinds}}),
        ],
        "values": {"namespaceSelector": [{"name": STAGING, "labels": labels}]},
        "results": declared(place),
    }
    written("kyverno-test.yaml", {**of_tests, "kind": "Test", **test})
    printed = kyverno(folder, "test", ".", "--registry")
    found = cells(printed)
    assert len(found) == len(test["results"]), printed
    return found


def kyverno(folder: Path, *words: str) -> str:
    """What its command line prints."""
    command = [str(shutil.which("kyverno", path=PROGRAMS)), *words, "--detailed-results", "--remove-color"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def cells(printed: str) -> list[list[str]]:
    """Of the table that Kyverno prints, the lines about objects of staging."""
    return [[cell.strip() for cell in line.split("│")] for line in printed.splitlines() if STAGING in line]


def of_case(rows: list[list[str]], case: str) -> list[list[str]]:
    return [row for row in rows if any(re.search(rf"/{case}$", cell) for cell in row)]


@pytest.mark.slow
@needs("kyverno", "cosign", "docker-registry")
@pytest.mark.parametrize("case", REASONS)
def test_what_is_not_a_release_of_this_repository_is_refused_with_the_reason(case: str, rows: list[list[str]]) -> None:
    found = of_case(rows, case)
    assert {each for row in found for each in row if each.startswith("Want")} == set(), found
    assert any(REASONS[case] in cell for row in found for cell in row), found


@pytest.mark.slow
@needs("kyverno", "cosign", "docker-registry")
def test_a_release_of_every_strategy_is_admitted(place: Place, rows: list[list[str]]) -> None:
    released = place.objects.keys() - REASONS.keys()
    assert {"release", "release-canary", "release-serverless", "release-step"} <= released
    assert [row for case in released for row in of_case(rows, case) if "success" not in row] == []


@pytest.mark.slow
@needs("kyverno")
def test_every_pod_keeps_what_platform_teams_usually_ask(tmp_path: Path) -> None:
    """Those of staging, which has all that production has, and its caller; without its probes a pod is refused."""
    releases = [each for each in rendering.specimens() if each.environment == "staging"]
    with rendering.copied() as tree:
        texts = rendering.texts(releases, tree, origins="")
    found = [each for text, of in zip(texts, releases, strict=True) for each in workloads(rendering.parse(text, of))]
    pods = {f"{each.owner.name}-{each.owner.kind}".lower(): copy.deepcopy(each.template) for each in found}
    assert {"canary-specimen-caller-deployment", "bluegreen-specimen-smoke-analysistemplate"} <= pods.keys()
    planted = copy.deepcopy(pods["canary-specimen-caller-deployment"])
    del planted["spec"]["containers"][0]["readinessProbe"]
    content = [
        {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": pod["metadata"] | {"name": name, "namespace": STAGING}}
        for name, pod in (pods | {"planted": planted}).items()
    ]
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump_all(content))
    words = [str(Path(__file__).with_name("baseline.yaml")), "--resource", "pods.yaml", "--continue-on-fail"]
    said = cells(kyverno(tmp_path, "apply", *words, "--table"))
    assert len(said) == len(content)
    assert [row[4:8] for row in said if "success" not in row] == [[f"{STAGING}/Pod/planted", "Fail", "", "no probes"]]


@renders
def test_the_workflow_and_the_registry_are_those_of_fork_yaml() -> None:
    signed, released = kustomize.parse(kustomize.text(ROOT / "deploy/argocd/policies"))
    (fork,) = kustomize.parse((ROOT / "deploy/argocd/fork.yaml").read_text())
    (identity,) = signed["spec"]["attestors"][0]["cosign"]["keyless"]["identities"]
    assert identity == {
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": f"{fork['data']['repository']}/.github/workflows/release.yml@refs/heads/main",
    }
    registry, pods = released["spec"]["variables"]
    assert registry["expression"] == f"'{fork['data']['registry']}'"
    assert f"{pods['expression']}.flatten()" == signed["spec"]["images"][0]["expression"]
    assert released["spec"]["matchConstraints"] == signed["spec"]["matchConstraints"]


@renders
def test_a_fork_that_signs_by_key_has_the_same_policies_with_another_attestor() -> None:
    with rendering.copied(ROOT) as tree:
        (tree / "deploy/argocd/cosign.pub").write_text("a key\n")
        both = [
            kustomize.parse(kustomize.text(tree / "deploy/argocd" / name)) for name in ("policies", "policies-by-key")
        ]
    (_, by_key) = [signed["spec"].pop("attestors") for signed, _ in both]
    assert by_key[0]["cosign"]["key"]["data"] == "a key\n"
    assert both[0] == both[1]
