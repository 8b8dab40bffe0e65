"""What the cluster would run of a model: the release that the working tree would become, rendered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.canary import steps, template
from deploy.canary.steps import Steps
from deploy.checks import kustomize, rendering
from deploy.lib import kustomization, monitoring
from deploy.lib.passport import Promise
from deploy.lib.strategies import TABLE
from models.lib import passport
from models.lib.config import Model
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

Object = Mapping[str, Any]

ENVIRONMENT = "production"
BASE = Path("deploy/base")
LABELS = {"job-label": "job", "hash-label": "rollouts_pod_template_hash"}  # of a rehearsal's Prometheus, by argument


@dataclass(frozen=True)
class RenderedRelease:
    """The Rollout, the AnalysisTemplates by name and the PodMonitor of a release; `notes` are sentences for people."""

    rollout: Object
    templates: Mapping[str, Object]
    monitor: Object
    plan: Steps
    source: str
    notes: tuple[str, ...]

    def with_bounds(self, **milliseconds: float) -> RenderedRelease:
        """With other bounds above which a request is slow or beyond its budget, by annotation."""
        values = {name.replace("_", "-"): monitoring.bound(value) for name, value in milliseconds.items()}
        return dataclasses.replace(self, rollout=_annotated(self.rollout, values))

    def with_promise(self, promise: Promise) -> RenderedRelease:
        """Held to this promise, about the champion that is rehearsed against."""
        return dataclasses.replace(self, rollout=_annotated(self.rollout, kustomization.promised(promise)))


def released(model: Model) -> RenderedRelease:
    """Rendered where kubectl or kustomize is on PATH; else the base as it is written, which the notes then state."""
    strategy, notes = model.serving.strategy, []
    if not (of := TABLE[strategy]).walks:
        lacks = "has weights that are commits, and a router of KServe's" if of.by_commits else "has no weights to walk"
        notes.append(f"The strategy {strategy} {lacks}; the rehearsal walks those of the basic canary.")
        if not TABLE[strategy].image:
            notes.append(f"It runs the service; {strategy}, which serves the file alone, is not modelled.")
        strategy = "canary"
    try:
        kustomize.renderer()
    except Refusal as refusal:
        notes.append(f"The manifests are read as {BASE} has them, unrendered: {str(refusal).rstrip('.')}.")
        if strategy != "canary":
            notes.append(f"So the weights are those of the basic canary, not of the strategy {strategy}.")
        objects, source = _unrendered(), str(BASE)
    else:
        objects = _rendered(model, strategy)
        source = f"the {strategy} release of this tree for {ENVIRONMENT}"
    rollout = _one(objects, "Rollout")
    templates = {str(each["metadata"]["name"]): each for each in objects if each["kind"] == "AnalysisTemplate"}
    plan = steps.plan(rollout, f"Rollout {rollout['metadata']['name']}")
    found = RenderedRelease(rollout, templates, _one(objects, "PodMonitor"), plan, source, tuple(notes))
    check(found)
    return found


def check(release: RenderedRelease) -> None:
    """Every analysis can be measured, also in compressed time: refused before a server starts."""
    plan = release.plan
    for each in [*(one for step in plan.steps for one in step.analyses), *filter(None, [plan.background])]:
        written = [metric for one in _used(release, each) for metric in one["spec"]["metrics"]]
        queries = {str(metric["name"]): str(metric["provider"]["prometheus"]["query"]) for metric in written}
        for metric in metrics(release, each, "latest", "stable", 2.0):
            if fixed := template.literal_ranges(queries[metric.name]):
                raise Refusal(
                    f"AnalysisTemplate {metric.template}: the query of {metric.name} holds the range {fixed[0]}, which "
                    "a rehearsal cannot compress; make it an argument with that value."
                )


def metrics(
    release: RenderedRelease, analysis: steps.Analysis, latest: str, stable: str, factor: float
) -> list[template.Metric]:
    """The metrics of an analysis, time compressed `factor` times; `latest` and `stable` are the arms' hashes."""
    values = template.given(analysis.args, release.rollout, latest, stable, analysis.where)
    used = _used(release, analysis)
    values = template.compressed(template.arguments(used, values, analysis.where), factor) | LABELS
    return [metric.scaled(factor) for metric in template.metrics(used, values)]


def _used(release: RenderedRelease, analysis: steps.Analysis) -> list[Object]:
    for name in analysis.templates:
        if name not in release.templates:
            raise Refusal(f"{analysis.where} names the AnalysisTemplate {name}, which the release lacks; add it.")
    return [release.templates[name] for name in analysis.templates]


def _rendered(model: Model, strategy: str) -> list[dict[str, Any]]:
    serving = {
        "strategy": strategy,
        "slow_ms": passport.slow_ms(model),
        "latency_budget_ms": model.serving.latency_budget_ms,
        "canary": model.serving.canary.model_dump(),
    }
    # Nothing is pulled: no registry has this image, and of the release only the objects around it are read.
    written = rendering.passport(model.name, serving, kustomization.PLACEHOLDER)
    resources = (model.folder / "resources.yaml").read_bytes()
    composed = kustomization.compose(ENVIRONMENT, model.name, written, resources)
    with rendering.copied() as tree:
        return kustomize.parse(rendering.texts([composed], tree, origins="")[0])


def _unrendered() -> list[dict[str, Any]]:
    """Of the base, what a rehearsal reads."""
    names = ["rollout.yaml", "podmonitor.yaml", *(f"analysis/{path.name}" for path in (BASE / "analysis").glob("*"))]
    found = [read_yaml(BASE / name, "restore it with `git checkout`", ("kind",)) for name in names]
    for each in found:
        each.setdefault("metadata", {})["namespace"] = f"models-{ENVIRONMENT}"
    return found


def _annotated(rollout: Object, values: Mapping[str, str]) -> Object:
    """A copy with these annotations of a release, written as a release writes them."""
    ours = {f"release/{name}": text for name, text in values.items()}
    annotations = {**rollout["metadata"].get("annotations", {}), **ours}
    return {**rollout, "metadata": {**rollout["metadata"], "annotations": annotations}}


def _one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    found = [each for each in objects if each.get("kind") == kind]
    if len(found) != 1:
        raise Refusal(f"the release of {ENVIRONMENT} has {len(found)} objects of kind {kind}; a rehearsal needs one.")
    return found[0]
