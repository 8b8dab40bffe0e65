"""Verify renders every release and strategy, says what it could not check, and is quick with a hundred releases."""

import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from deploy.checks import check, rendering
from deploy.lib import fork, kustomization, release
from deploy.lib.rules import Finding
from deploy.rehearsal import rendered
from deploy.rehearsal.rendered import RenderedRelease
from models.lib import config
from tests.deploy.manifests import faults, plant, releases, renders, schema_folder, specimen, with_programs
from tests.deploy.tree import Tree, folder, passed
from tests.support import specimens
from tests.support.repository import ROOT

EVERYTHING = check.everything  # which the fixture `tree` replaces


@pytest.fixture
def whole(released: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """`released` with every manifest, and the schemas of this machine."""
    for name in rendering.MANIFESTS:
        shutil.copytree(ROOT / name, name, dirs_exist_ok=True)
    specimens.address(Path(), fork.FORK.read_text())  # which the releases' images are of
    monkeypatch.setenv("SCHEMAS", str(schema_folder()))
    monkeypatch.setattr(check, "everything", EVERYTHING)
    return released


@pytest.fixture
def small(whole: Tree) -> Tree:
    """`whole` with the basic canary as its only strategy: two fifths of the renderings."""
    shutil.rmtree("deploy/strategies")
    return whole


@renders
def test_what_promote_wrote_renders_to_no_fault(whole: Tree) -> None:
    answer = passed(whole.deploy("verify"))
    assert "registry of deploy/argocd/fork.yaml" not in answer.out
    assert "Held against Kubernetes 1." in answer.out
    assert "gateway" in answer.out
    assert "2 releases" in answer.out


@renders
def test_a_fault_is_said_once_with_file_object_and_fix_whether_of_base_release_or_image(small: Tree) -> None:
    """That of the release is more replicas than the autoscaler allows, which no schema and no specimen knows."""
    plant(Path(), "deploy/base/poddisruptionbudget.yaml", "maxUnavailable: 25%", "maxUnavailable: 0")
    plant(Path(), str(fork.FORK), specimens.REGISTRY, "registry.example.org/other")
    where = folder("staging")
    resources = (where / "resources.yaml").read_bytes().replace(b"value: 4", b"value: 24")
    release.write(kustomization.compose("staging", "specimen_delay", (where / "passport.yaml").read_bytes(), resources))
    answer = small.deploy("verify")
    assert answer.code == 1
    assert [line for line in answer.out.splitlines() if "no node could be drained" in line] == [
        "deploy/base/poddisruptionbudget.yaml: PodDisruptionBudget specimen: spec.maxUnavailable "
        "(a specimen: staging, canary and 3 more): allows no eviction: no node could be drained; allow one."
    ]
    (alone,) = [line for line in answer.out.splitlines() if "fewer than the 24 replicas" in line]
    assert "release staging/specimen_delay: staging, canary" in alone
    assert "spec.maxReplicas" in alone
    assert "is not of registry.example.org/other, the registry of deploy/argocd/fork.yaml" in answer.out


@renders
def test_a_base_that_kustomize_refuses_is_named(small: Tree) -> None:
    plant(Path(), "deploy/base/kustomization.yaml", "  - podmonitor.yaml", "  - monitor.yaml")
    answer = small.deploy("verify")
    assert answer.code == 1
    assert "kustomize cannot render it" in answer.out
    assert "deploy/base/monitor.yaml" in answer.out
    assert str(Path.cwd()) not in answer.out  # paths are those of the repository
    assert "/manifests-" not in answer.out
    assert "recursed accumulation" not in answer.out


OPTION = "- {{op: add, path: /spec/{}, value: {}}}\n"
TENANT = OPTION.format("metrics/0/provider/prometheus/headers", "[{key: X-Scope-OrgID, value: ml}]")
BEARER = OPTION.format(
    "metrics/0/provider/prometheus/headers/-", '{key: Authorization, value: "Bearer {{args.token}}"}'
)
TOKEN = OPTION.format("args/-", "{name: token, valueFrom: {secretKeyRef: {name: prometheus, key: token}}}")
OAUTH = "{oauth2: {tokenUrl: https://sso.example.com/token, clientId: ml, clientSecret: '{{args.token}}'}}"
INSECURE = OPTION.format("metrics/0/provider/prometheus/insecure", "true")


@renders
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "settings",
    [
        {
            "prometheus": "https://mimir.example.com/prometheus",
            "prometheus-options": TENANT + BEARER + TOKEN + INSECURE,
        },
        {
            "prometheus-options": OPTION.format("metrics/0/provider/prometheus/authentication", OAUTH) + TOKEN,
            **{"scraped-from": "monitoring", "job-label": "service", "hash-label": "pod_template_hash"},
        },
    ],
    ids=["tenant and token", "oauth2 and labels"],
)
def test_whatever_prometheus_a_cluster_has_may_judge_and_a_rehearsal_asks_the_same(
    settings: dict[str, str], release: RenderedRelease
) -> None:
    content = yaml.safe_load(fork.FORK.read_text())
    content["data"] |= settings
    fork.FORK.write_text(yaml.safe_dump(content))
    of = specimen("production", "canary")
    with rendering.copied() as tree:
        (text,) = rendering.texts([of], tree)
    assert [str(each) for _, each in faults(of, text)] == []
    after = rendered.released(config.load("specimen_delay", check_columns=False))
    assert after.plan.background is not None
    asked = [rendered.metrics(each, after.plan.background, "new", "old", 12.0) for each in (release, after)]
    assert asked[0] == asked[1]
    (metric,) = after.templates["specimen-delay-errors"]["spec"]["metrics"]
    given = metric["provider"]["prometheus"]
    assert given["address"] == settings.get("prometheus", specimens.PROMETHEUS["prometheus"])
    written = yaml.safe_load(settings["prometheus-options"])
    assert {each["path"].split("/")[6] for each in written if "provider" in each["path"]} == {*given} - {
        "address",
        "query",
    }
    assert '{ {{args.job-label}}="' in given["query"]


def test_without_a_renderer_the_rest_is_checked(small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", with_programs(tmp_path / "bin", kustomize="echo v4.5.7"))
    answer = small.deploy("verify")
    assert answer.code == 2
    assert "Every release keeps the rules" in answer.out
    assert "kustomize 4.5 is too old" in answer.error
    assert "install kubectl 1.27 or newer" in answer.error
    small.promote("staging", "b")
    (folder("staging") / "strange.yaml").write_text("")
    answer = small.deploy("verify")
    assert (answer.code, "has no place among releases" in answer.out) == (1, True)
    assert "kustomize 4.5 is too old" in answer.out


@pytest.mark.slow
@renders
def test_kinds_without_a_schema_are_named(small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schemas").mkdir()
    monkeypatch.setenv("SCHEMAS", str(tmp_path / "schemas"))
    answer = passed(small.deploy("verify"))
    assert "Not checked, because no schema was found: Rollout of argoproj.io/v1alpha1" in answer.out
    plant(Path(), "deploy/base/rollout.yaml", "readinessProbe:", "readynessProbe:")
    assert "'readynessProbe' was unexpected" in small.deploy("verify").out  # a pod is a core kind


@pytest.mark.slow
@renders
def test_forty_releases_are_checked_in_five_calls_of_the_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hundred take: tests/bench/verify.py."""
    monkeypatch.setenv("SCHEMAS", str(schema_folder()))
    texts = Mock(wraps=rendering.texts)
    monkeypatch.setattr(rendering, "texts", texts)
    outcome = check.everything(releases(40))
    assert [str(each) for each in outcome.findings] == []
    assert "40 releases" in outcome.checked
    assert texts.call_count == 5


def test_equal_faults_are_said_once() -> None:
    fault = Finding(Path("a"), "Rollout specimen: spec", "is wrong", "fix it")
    assert [str(each) for each in check.merged([("x", fault), ("y", fault), ("", fault)])] == [
        "a: Rollout specimen: spec (x and 2 more): is wrong; fix it."
    ]
