"""The next weight of a release that walks by commits: written only after what was judged at the weight before.

What is judged, and how, is what a Rollout's canary and a rehearsal are held to: the AnalysisTemplates of
deploy/base/analysis, asked of the Prometheus of PROMETHEUS_URL.
"""

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path

from deploy.canary import steps, template
from deploy.canary.run import Phase, Run
from deploy.canary.template import Metric
from deploy.lib import fork, history, prometheus, promise, weights
from deploy.lib.kustomization import again, bounds, promised
from deploy.lib.release import Release, kubernetes_name
from deploy.lib.strategies import TABLE
from deploy.lib.weights import FULL, Judged, Weight
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

ANALYSIS = Path("deploy/base/analysis")
APART = 1800.0  # seconds between two looks: half of what a query sees
LOOKS = 48  # at most, so a day
SIGNS = {">=": "at least", "<=": "at most"}


class Worse(Exception):
    """The canary is worse than the pods beside it: one sentence for a person."""


def taken(candidate: Release, standing: Release | None, asked: int | None) -> Release:
    """The candidate at the weight that production takes now: all, where nothing of its kind stands that it could share
    traffic with. `standing` is what the cluster was given; `asked` the option --weight.
    """
    alike = standing if standing and standing.readable and by_commits(standing) and by_commits(candidate) else None
    at, first = alike.weight if alike else None, weights.all_of_them()[0]
    if alike is not None and candidate.runs_the_same_as(alike):
        return alike if at is None or asked in (None, at.weight) else _at(candidate, _next(alike, at, asked))
    if alike is not None and at is not None and not at.whole:
        raise Refusal(
            f"{alike.folder} walks {alike.version} at {at.weight} %; take that on with --weight {at.next}, or back "
            f"with `python -m deploy rollback {alike.model} --environment {alike.environment}`."
        )
    if alike is None or alike.arm.hash == candidate.arm.hash:  # of the same image Prometheus could not tell two arms
        if asked not in (None, FULL):
            raise Refusal(f"--weight {asked}: no other image of strategy kserve stands to share with; leave it out.")
        return candidate
    if asked not in (None, first):
        raise Refusal(f"--weight {asked}: a new release starts at {first} %; leave it out.")
    return _at(candidate, Weight(weight=first, former=alike.arm))


def by_commits(release: Release) -> bool:
    return TABLE[release.passport.serving.strategy].by_commits


def _at(release: Release, weight: Weight) -> Release:
    files = {**release.files, weights.FILE: weights.written(weight)}
    return again(dataclasses.replace(release, files=files), promise.of_release(release))


def _next(standing: Release, at: Weight, asked: int | None) -> Weight:
    """The weight that follows, if what stands is healthy."""
    if at.whole or asked != at.next:
        allowed = "it has all traffic" if at.whole else f"the next is --weight {at.next}"
        raise Refusal(f"{standing.folder}: --weight {asked} does not follow {at.weight} %; {allowed}.")
    since = next(history.entries(standing.environment, standing.model, own_line=True)).when.timestamp()
    judged = judge(standing, at, since)
    print(f"Judged: {judged}")
    return Weight(weight=at.next, former=at.former, judged=[*at.judged, judged])


def judge(standing: Release, at: Weight, since: float) -> Judged:
    """What Prometheus says of a weight that the cluster was given at `since`, in seconds since 1970.

    Raises Worse where an analysis fails; Refusal where one has too little to go by.
    """
    now, run = time.time(), Run(_metrics(standing, at), since)
    for moment in [when for look in range(LOOKS) if (when := now - APART * look) >= since][::-1] or [now]:
        for result in run.due(moment):
            values = [value for _, value in prometheus.query(result.metric.query, moment)]
            run.record(result, moment, values)
        run.assess()
    checks, lacking = dict[str, str](), list[str]()
    for each in run.results:
        sign, limit = each.metric.success.limit or ("<=", 0.0)
        value = f"{each.last.values[0]:.4g}" if each.last and each.last.values else "no data"
        checks[each.metric.name] = f"{value}, {SIGNS[sign]} {limit:g}"
        if each.last is None or each.last.phase is Phase.INCONCLUSIVE:
            lacking.append(f"{each.metric.name} {checks[each.metric.name]}")
    if run.phase is Phase.FAILED and (worst := run.worst) is not None:
        raise Worse(
            f"{standing.folder}: at {at.weight} % {standing.version} is worse than {at.former.version}: "
            f"{worst.metric.name} {checks[worst.metric.name]}; take it back with "
            f"`python -m deploy rollback {standing.model} --environment {standing.environment}`."
        )
    if lacking:
        raise Refusal(
            f"{standing.folder}: at {at.weight} % too little is known of {standing.version} ({'; '.join(lacking)}); "
            "wait for more requests, or look whether PROMETHEUS_URL scrapes its pods, and try again."
        )
    return Judged(weight=at.weight, at=datetime.now(UTC).isoformat(timespec="seconds"), checks=checks)


def _metrics(standing: Release, at: Weight) -> list[Metric]:
    """Those of the basic canary's background and of its step, with this release's arguments."""
    plan, serving, held = steps.read(), standing.passport.serving, promise.of_release(standing)
    number = [step.weight for step in plan.steps].index(at.weight)
    annotations = dict(steps.rollout()["metadata"]["annotations"])
    values = bounds(serving, held) | (promised(held) if held else {})
    annotations |= {f"release/{name}": value for name, value in values.items()}
    named = {"name": kubernetes_name(standing.model), "namespace": f"models-{standing.environment}"}
    found = list[Metric]()
    for each in [*filter(None, [plan.background]), *plan.steps[number].analyses]:
        rollout, hashes = {"metadata": {**named, "annotations": annotations}}, (standing.arm.hash, at.former.hash)
        given = template.given(each.args, rollout, *hashes, each.where)
        if "requests" in given:
            given["requests"] = str(serving.canary.requests * (number + 1))
        files = [ANALYSIS / f"{name.removeprefix('model-')}.yaml" for name in each.templates]
        used = [read_yaml(path, "restore it with `git checkout`") for path in files]
        found += template.metrics(used, template.arguments(used, given, each.where) | fork.labels())
    return found


def unjudged(release: Release, until: str) -> str:
    """What is wrong with the weight of a release, by its record and by what Git had up to the commit `until`."""
    weight, walk = release.weight, weights.all_of_them()
    if not by_commits(release) or release.environment == "staging":
        return "walks by no commits, and canary.yaml has no place here" if weight else ""
    entries = history.entries(release.environment, release.model, until)
    had = [entry.release for entry in entries if entry.release.readable]
    if weight is None:
        at_once = [place for place, each in enumerate(had) if each.runs_the_same_as(release) and each.weight is None]
        others = [each for each in had[at_once[-1] if at_once else 0 :] if each.image.digest != release.image.digest]
        alike = others and by_commits(others[0])
        return f"took all traffic of {others[0].version} at once, and nothing judged it" if alike else ""
    before = walk[: walk.index(weight.weight)] if weight.weight in walk else [FULL]
    if missing := [f"{each} %" for each in before if each not in {judged.weight for judged in weight.judged}]:
        return f"is at {weight.weight} %, and nothing judged it at {', '.join(missing)}"
    if not any(by_commits(each) and each.arm == weight.former for each in had):
        return f"names {weight.former.version} as the former release, which {release.environment} never had so"
    return ""
