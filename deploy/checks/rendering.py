"""Releases rendered in a copy of the manifests, each object with the file that it comes from.

A copy, because a rendering is asked for origins (`buildMetadata`), and because a specimen of every strategy is rendered
although nobody released it.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.checks import kustomize
from deploy.lib import weights
from deploy.lib.fork import registry
from deploy.lib.kustomization import again, compose
from deploy.lib.passport import BINS, Promise
from deploy.lib.release import ENVIRONMENTS, Release
from deploy.lib.rules import Finding
from deploy.lib.strategies import TABLE
from repo.lib.files import LOADER
from repo.lib.refusal import Refusal

MANIFESTS = ("deploy/argocd", "deploy/base", "deploy/strategies", "deploy/environments")
ALONE = {
    "deploy/argocd": "Argo CD itself",
    "deploy/argocd/policies": "Kyverno's policies",
    "deploy/monitoring": "Monitoring",
}  # rendered by themselves, and what they are
STRATEGIES = Path("deploy/strategies")
MODEL = "specimen"
ORIGIN = "config.kubernetes.io/origin"
ORIGINS = "\nbuildMetadata: [originAnnotations]\n"  # a line of a kustomization
MARK = "verify"
MARKED = """\
resources: [../../{release}]
transformers:
  - |-
    apiVersion: builtin
    kind: AnnotationsTransformer
    metadata: {{name: mark}}
    annotations: {{{mark}: "{number}"}}
    fieldSpecs: [{{path: metadata/annotations, create: true}}]
"""
# Of a release's monitoring.yaml: each bears the version, and none says what the passport does not.
CONSTANTS = re.compile(r"\n  - name: constants of (?:(?!\n---\n)[\s\S])*")
VERSION, DIGEST, ONNX = "0123456789ab", f"sha256:{'5' * 64}", "7" * 64
FORMER = f"sha256:{'4' * 64}"
PROMISE = Promise(
    champion="ba9876543210",
    slow_ms=3.0,
    latency_budget_ms=10.0,
    counts=[[300 if abs(row - to) < 2 else 0 for to in range(BINS)] for row in range(BINS)],
)
SHARES = {"shares": [0.25] * 4, "chi2": 16.3, "limits": {"7d": 0.05}, "broken": 0.05, "matters": True}
REFERENCE = {
    "rows": 1000,
    "main": "rmse",
    "higher": ["r2"],
    "fall": 0.1,
    "features": {"distance": SHARES},
    "answers": SHARES,
}
RESOURCES = """\
- {op: replace, path: /spec/replicas, value: 8}
- op: replace
  path: /spec/template/spec/containers/0/resources
  value: {requests: {cpu: 200m, memory: 256Mi}, limits: {memory: 512Mi}}
"""


@dataclass(frozen=True)
class Object:
    content: dict[str, Any]
    file: Path  # from the root of the repository

    @property
    def kind(self) -> str:
        return str(self.content.get("kind"))

    @property
    def name(self) -> str:
        return str(self.metadata.get("name"))

    @property
    def group(self) -> str:
        return str(self.content.get("apiVersion")).rpartition("/")[0]

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self.content.get("metadata") or {})

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.content.get("spec") or {})

    def finding(self, field: str, wrong: str, fix: str) -> Finding:
        return Finding(self.file, f"{self.kind} {self.name}: {field}", wrong, fix)


@dataclass(frozen=True)
class Rendering:
    """The objects of one release, or of a specimen of one."""

    environment: str
    model: str
    strategy: str
    objects: tuple[Object, ...]

    def __str__(self) -> str:
        what = "a specimen" if self.model.endswith(f"_{MODEL}") else f"release {self.environment}/{self.model}"
        return f"{what}: {self.environment}, {self.strategy}"

    def of(self, kind: str, group: str | None = None) -> list[Object]:
        return [each for each in self.objects if each.kind == kind and group in (None, each.group)]

    def find(self, kind: str, name: Any, group: str | None = None) -> Object | None:
        return next((each for each in self.of(kind, group) if each.name == name), None)


@contextmanager
def copied(root: Path = Path()) -> Iterator[Path]:
    """A temporary folder with the manifests of a repository, without its releases."""
    with tempfile.TemporaryDirectory(prefix="manifests-") as folder:
        for name in {*MANIFESTS, *ALONE}:
            if (root / name).is_dir():
                shutil.copytree(root / name, Path(folder, name), dirs_exist_ok=True)
        yield Path(folder)


def strategies(root: Path = Path()) -> list[str]:
    """The canary, which is the base itself, and one for each folder of deploy/strategies."""
    return ["canary", *sorted(path.parent.name for path in (root / STRATEGIES).glob("*/kustomization.yaml"))]


def specimens(root: Path = Path()) -> list[Release]:
    """A made-up release of every strategy in every environment."""
    image = registry(root) or "registry.invalid"
    made = []
    for strategy in strategies(root):
        model = f"{strategy}_{MODEL}"
        serving = {"strategy": strategy, "slow_ms": 7.5, "latency_budget_ms": 20.0}
        written = passport(model, serving, f"{image}/{model}", PROMISE)
        promise = PROMISE if TABLE[strategy].compared else None
        made += [compose(environment, model, written, RESOURCES.encode(), promise) for environment in ENVIRONMENTS]
        if TABLE[strategy].by_commits:
            made[-1] = _walking(made[-1])
    return made


def _walking(release: Release) -> Release:
    """The same at the first weight, in the place of one with half the pods."""
    own = release.arm
    image = own.image.model_copy(update={"digest": FORMER})
    former = own.model_copy(update={"version": PROMISE.champion, "image": image, "replicas": own.replicas // 2})
    weight = weights.written(weights.Weight(weight=weights.all_of_them()[0], former=former))
    return again(Release(release.environment, release.model, {**release.files, weights.FILE: weight}), PROMISE)


def passport(model: str, serving: dict[str, Any], image: str, *promises: Promise) -> bytes:
    """The passport of a release that nobody made: enough to render one."""
    content = {
        **{"model": model, "version": VERSION, "verdict": "pass", "content": {"onnx": ONNX}, "gates": []},
        **{"metrics": {"rmse": {"value": 2.0, "low": 1.0, "high": 3.0}}, "dataset": {"rows": 100}},
        **{"slo": {"availability": 0.999, "latency": 0.99}, "reference": REFERENCE, "judged_by": []},
        **{"serving": serving, "promises": [each.model_dump() for each in promises]},
        "image": {"name": image, "digest": DIGEST},
    }
    return yaml.safe_dump(content).encode()


def texts(releases: Sequence[Release], tree: Path, origins: str = ORIGINS) -> list[str]:
    """The YAML that each release renders to among the manifests of `tree`; Refusal if one cannot.

    One call renders them all, at a third of what a call for each would cost; a mark names whose an object is.
    """
    batch = Path(tempfile.mkdtemp(prefix="batch-", dir=tree / "deploy"))
    for number, each in enumerate(releases):
        folder = tree / each.folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in each.files.items():
            (folder / name).write_bytes(content)
        (batch / str(number)).mkdir()
        marked = MARKED.format(release=each.folder.relative_to("deploy"), mark=MARK, number=number)
        (batch / str(number) / "kustomization.yaml").write_text(marked)
    listed = json.dumps([str(number) for number in range(len(releases))])
    (batch / "kustomization.yaml").write_text(f"resources: {listed}\n{origins}")
    try:
        rendered = kustomize.text(batch)
    except Refusal as refusal:
        message = str(refusal)
        for place in (batch.resolve(), tree.resolve(), tree):
            message = message.replace(f"{place}/", "")
        raise Refusal(message) from None
    documents: list[list[str]] = [[] for _ in releases]
    for document in rendered.split("\n---\n"):
        mark = re.search(rf'^    {MARK}: "(\d+)"\n', document, re.MULTILINE)
        assert mark, document
        documents[int(mark[1])].append(document.replace(mark[0], "").strip())
    return ["\n---\n".join(sorted(each)) for each in documents]


def parse(rendered: str, release: Release) -> Rendering:
    """The rendering that `texts` made."""
    found = tuple(objects(rendered, Path("deploy/batch")))
    return Rendering(release.environment, release.model, release.passport.serving.strategy, found)


def objects(rendered: str, folder: Path) -> list[Object]:
    """Those of a folder's rendering, without the annotations that name their origins."""
    return [_object(content, folder) for content in kustomize.parse(rendered)]


def _object(content: dict[str, Any], folder: Path) -> Object:
    metadata = content.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    origin = yaml.load(annotations.pop(ORIGIN, "{}"), Loader=LOADER)  # noqa: S506 - both are safe loaders
    if not annotations:
        metadata.pop("annotations", None)
    if "repo" in origin:
        raise Refusal(
            f"{content.get('kind')} {metadata.get('name')} comes from {origin['repo']}, which can change or vanish; "
            f"copy what is needed into deploy/base."
        )
    path = origin.get("path") or origin.get("configuredIn") or "kustomization.yaml"
    return Object(content, Path(os.path.normpath(folder / path)))
