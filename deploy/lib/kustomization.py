"""kustomization.yaml of a release: it follows from its other files, whose hashes it holds, and from the promise.

Argo CD renders it; `python -m deploy verify` writes it again and finds an edit by hand.
"""

import hashlib
from collections.abc import Mapping

from deploy.canary import steps
from deploy.lib import monitoring, weights
from deploy.lib.passport import Passport, Promise, Served, parse_passport
from deploy.lib.promise import vector
from deploy.lib.release import DOCUMENTS, FILES, Release, kubernetes_name, place
from deploy.lib.strategies import TABLE

PLACEHOLDER = "placeholder.invalid/model"  # the image of deploy/base/rollout.yaml

# Written by `python -m deploy promote`.
TEMPLATE = """\
# Written by `python -m deploy promote`; `python -m deploy verify` finds an edit by hand.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
{namespace}resources:
  - ../../../environments/{environment}
{monitoring}{components}transformers:  # where the name and the version go
  - ../../../{names}
images:
  - name: {placeholder}
    newName: "{image.name}"
    digest: {image.digest}
patches:
{sized}  - target: {{{target}}}
    patch: |-
      - {{op: replace, path: /metadata/labels/app.kubernetes.io~1name, value: "{name}"}}
      - {{op: replace, path: /metadata/labels/app.kubernetes.io~1version, value: "{version}"}}
{hashes}{back}{slow}{stored}{promised}{evidence}{arms}{nodes}"""
SIZED = """\
  - target: {{{target}}}
    path: resources.yaml
"""
HASH = """\
      - {{op: add, path: /metadata/annotations/release~1{name}, value: "sha256:{hash}"}}
"""
BACK = """\
      - {{op: replace, path: /metadata/annotations/{}}}
"""
ANNOTATED = """\
      - {{op: replace, path: /metadata/annotations/release~1{name}, value: "{value}"}}
"""
NODES = """\
  - target: {{{target}}}
    patch: |-
      - {{op: add, path: {path}/nodeSelector/kubernetes.io~1arch, value: {architecture}}}
"""
EVIDENCE = """\
      - {{op: replace, path: /spec/strategy/canary/steps/{step}/analysis/args/{place}/value, value: "{requests}"}}
"""


def compose(
    environment: str,
    model: str,
    passport: bytes,
    resources: bytes,
    promise: Promise | None = None,
    kept: Mapping[str, bytes] | None = None,
    back: bool = False,
) -> Release:
    """The release that these files make, with what its canary is held to; kustomization.yaml follows from them.

    `kept`: canary.yaml of a release that walks by commits, and the documents. `back`: it is one that a rollback
    restores.
    """
    record = parse_passport(passport, place(environment, model) / "passport.yaml")
    constants, kept = monitoring.of_release(environment, record), dict(kept or {})
    documents = {each: kept[each] for each in DOCUMENTS if each in kept}
    hashed = {"passport": passport, "resources": resources, **documents}
    name = kubernetes_name(model)
    kustomization = TEMPLATE.format(
        **_rollout(record, environment, promise),
        environment=environment,
        monitoring="".join(f"  - {each}\n" for each in constants),
        placeholder=PLACEHOLDER,
        image=Release(environment, model, {"passport.yaml": passport}).image,
        name=name,
        version=record.version,
        hashes="".join(HASH.format(name=key, hash=hashlib.sha256(each).hexdigest()) for key, each in hashed.items()),
        promised=_annotated(promised(promise)) if promise else "",
        back=BACK.format(TABLE[record.serving.strategy].back) if back else "",
        arms=_arms(environment, name, record, resources, kept),
        nodes=_nodes(record),
    )
    made = dict(zip(FILES, (kustomization.encode(), passport, resources), strict=True))
    return Release(environment, model, made | constants | kept)


def again(release: Release, promise: Promise | None, back: bool = False) -> Release:
    """The release that its passport, resources and documents make, held to this promise."""
    of = TABLE[release.passport.serving.strategy]
    back = bool(of.back) and (back or of.back.encode() in release.files.get(FILES[0], b""))
    both = release.files["passport.yaml"], release.files["resources.yaml"]
    kept = {name: release.files[name] for name in (weights.FILE, *DOCUMENTS) if name in release.files}
    return compose(release.environment, release.model, *both, promise, kept, back)


def bounds(serving: Served, promise: Promise | None) -> dict[str, str]:
    """By annotation: above which seconds a request is slow or beyond its budget, each arm by its own measure."""
    slow_ms, budget_ms = serving.slow_ms, serving.latency_budget_ms
    found = {
        "slow": slow_ms,
        "stable-slow": (promise and promise.slow_ms) or slow_ms,
        "budget": budget_ms,
        "stable-budget": (promise and promise.latency_budget_ms) or budget_ms,
    }
    return {name: monitoring.bound(value) for name, value in found.items() if value is not None}


def promised(promise: Promise) -> dict[str, str]:
    """By annotation: what the canary's scores are held to."""
    return {"champion": promise.champion, "promised-rows": str(promise.rows), "promised": vector(promise)}


def _annotated(values: dict[str, str]) -> str:
    return "".join(ANNOTATED.format(name=name, value=value) for name, value in values.items())


def _rollout(record: Passport, environment: str, promise: Promise | None) -> dict[str, str]:
    """The lines of the kustomization that follow from the strategy."""
    serving = record.serving
    of, added = TABLE[serving.strategy], serving.strategy != "canary"
    return {
        "namespace": f"namespace: models-{environment}\n",  # for what the strategy adds
        "components": f"components:\n  - ../../../strategies/{serving.strategy}\n" if added else "",
        "names": of.names,
        "target": of.target,
        "sized": "" if of.by_commits else SIZED.format(target=of.target),
        "slow": _annotated(bounds(serving, promise)) if of.compared else "",
        "stored": "" if of.image else _annotated({"onnx": record.content.get("onnx", "none")}),
        "evidence": _evidence(serving.canary.requests) if of.walks else "",
    }


def _nodes(record: Passport) -> str:
    """Pods only where the image can run."""
    if record.image is None or record.image.platform is None:
        return ""
    places, architecture = TABLE[record.serving.strategy].pods, record.image.platform.partition("/")[2]
    return "".join(NODES.format(target=target, path=path, architecture=architecture) for target, path in places.items())


def _arms(environment: str, name: str, record: Passport, resources: bytes, files: dict[str, bytes]) -> str:
    """What each arm runs, where promotions share the traffic, and the hash of what records that."""
    if not TABLE[record.serving.strategy].by_commits:
        return ""
    folder = place(environment, record.model)
    weight, lines = weights.read(files, folder), ""
    if weight is not None:
        value = f"sha256:{hashlib.sha256(files[weights.FILE]).hexdigest()}"
        lines = f'      - {{op: add, path: /metadata/annotations/release~1canary, value: "{value}"}}\n'
    return lines + weights.operations(name, weights.arm(record, resources, folder), weight)


def _evidence(requests: int) -> str:
    """So many requests more at each weight; nothing where that is what the base says anyway."""
    places = steps.evidence()
    if [asked for _, _, asked in places] == [str(requests * number) for number in range(1, len(places) + 1)]:
        return ""
    return "".join(
        EVIDENCE.format(step=step, place=place, requests=requests * number)
        for number, (step, place, _) in enumerate(places, 1)
    )
