"""The policies on an API server: an object is refused as it is applied, with the reason that a sync would show.

A real API server and Kyverno's admission controller, as processes of this machine; no pod is asked about, so none runs.
Their programs compile from Go modules: k8s.io/kubernetes/cmd/kube-apiserver, go.etcd.io/etcd/server/v3 as `etcd`, and
github.com/kyverno/kyverno/cmd/kyverno as `kyverno-admission`. Custom resources are those of the modules in CRDS.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import kustomize
from serving import serve
from tests.cluster.conftest import PROGRAMS, REASONS, Place, needs
from tests.cluster.test_policies import kind_of
from tests.support.repository import ROOT

CRDS = {  # by module, what of it the API server gets
    "github.com/kyverno/kyverno@v1.19.1": "config/install-latest-testing.yaml",
    "github.com/argoproj/argo-rollouts@v1.10.1": "manifests/crds/rollout-crd.yaml",
}
SECRETS = "kyverno-svc.kyverno.svc.kyverno-tls"
KYVERNO = {
    **{"KYVERNO_NAMESPACE": "kyverno", "KYVERNO_POD_NAME": "kyverno-0", "KYVERNO_SVC": "kyverno-svc"},
    **{
        "KYVERNO_DEPLOYMENT": "kyverno-admission-controller",
        "INIT_CONFIG": "kyverno",
        "METRICS_CONFIG": "kyverno-metrics",
    },
    "KYVERNO_SERVICEACCOUNT_NAME": "kyverno-admission-controller",
    "KYVERNO_ROLE_NAME": "kyverno:admission-controller",
}
Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]
on_a_cluster = needs("etcd", "kube-apiserver", "kyverno-admission", "cosign", "docker-registry", "go", "openssl")


@pytest.fixture(scope="module")
def kubectl(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl of a cluster with the policies, in which a Rollout `before`, of an unsigned image, is older."""
    folder = tmp_path_factory.mktemp("server")
    etcd, peers, api, hook = (serve.free_port() for _ in range(4))
    settings = os.environ | KYVERNO | {"PATH": PROGRAMS, "KUBECONFIG": str(folder / "kubeconfig"), "HOME": str(folder)}

    def call(*words: str, given: Any = None, wrong: bool = False) -> "subprocess.CompletedProcess[str]":
        text = None if given is None else yaml.safe_dump_all(given)
        done = subprocess.run(
            ["kubectl", *words], input=text, env=settings, capture_output=True, text=True, check=False
        )
        assert wrong or done.returncode == 0, done.stderr
        return done

    with ExitStack() as stack:

        def start(program: str, *flags: str) -> None:
            log = stack.enter_context((folder / f"{program}.log").open("w"))
            process = subprocess.Popen([program, *flags], cwd=folder, env=settings, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        _written(folder, api)
        store = f"http://127.0.0.1:{etcd}"
        peer = f"http://127.0.0.1:{peers}"
        start("etcd", f"--listen-client-urls={store}", f"--advertise-client-urls={store}", f"--listen-peer-urls={peer}")
        start("kube-apiserver", f"--etcd-servers={store}", f"--secure-port={api}", *_server_flags())
        _until(lambda: call("get", "--raw", "/readyz", wrong=True).returncode == 0)
        _kinds_and_namespaces(call)
        before = place.objects["unsigned"] | {"metadata": place.objects["unsigned"]["metadata"] | {"name": "before"}}
        _until(lambda: call("apply", "--server-side", "-f", "-", given=[before], wrong=True).returncode == 0)
        start(
            "kyverno-admission", f"--serverIP=127.0.0.1:{hook}", f"--webhookServerPort={hook}", *_kyverno_flags(folder)
        )
        _until(lambda: "kyverno-policy" in call("get", "validatingwebhookconfigurations").stdout)
        _until(lambda: call("apply", "-f", "-", given=place.policies, wrong=True).returncode == 0)
        webhooks = ("get", "validatingwebhookconfigurations", "kyverno-resource-validating-webhook-cfg", "-o", "json")
        _until(lambda: all(each in call(*webhooks).stdout for each in ("/ivpol", "/vpol", "inferenceservices")))
        yield call


def _written(folder: Path, port: int) -> None:
    """Whom the server believes, and kubectl's way to it."""
    subprocess.run(["openssl", "genrsa", "-out", "accounts.key", "2048"], cwd=folder, check=True, capture_output=True)
    (folder / "tokens.csv").write_text("test,admin,1,system:masters\n")
    cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    content = {
        **{"apiVersion": "v1", "kind": "Config", "current-context": "test"},
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": "test"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(content))


def _kinds_and_namespaces(kubectl: Kubectl) -> None:
    for module, file in CRDS.items():
        kubectl("apply", "--server-side", "-f", str(_module(module) / file))
    kubectl("apply", "-f", "-", given=[kind_of("Service"), kind_of("InferenceService")])
    kubectl("apply", "-f", str(ROOT / "deploy/argocd/namespaces.yaml"))


def _server_flags() -> list[str]:
    accounts = ("service-account-key-file=accounts.key", "service-account-signing-key-file=accounts.key")
    flags = ("bind-address=127.0.0.1", "cert-dir=certificates", "token-auth-file=tokens.csv", "authorization-mode=RBAC")
    issuer = "service-account-issuer=https://kubernetes.default.svc"
    return [f"--{each}" for each in (*flags, *accounts, issuer, "service-cluster-ip-range=10.96.0.0/16")]


def _kyverno_flags(folder: Path) -> list[str]:
    secrets = (f"caSecretName={SECRETS}-ca", f"tlsSecretName={SECRETS}-pair", "webhookServerHost=127.0.0.1")
    accounts = [f"{name}ServiceAccountName=system:serviceaccount:kyverno:{name}" for name in ("background", "reports")]
    quiet = ("disableMetrics=true", "controllerRuntimeMetricsAddress=0", f"kubeconfig={folder / 'kubeconfig'}")
    return [f"--{each}" for each in (*secrets, *accounts, *quiet)]


def _module(name: str) -> Path:
    """The folder of a Go module, held to Go's checksum database."""
    done = subprocess.run(["go", "mod", "download", "-json", name], cwd="/", capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def _until(done: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "the cluster does not get ready"
        time.sleep(0.3)


@pytest.mark.slow
@on_a_cluster
def test_the_apply_of_a_release_is_admitted_and_of_all_else_refused_with_the_reason(
    place: Place, kubectl: Kubectl
) -> None:
    said = {
        case: kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", given=[content], wrong=True)
        for case, content in place.objects.items()
    }
    assert {case for case, done in said.items() if done.returncode} == REASONS.keys()
    assert [case for case, reason in REASONS.items() if reason not in said[case].stderr] == []


@pytest.mark.slow
@on_a_cluster
def test_the_policies_of_a_fork_that_signs_on_github_are_what_kyverno_takes(kubectl: Kubectl) -> None:
    policies = kustomize.parse(kustomize.text(ROOT / "deploy/argocd/policies"))
    kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", given=policies)
    policies[0]["spec"]["validations"][0]["expression"] = "images.model.all(image, verified(image))"
    refused = kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", given=policies, wrong=True
    )
    assert "undeclared reference to 'verified'" in refused.stderr


@pytest.mark.slow
@on_a_cluster
def test_what_a_controller_notes_on_an_older_object_is_admitted_and_a_change_of_it_is_not(kubectl: Kubectl) -> None:
    rollout = ("rollouts.argoproj.io", "before", "--namespace", "models-staging")
    kubectl("annotate", *rollout, "rollout.argoproj.io/revision=2")
    refused = kubectl("patch", *rollout, "--type=merge", "--patch", '{"spec": {"paused": true}}', wrong=True)
    assert refused.returncode
    assert REASONS["unsigned"] in refused.stderr
