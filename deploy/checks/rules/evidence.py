"""What a canary is judged by must come, and must be the canary's own: queries, scrapes, steps that wait for them."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain, pairwise

from deploy.canary import durations
from deploy.canary.template import STRATUM, Metric
from deploy.checks import promql
from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.runs import AFTER, HASHES, STEP, Run, refused, runs
from deploy.checks.rules.strategy import CANARY, canaries
from deploy.lib.rules import Finding
from repo.lib.refusal import Refusal
from serving.runtime.feedback import Feedback
from serving.runtime.log import COUNTED
from serving.runtime.telemetry import Telemetry

HASH = "rollouts_pod_template_hash"  # the pod's label, as PodMonitor writes it to every series
ADDED = {"job", "namespace", "pod", "container", "endpoint", "instance"}  # to every series, by Prometheus
SCRAPE = "30s"  # what Prometheus does unless the PodMonitor says


def queries_parse(rendering: Rendering) -> Iterator[Finding]:
    for _, each, metric in asked(rendering):
        try:
            promql.parse(metric.query, f"{each.kind} {each.name}: {at(metric)}")
        except Refusal as refusal:
            yield refused(each, at(metric), refusal)


def at(metric: Metric) -> str:
    return f"spec.metrics ({metric.name}).provider.prometheus.query"


def asked(rendering: Rendering) -> list[tuple[Run, Object, Metric]]:
    """Every metric of every run, arguments filled in."""
    return [(run, each, metric) for run in runs(rendering) for each, metric in run.metrics()]


def read(rendering: Rendering) -> Iterator[tuple[Run, Object, Metric, promql.Query]]:
    for run, each, metric in asked(rendering):
        try:
            yield run, each, metric, promql.parse(metric.query, each.name)
        except Refusal:
            continue  # has a rule of its own


def names(run: Run) -> tuple[str, str]:
    """The labels of job and pod hash, as fork.yaml says that this Prometheus calls them."""
    values = run.values()
    return values.get("job-label", "job"), values.get("hash-label", HASH)


def series_are_the_models_own(rendering: Rendering) -> Iterator[Finding]:
    """A selector without the canary's hash judges all pods; another job is another model, or nothing."""
    jobs = {f"{monitor.metadata.get('namespace')}/{monitor.name}" for monitor in rendering.of("PodMonitor")}
    for run, each, metric, query in read(rendering):
        job_label, hash_label = names(run)
        for series in query.series:
            sign, job = series.labels.get(job_label, ("", ""))
            if (sign, job) not in {("=", name) for name in jobs}:
                made = ", ".join(sorted(jobs)) or "none"
                wrong = f"{series.metric} has {job_label}={job!r}, and the PodMonitor makes {made}"
                yield each.finding(at(metric), wrong, 'select {{args.job-label}}="{{args.namespace}}/{{args.model}}"')
            sign, pods = series.labels.get(hash_label, ("", ""))
            if not pods or not set(pods.split("|")) <= set(HASHES.values()) or sign not in ("=", "=~"):
                wrong = f"{series.metric} is not limited to the canary's or the stable pods by {hash_label}"
                yield each.finding(at(metric), wrong, "select by {{args.canary-hash}}, {{args.stable-hash}} or both")
        if not any(HASHES["Latest"] in series.labels.get(hash_label, ("", ""))[1] for series in query.series):
            yield each.finding(at(metric), "names no series of the canary", "select by {{args.canary-hash}}")


def metrics_are_served(rendering: Rendering) -> Iterator[Finding]:
    """A series that nobody exports is no data for ever, which the queries take for zero evidence."""
    known = exported()
    for run, each, metric, query in read(rendering):
        added = {*ADDED, *names(run)}
        for series in query.series:
            if series.metric not in known:
                wrong = f"no served model exports {series.metric}"
                yield each.finding(at(metric), wrong, "name one of serving/runtime/telemetry.py")
            elif unknown := sorted(set(series.labels) - known[series.metric] - added):
                wrong = f"{series.metric} has no label {unknown[0]}"
                yield each.finding(at(metric), wrong, "name one of serving/runtime/telemetry.py, or of the PodMonitor")
        labels = {label for series in query.series for label in known.get(series.metric, set())} | added
        for label in sorted(query.labels - labels):
            yield each.finding(at(metric), f"none of its series has the label {label}", "name one that they have")


@cache
def exported() -> dict[str, set[str]]:
    """Metric -> its labels, for any served model; test_metrics.py holds queries against a real /metrics besides."""
    features = [{"name": "", "type": "number", "bins": []}]
    shape = {"model": "", "version": "", "latency_budget_ms": 10.0, "slow_ms": 5.0, "features": features}
    found: dict[str, set[str]] = {"up": set()}  # Prometheus' own
    found |= {name: {"model", "version"} for name in COUNTED}  # where a log is on
    tasks: list[tuple[list[str] | None, float | None]] = [(None, 0.5), (["", " "], None), (None, None)]
    for names, threshold in tasks:  # a score, classes, a number
        shape["answer"] = {"names": names, "threshold": threshold, "edges": []}
        feedback = Feedback({**shape, "feedback_days": 1, "max_rows": 1})
        for family in chain(Telemetry(shape).collect(), feedback.collect()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def scrapes_bring_what_is_asked(rendering: Rendering) -> Iterator[Finding]:
    """Without the pod's hash on its series no query finds any, and every analysis waits in vain."""
    asks = {label for run, _, _ in asked(rendering) for label in names(run)}
    for monitor in rendering.of("PodMonitor"):
        if HASH in asks and "rollouts-pod-template-hash" not in (monitor.spec.get("podTargetLabels") or []):
            wrong = f"lacks rollouts-pod-template-hash: no series would bear {HASH}, and evidence never comes"
            yield monitor.finding("spec.podTargetLabels", wrong, "add it")
        if "job" in asks and "jobLabel" in monitor.spec:
            wrong = "replaces the job label by which the queries select"
            yield monitor.finding("spec.jobLabel", wrong, "remove it: the job is then <namespace>/<name>")
    if asks and not rendering.of("PodMonitor"):
        for rollout in rendering.of("Rollout"):
            yield rollout.finding("the pods", "are scraped by no PodMonitor: evidence never comes", "add one")


def ranges_cover_their_strata(rendering: Rendering) -> Iterator[Finding]:
    """Strata lie end to end: the range is one interval and one scrape, the step and `seconds` are the interval."""
    ends = [end for monitor in rendering.of("PodMonitor") for end in monitor.spec.get("podMetricsEndpoints") or []]
    scrape = max((durations.seconds(end.get("interval") or SCRAPE, "interval") for end in ends), default=30.0)
    for run, each, metric, query in read(rendering):
        if not query.steps or not query.ranges or metric.interval is None:
            continue  # of `up` itself, which has a value a scrape
        if query.ranges != {metric.interval + scrape}:
            found = ", ".join(f"{seconds:g} s" for seconds in sorted(query.ranges))
            wrong = f"has a range of {found}, not of the interval and a scrape, {metric.interval + scrape:g} s"
            yield each.finding(at(metric), wrong, "set the argument `range`")
        if query.steps != {metric.interval}:
            wrong = f"has steps other than the interval of {metric.interval:g} s: strata overlap or leave gaps"
            yield each.finding(at(metric), wrong, "set the argument `window`")
        seconds = run.values().get(STRATUM)
        if seconds is not None and float(seconds) != metric.interval:
            wrong = f"gives {STRATUM} {seconds}, and the interval is {metric.interval:g} s"
            yield each.finding("spec.args", wrong, "let them agree")


def weight_is_left_on_evidence(rendering: Rendering) -> Iterator[Finding]:
    """Between two weights a step waits until enough requests reached the canary: otherwise time alone promotes it."""
    for rollout, canary in canaries(rendering):
        weight, last, waited = 0, 0, True
        for number, step in enumerate(canary.get("steps") or []):
            if "analysis" in step:
                waited = True
                if weight == 0:
                    wrong = "waits for requests before the canary gets any: evidence never comes"
                    yield rollout.finding(f"{CANARY}.steps[{number}].analysis", wrong, "set a weight before it")
            if "setWeight" in step:
                if not waited:
                    wrong = f"({weight} %) is left without evidence, by time alone"
                    fix = "add an analysis of model-evidence after it"
                    yield rollout.finding(f"{CANARY}.steps[{last}].setWeight", wrong, fix)
                weight, last, waited = step["setWeight"], number, not 0 < step["setWeight"] < 100


def evidence_rises(rendering: Rendering) -> Iterator[Finding]:
    """Requests are counted since the canary started: a step that asks for no more than the one before asks nothing."""
    steps = [(run, metric) for run, _, metric in asked(rendering) if run.when == STEP]
    for (_, before), (run, metric) in pairwise(steps):
        was, now = before.success.limit, metric.success.limit
        if was and now and was[0] in (">", ">=") and now[1] <= was[1]:
            wrong = f"asks for {now[1]:g} requests after {was[1]:g}: there are as many already"
            yield run.rollout.finding(f"{run.field}.args", wrong, "let `requests` rise from step to step")


def evidence_can_come(rendering: Rendering) -> Iterator[Finding]:
    """A step must wait as long as it says, and long enough for the traffic that is known: that of staging's caller."""
    rate = _rate(rendering)
    for run, each, metric in asked(rendering):
        if run.when not in (STEP, AFTER) or metric.interval is None or metric.count is None:
            continue
        if metric.inconclusive_limit < metric.count:
            wrong = f"is {metric.inconclusive_limit}, so it gives up before its {metric.count} measurements"
            yield each.finding(f"spec.metrics ({metric.name}).inconclusiveLimit", wrong, f"make it {metric.count}")
        limit, weight = metric.success.limit, _weight(run)
        wait = metric.count * metric.interval
        if run.when == STEP and rate and limit and limit[0] in (">", ">=") and limit[1] > rate * weight / 100 * wait:
            brings = f"{rate:g} requests a second at {weight} % for {wait:g} s bring {rate * weight / 100 * wait:.0f}"
            wrong = f"asks for {limit[1]:g} requests, and {brings}: evidence never comes"
            yield run.rollout.finding(f"{run.field}.args", wrong, "ask for fewer, or wait longer (count)")


def _rate(rendering: Rendering) -> float | None:
    """Requests a second of the callers that the environment brings itself; None without one."""
    for each in rendering.of("Deployment"):
        for container in each.spec["template"]["spec"]["containers"]:
            args = [str(arg) for arg in container.get("args") or []]
            if "--rate" in args[:-1]:
                return float(args[args.index("--rate") + 1]) * int(each.spec.get("replicas", 1))
    return None


def _weight(run: Run) -> int:
    """The canary's share while a step's run waits, in percent."""
    number = re.search(r"steps\[(\d+)\]", run.field)
    steps = (run.rollout.spec["strategy"].get("canary") or {}).get("steps") or []
    listed = [step["setWeight"] for step in steps[: int(number[1]) if number else 0] if "setWeight" in step]
    return int(listed[-1]) if listed else 0


def way_back_is_open(rendering: Rendering) -> Iterator[Finding]:
    """After promotion the former pods must outlive the analysis that can send traffic back to them."""
    for run, _, metric in asked(rendering):
        if run.when == AFTER and metric.interval and metric.count:
            keeps = int(run.rollout.spec["strategy"]["blueGreen"].get("scaleDownDelaySeconds", 30))
            if keeps <= metric.initial_delay + metric.interval * metric.count:
                wrong = f"is {keeps}, and {metric.name} watches for {metric.interval * metric.count:g} s"
                yield run.rollout.finding("spec.strategy.blueGreen.scaleDownDelaySeconds", wrong, "make it longer")
