"""Analysis that would fail to start, never end, or never judge: Rollouts finds out in the middle of a canary."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from deploy.canary import durations, template
from deploy.canary.condition import Condition
from deploy.canary.template import PLACEHOLDER
from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.runs import BACKGROUND, BEFORE, HASHES, asks_prometheus, metrics_of, refused, runs
from deploy.checks.rules.strategy import CANARY, steps, weights
from deploy.lib.rules import Finding
from repo.lib.refusal import Refusal

LIMITS = {
    "failureLimit": "0 unless it is set, which should be meant",
    "inconclusiveLimit": "0 unless it is set: one measurement without data would stop the canary",
    "consecutiveErrorLimit": "4 unless it is set: a restart of Prometheus would abort a healthy canary",
}


def placeholders(each: Object) -> set[str]:
    """Names of the arguments that a template's metrics use."""
    return {name.removeprefix("args.") for name in PLACEHOLDER.findall(json.dumps(metrics_of(each)))}


def length(canary: dict[str, Any], start: int = 0) -> float:
    """Seconds that the pauses from step `start` on take; infinite with one that waits for a person."""
    pauses = [step["pause"] for step in (canary.get("steps") or [])[start:] if "pause" in step]
    listed = [(pause or {}).get("duration") for pause in pauses]
    return sum(float("inf") if each is None else durations.seconds(each, "pause.duration") for each in listed)


def arguments_fit(rendering: Rendering) -> Iterator[Finding]:
    """Missing, given twice, declared by no template, or declared with two values."""
    for run in runs(rendering):
        try:
            run.values()
        except Refusal as refusal:
            yield refused(run.rollout, f"{run.field}.args", refusal)


def arguments_are_used(rendering: Rendering) -> Iterator[Finding]:
    for each in rendering.of("AnalysisTemplate"):
        counted = Counter(str(arg.get("name")) for arg in each.spec.get("args") or [])
        for name, times in counted.items():
            if times > 1:
                yield each.finding("spec.args", f"declares {name} {times} times", "leave one")
            if name not in placeholders(each):
                yield each.finding("spec.args", f"declares {name}, which no metric uses", "remove it, or use it")
        for name in sorted(placeholders(each) - set(counted)):
            wrong = f"uses {{{{args.{name}}}}}, which spec.args does not declare"
            yield each.finding("spec.metrics", wrong, "declare it")


def metrics_can_be_read(rendering: Rendering) -> Iterator[Finding]:
    """Conditions, durations and limits in the form that Rollouts, and the rehearsal, take."""
    for run in runs(rendering):
        try:
            values = run.values()
        except Refusal:
            continue  # has a rule of its own
        for each in filter(asks_prometheus, run.templates):
            try:
                template.metrics([each.content], values)
            except Refusal as refusal:
                yield refused(each, "spec.metrics", refusal)


def metrics_have_their_own_names(rendering: Rendering) -> Iterator[Finding]:
    """Of two metrics of one name in a run Rollouts makes an error."""
    for run in runs(rendering):
        named = Counter(str(metric.get("name")) for each in run.templates for metric in metrics_of(each))
        for name in [name for name, times in named.items() if times > 1]:
            yield run.rollout.finding(f"{run.field}.templates", f"bring two metrics named {name}", "rename one")


def conditions_are_guarded(rendering: Rendering) -> Iterator[Finding]:
    """No data must be neither a pass nor a failure nor an error, so both conditions begin with a look at it."""
    for run in runs(rendering):
        for each, metric in run.metrics():
            at = f"spec.metrics ({metric.name})"
            for name, condition in (("successCondition", metric.success), ("failureCondition", metric.failure)):
                first = condition.comparisons[0]
                if (first.count, first.operator, first.limit) != (True, ">", 0.0):
                    wrong = f"`{condition.text}` does not begin with `len(result) > 0 &&`"
                    yield each.finding(f"{at}.{name}", wrong, "begin with it: without data the other part is an error")
            if (value := both(metric.success, metric.failure)) is not None:
                wrong = f"both hold for {value:g}, which fails the canary"
                yield each.finding(f"{at}.successCondition, failureCondition", wrong, "let at most one of them hold")


def both(one: Condition, other: Condition) -> float | None:
    """A value for which both conditions hold: each limit, or a little beside it."""
    limits = [each.limit for condition in (one, other) for each in condition.comparisons if not each.count]
    for limit in limits:
        for value in (limit, limit + 1e-6, limit - 1e-6, limit + 1e6, limit - 1e6):
            if one.holds([value]) and other.holds([value]):
                return value
    return None


def limits_are_stated(rendering: Rendering) -> Iterator[Finding]:
    for each in filter(asks_prometheus, rendering.of("AnalysisTemplate")):
        for number, metric in enumerate(metrics_of(each)):
            for name in [name for name in LIMITS if name not in metric]:
                yield each.finding(f"spec.metrics[{number}].{name}", f"is {LIMITS[name]}", "set it")


def runs_end(rendering: Rendering) -> Iterator[Finding]:
    """Outside the background the rollout waits for the run, which must therefore end."""
    for run in runs(rendering):
        if run.when == BACKGROUND:
            continue
        for each in run.templates:
            for number, metric in enumerate(metrics_of(each)):
                if "interval" in metric and "count" not in metric:
                    wrong = f"is missing, so the analysis {run.when} ({run.field}) runs indefinitely"
                    yield each.finding(f"spec.metrics[{number}].count", wrong, "set it")


def background_watches_to_the_end(rendering: Rendering) -> Iterator[Finding]:
    """A delay past the end measures nothing, which counts as success; a count that is used up looks away."""
    for run in runs(rendering):
        if run.when != BACKGROUND:
            continue
        canary = run.rollout.spec["strategy"]["canary"]
        start = int(run.block.get("startingStep", 0))
        listed = weights(canary)
        first = next((number for number, weight in listed if weight > 0), 0)
        if start > first + 1:
            wrong = f"is {start}: the canary gets traffic at step {first} and nothing watches it until then"
            yield run.rollout.finding(f"{run.field}.startingStep", wrong, f"make it {first + 1} or less")
        seconds = length(canary, start)
        for each, metric in run.metrics():
            at = f"spec.metrics ({metric.name})"
            if metric.initial_delay >= seconds:
                wrong = (
                    f"is {metric.initial_delay:g} s, and the steps take {seconds:g} s: no measurement is a silent pass"
                )
                yield each.finding(f"{at}.initialDelay", wrong, "begin before the rollout ends")
            if metric.interval is None or (metric.count is not None and metric.count * metric.interval < seconds):
                wrong = "stops looking before the rollout ends"
                yield each.finding(f"{at}.interval, count", wrong, "give an interval, and no count")


def hashes_tell_the_arms(rendering: Rendering) -> Iterator[Finding]:
    """canary-hash is the newest pod template, stable-hash the one before; Rollouts takes any other word as nothing."""
    for run in runs(rendering):
        for number, arg in enumerate(run.block.get("args") or []):
            at = f"{run.field}.args[{number}] ({arg.get('name')})"
            word = (arg.get("valueFrom") or {}).get(template.HASH)
            meant = {"canary-hash": "Latest", "stable-hash": "Stable"}.get(str(arg.get("name")))
            if word is not None and word not in HASHES:
                wrong = f"is {word!r}, which Rollouts takes for no hash at all"
                yield run.rollout.finding(f"{at}.valueFrom.{template.HASH}", wrong, "write Latest or Stable")
            elif meant and word != meant:
                wrong = f"is {word}, so the analysis would judge other pods than its name states"
                yield run.rollout.finding(f"{at}.valueFrom.{template.HASH}", wrong, f"write {meant}")


def nothing_is_only_a_trial(rendering: Rendering) -> Iterator[Finding]:
    for run in runs(rendering):
        if run.block.get("dryRun"):
            yield run.rollout.finding(f"{run.field}.dryRun", "measures and aborts nothing", "remove it")


def promotion_is_not_judged_by_absent_traffic(rendering: Rendering) -> Iterator[Finding]:
    for run in runs(rendering):
        if run.when == BEFORE:
            for each in filter(asks_prometheus, run.templates):
                wrong = f"asks Prometheus for {each.name}, but nobody calls the new pods before promotion"
                yield run.rollout.finding(run.field, wrong, "use a Job that calls them")


def pauses_can_be_read(rendering: Rendering) -> Iterator[Finding]:
    for rollout, number, step in steps(rendering):
        duration = (step.get("pause") or {}).get("duration")
        at = f"{CANARY}.steps[{number}].pause.duration"
        try:
            if duration is not None and durations.seconds(duration, at) <= 0:
                yield rollout.finding(at, f"is {duration}, no time at all", "make it longer, or remove the step")
        except Refusal:
            yield rollout.finding(at, f"is {duration!r}", "write it like 30s, 2m or 1h")
