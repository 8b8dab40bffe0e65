"""Releases as `deploy promote` writes them, of images that are signed and attested as each case needs it."""

import copy
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.checks import kustomize, rendering
from tests.deploy.manifests import LACKING
from tests.serving import container
from tests.support import images
from tests.support.repository import ROOT

PROGRAMS = os.pathsep.join([os.environ["PATH"], str(ROOT / "tests/build/bin")])  # `make kyverno` puts it there
CLI = "https://github.com/kyverno/kyverno/releases/download/v1.19.1/kyverno-cli_v1.19.1_linux_x86_64.tar.gz"
PASSPORT = "https://models/passport/v1"
# By case: whose key signs the image, and whose attests its passport, with which verdict.
SIGNED = {
    "release": ("ours", "ours", "pass"),
    "unsigned": None,
    "stranger": ("theirs", "theirs", "pass"),
    "unattested": ("ours", None, ""),
    "forged": ("ours", "theirs", "pass"),
    "failed": ("ours", "ours", "fail"),
    "borrowed": ("ours", None, ""),  # the release's attestation hangs on it
    "elsewhere": ("ours", "ours", "pass"),  # in a repository that is not the fork's
}
NOT_SIGNED = "the image is not signed by this repository's release"
NO_PASSPORT = "the image has no passport that this repository's release attested"
NAMELESS = "it has pods without an image of its own"
NOT_OURS = "an image is not named by digest, or is not of "
REASONS = {  # by case: why it is refused
    **{"unsigned": NOT_SIGNED, "stranger": NOT_SIGNED, "forged": NO_PASSPORT},
    **{"unattested": NO_PASSPORT, "borrowed": NO_PASSPORT},
    "failed": "the verdict of the image's passport is not pass",
    "tag": NOT_OURS,
    "elsewhere": NOT_OURS,
    "step": NOT_SIGNED,  # of an InferenceService whose canary is another image
    "beside": NOT_SIGNED,  # an init container
    "nameless": NAMELESS,
    "arm": NAMELESS,  # of an InferenceService whose predictor is its runtime's own
    "unwritten": "the annotation release/passport is missing",
}
KINDS = {
    "Rollout": ("argoproj.io", "v1alpha1", "rollouts"),
    "Service": ("serving.knative.dev", "v1", "services"),
    "InferenceService": ("serving.kserve.io", "v1beta1", "inferenceservices"),
}


@dataclass(frozen=True)
class Place:
    """The policies of a fork that signs by key, and objects by case; those that no reason refuses are releases."""

    policies: list[dict[str, Any]]
    objects: dict[str, dict[str, Any]]


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is missing: none of them is needed to work on the repository."""
    missing = [each for each in programs if shutil.which(each, path=PROGRAMS) is None]
    missing += [] if LACKING is None else [LACKING]
    how = f"Debian: docker-registry; cosign from its releases; `make kyverno`, or `curl -L {CLI} | tar xz kyverno`; "
    how += "for what an API server needs see test_admission.py"
    return pytest.mark.skipif(bool(missing), reason=f"optional: {', '.join(missing)} is missing ({how})")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("cluster")
    with container.registry(folder) as (address, _), rendering.copied(ROOT) as tree:
        with chdir(tree):  # no longer: other tests may run before this ends
            references = _signed(address)
            fork = Path("deploy/argocd/fork.yaml")
            fork.write_text(re.sub("registry: .*", f"registry: {address}/team", fork.read_text()))
            shutil.copy("ours.pub", "deploy/argocd/cosign.pub")
            policies = kustomize.parse(kustomize.text(Path("deploy/argocd/policies-by-key")))
            found = Place(policies, _cases(_releases(tree, references["release"]), references))
        yield found


def _signed(address: str) -> dict[str, str]:
    """The image of each case."""
    os.environ.setdefault("COSIGN_PASSWORD", "")
    images.keys("ours", "theirs")
    repositories = {"elsewhere": "others/model"}
    references = {case: images.pushed(address, case, repositories.get(case, "team/model")) for case in SIGNED}
    for case, (signer, witness, verdict) in ((case, by) for case, by in SIGNED.items() if by):
        images.cosign("sign", signer, references[case])
        if witness:
            Path("passport.json").write_text(json.dumps({"model": case, "verdict": verdict}))
            words = ["--type", PASSPORT, "--predicate", "passport.json"]
            images.cosign("attest", witness, references[case], *words)
    Path("sbom.json").write_text(json.dumps({"spdxVersion": "SPDX-2.3", "packages": []}))  # a release has more than one
    images.cosign("attest", "ours", references["release"], "--type", "spdxjson", "--predicate", "sbom.json")
    images.borrowed(references["release"], references["borrowed"])
    return references


def _releases(tree: Path, reference: str) -> dict[str, dict[str, Any]]:
    """What runs the pods of a release of each strategy in staging."""
    specimens = [each for each in rendering.specimens() if each.environment == "staging"]
    found: dict[str, dict[str, Any]] = {}
    for each, text in zip(specimens, rendering.texts(specimens, tree, origins=""), strict=True):
        text = text.replace(f"{each.image.name}@{each.image.digest}", reference)
        for content in kustomize.parse(text):
            group, version, _ = KINDS.get(content["kind"], ("", "", ""))
            if content["apiVersion"] == f"{group}/{version}":
                found[each.passport.serving.strategy] = content
    return found


def _cases(releases: dict[str, dict[str, Any]], references: dict[str, str]) -> dict[str, dict[str, Any]]:
    rollout = releases["canary"]
    text, good = json.dumps(rollout), references["release"]
    found = {case: json.loads(text.replace(good, reference)) for case, reference in references.items()}
    found["tag"] = json.loads(text.replace(good, f"{good.partition('@')[0]}:latest"))
    found["beside"] = copy.deepcopy(rollout)
    found["beside"]["spec"]["template"]["spec"]["initContainers"] = [{"name": "a", "image": references["unsigned"]}]
    found["nameless"] = {**copy.deepcopy(rollout), "spec": {"workloadRef": {"kind": "Deployment", "name": "any"}}}
    found["unwritten"] = copy.deepcopy(rollout)
    del found["unwritten"]["metadata"]["annotations"]["release/passport"]
    found |= {f"release-{strategy}": content for strategy, content in releases.items()}
    served = releases["kserve"]
    for case, image in (("release-step", good), ("step", references["unsigned"])):
        arm = json.loads(json.dumps(served["spec"]["predictor"]).replace(good, image))
        found[case] = served | {"spec": served["spec"] | {"canary": [{"trafficPercent": 25, "predictor": arm}]}}
    found["arm"] = copy.deepcopy(found["release-step"])
    del found["arm"]["spec"]["predictor"]["model"]["image"]
    for case, content in found.items():
        content["metadata"] = content["metadata"] | {"name": case}
    return found
