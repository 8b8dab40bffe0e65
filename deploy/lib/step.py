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
from deploy.lib.weights import FULL, SIGNS, Judged, Weight
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

ANALYSIS = Path("deploy/base/analysis")
APART = 1800.0  # seconds between two looks: half of what a query sees
LOOKS = 48  # at most, so a day


class Worse(Exception):
    """The canary is worse than the pods beside it: one sentence for a person."""


def taken(candidate: Release, standing: Release | None, asked: int | None) -> Release:
    """The candidate at the weight that production takes now: all, where nothing of its kind stands that it could share
    traffic with. `standing` is what the cluster was given; `asked` the option --weight.
    """
    if not by_commits(candidate):
        if asked is not None:
            raise Refusal(
                "--weight is for a model of strategy kserve; elsewhere the cluster walks by itself: leave it."
            )
        return candidate
    if standing is None or not standing.readable or not by_commits(standing):
        return _all_at_once(candidate, asked)
    walk, own = weights.all_of_them(), weights.arm_of(candidate)
    at = standing.weight
    if candidate.runs_the_same_as(standing):
        if at is None or asked in (None, at.weight):
            return _at(candidate, at)
        return _at(candidate, _next(standing, at, walk, asked))
    if at is not None and not at.whole:
        raise Refusal(
            f"{standing.folder} walks {standing.version} at {at.weight} %; take that to the end with --weight, or back "
            f"with `python -m deploy rollback {standing.model} --environment {standing.environment}`."
        )
    former = weights.arm_of(standing)
    if own.hash == former.hash:
        return _all_at_once(candidate, asked)  # the same image: nothing that Prometheus could tell apart
    if asked not in (None, walk[0]):
        raise Refusal(f"--weight {asked} is not the first of {walk}; a new release starts at {walk[0]} %.")
    return _at(candidate, Weight(weight=walk[0], former=former))


def by_commits(release: Release) -> bool:
    return TABLE[release.passport.serving.strategy].by_commits


def _all_at_once(candidate: Release, asked: int | None) -> Release:
    if asked not in (None, FULL):
        raise Refusal(f"--weight {asked}: no other image of strategy kserve stands to share with; leave --weight out.")
    return candidate


def _at(release: Release, weight: Weight | None) -> Release:
    files = {name: content for name, content in release.files.items() if name != weights.FILE}
    files |= {weights.FILE: weights.written(weight)} if weight else {}
    return again(dataclasses.replace(release, files=files), promise.of_release(release))


def _next(standing: Release, at: Weight, walk: list[int], asked: int | None) -> Weight:
    """The weight that follows, if what stands is healthy."""
    if at.whole or asked != at.next:
        allowed = "it has all traffic" if at.whole else f"the next is --weight {at.next}"
        raise Refusal(f"{standing.folder}: --weight {asked} does not follow {at.weight} %; {allowed}.")
    since = next(history.entries(standing.environment, standing.model, own_line=True)).when.timestamp()
    judged = judge(standing, at, walk.index(at.weight), since)
    print(f"Judged: {judged}")
    return Weight(weight=at.next, former=at.former, judged=[*at.judged, judged])


def judge(standing: Release, at: Weight, number: int, since: float) -> Judged:
    """What Prometheus says of the weight number `number`, which the cluster was given at `since`.

    Raises Worse where an analysis fails; Refusal where one has too little to go by.
    """
    now = time.time()
    moments = [moment for look in range(LOOKS) if (moment := now - APART * look) >= since][::-1] or [now]
    run = Run(_metrics(standing, at, number), since)
    for moment in moments:
        for result in run.due(moment):
            values = [value for _, value in prometheus.query(result.metric.query, moment)]
            run.record(result, moment, values)
        run.assess()
    checks, lacking = {}, []
    for each in run.results:
        sign, limit = each.metric.success.limit or ("<=", 0.0)
        value = each.last.values[0] if each.last and each.last.values else None
        if value is None or each.last is None or each.last.phase is Phase.INCONCLUSIVE:
            said = "no data" if value is None else f"{value:g}"
            lacking.append(f"{each.metric.name} {said}, wanted {SIGNS[sign]} {limit:g}")
        else:
            checks[each.metric.name] = (round(value, 4), sign, limit)
    if run.phase is Phase.FAILED and (worst := run.worst) is not None:
        value, sign, limit = checks[worst.metric.name]
        raise Worse(
            f"{standing.folder}: at {at.weight} % {standing.version} is worse than {at.former.version}: "
            f"{worst.metric.name} is {value:g}, wanted {SIGNS[sign]} {limit:g}; take it back with "
            f"`python -m deploy rollback {standing.model} --environment {standing.environment}`."
        )
    if lacking:
        raise Refusal(
            f"{standing.folder}: at {at.weight} % too little is known of {standing.version} ({'; '.join(lacking)}); "
            "wait for more requests, or look whether PROMETHEUS_URL scrapes its pods, and try again."
        )
    made = {"weight": at.weight, "at": datetime.now(UTC).isoformat(timespec="seconds"), "checks": checks}
    return Judged.model_validate(made)


def _metrics(standing: Release, at: Weight, number: int) -> list[Metric]:
    """Those of the basic canary's background and of its step, with this release's arguments."""
    plan, serving, held = steps.read(), standing.passport.serving, promise.of_release(standing)
    annotations = read_yaml(steps.ROLLOUT, "restore it with `git checkout`")["metadata"]["annotations"]
    values = bounds(serving, held) | (promised(held) if held else {})
    annotations |= {f"release/{name}": value for name, value in values.items()}
    named = {"name": kubernetes_name(standing.model), "namespace": f"models-{standing.environment}"}
    found = list[Metric]()
    for each in [*filter(None, [plan.background]), *plan.steps[number].analyses]:
        hashes = weights.arm_of(standing).hash, at.former.hash
        given = template.given(each.args, {"metadata": {**named, "annotations": annotations}}, *hashes, each.where)
        if "requests" in given:
            given["requests"] = str(serving.canary.requests * (number + 1))
        files = [ANALYSIS / f"{name.removeprefix('model-')}.yaml" for name in each.templates]
        used = [read_yaml(path, "restore it with `git checkout`") for path in files]
        found += template.metrics(used, template.arguments(used, given, each.where) | fork.labels())
    return found


def unjudged(release: Release, until: str) -> str:
    """What is wrong with the weight of a release, by its record and by what Git had up to the commit `until`."""
    weight, walk = release.weight, weights.all_of_them()
    had = [entry.release for entry in history.entries(release.environment, release.model, until)]
    had = [each for each in had if each.readable]
    if weight is None:
        if not by_commits(release) or release.environment == "staging":
            return ""
        at_once = [place for place, each in enumerate(had) if each.runs_the_same_as(release) and each.weight is None]
        others = [each for each in had[at_once[-1] if at_once else 0 :] if each.image.digest != release.image.digest]
        alike = others and by_commits(others[0])
        return f"took all traffic of {others[0].version} at once, and nothing judged it" if alike else ""
    if not by_commits(release) or release.environment == "staging":
        return "has no place here: it walks by no commits"
    if weight.weight not in walk:
        return f"is at {weight.weight} %, which is none of {walk}"
    healthy = {each.weight for each in weight.judged if each.healthy}
    if missing := [f"{each} %" for each in walk[: walk.index(weight.weight)] if each not in healthy]:
        return f"is at {weight.weight} %, and nothing found it healthy at {', '.join(missing)}"
    if not any(by_commits(each) and weights.arm_of(each) == weight.former for each in had):
        return f"names {weight.former.version} as the former release, which {release.environment} never had so"
    return ""
