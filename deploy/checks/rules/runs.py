"""The analysis runs that a Rollout starts, with their templates and arguments."""

import re
from dataclasses import dataclass
from typing import Any

from deploy.canary import template
from deploy.canary.template import Metric
from deploy.checks.rendering import Object, Rendering
from deploy.lib.rules import Finding
from repo.lib.refusal import Refusal

BACKGROUND, STEP, BEFORE, AFTER = "in the background", "in a step", "before promotion", "after promotion"
HASHES = {"Latest": "hash-of-canary", "Stable": "hash-of-stable"}


@dataclass(frozen=True)
class Run:
    rollout: Object
    field: str  # where the Rollout asks for it
    when: str  # BACKGROUND, STEP, BEFORE or AFTER promotion
    block: dict[str, Any]
    templates: tuple[Object, ...]  # those that there are

    def values(self) -> dict[str, str]:
        """Every argument with its value; Refusal where Rollouts would refuse, or hand over nothing."""
        at = f"{self.rollout.kind} {self.rollout.name}: {self.field}"
        args = self.block.get("args") or []
        given = template.given(args, self.rollout.content, HASHES["Latest"], HASHES["Stable"], at)
        return template.arguments([each.content for each in self.templates], given, at)

    def metrics(self) -> list[tuple[Object, Metric]]:
        """Template and metric, arguments filled in, of those that ask Prometheus; what cannot be read has its rules."""
        found = []
        for each in self.templates:
            if asks_prometheus(each):
                try:
                    found += [(each, metric) for metric in template.metrics([each.content], self.values())]
                except Refusal:
                    continue
        return found


def runs(rendering: Rendering) -> list[Run]:
    found = []
    for rollout in rendering.of("Rollout"):
        strategy = rollout.spec.get("strategy") or {}
        canary, blue = strategy.get("canary") or {}, strategy.get("blueGreen") or {}
        asked = [("spec.strategy.canary.analysis", BACKGROUND, canary.get("analysis"))]
        for number, step in enumerate(canary.get("steps") or []):
            asked.append((f"spec.strategy.canary.steps[{number}].analysis", STEP, step.get("analysis")))
        asked.append(("spec.strategy.blueGreen.prePromotionAnalysis", BEFORE, blue.get("prePromotionAnalysis")))
        asked.append(("spec.strategy.blueGreen.postPromotionAnalysis", AFTER, blue.get("postPromotionAnalysis")))
        for field, when, block in asked:
            if block is not None:
                named = [each.get("templateName") for each in block.get("templates") or []]
                templates = [rendering.find("AnalysisTemplate", name) for name in named]
                found.append(Run(rollout, field, when, block, tuple(each for each in templates if each is not None)))
    return found


def metrics_of(each: Object) -> list[dict[str, Any]]:
    return list(each.spec.get("metrics") or [])


def asks_prometheus(each: Object) -> bool:
    return all("prometheus" in (metric.get("provider") or {}) for metric in metrics_of(each))


def refused(each: Object, field: str, refusal: Refusal) -> Finding:
    """A Refusal of the analysis modules, which names the object itself, as a fault of that object's file."""
    message = str(refusal).rstrip(".").removeprefix(f"{each.kind} {each.name}: ").removeprefix(f"{field} ")
    wrong, fix = message.rsplit("; ", 1) if "; " in message else (message, "fix it")
    named = re.match(r"(spec\.[\w.\[\]]+):? ", wrong)
    if named:
        field, wrong = named[1], wrong[named.end() :]
    return each.finding(field, wrong, fix)
