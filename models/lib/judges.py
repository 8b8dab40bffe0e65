"""What the gates decide by a model's figures and by its champion; models/gates.py has those about the file itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from models.lib import champion, config, limits
from models.lib.tasks import task

SAYS_LITTLE = 0.1  # of the way from knowing nothing to knowing all
BELOW = "pass, below the limit as production is"


@dataclass(frozen=True)
class Verdict:
    name: str
    limit: str
    value: str
    verdict: str  # pass, BELOW, fail or off
    reason: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What the gates look at."""

    model: config.Model
    evaluation: dict[str, Any]
    measured: dict[str, Any]
    champion: champion.Champion | None

    @cached_property
    def comparison(self) -> dict[str, Any]:
        """Candidate against champion, which there must be; one figure for the gate and for the report."""
        from models.lib.compare import compare

        assert self.champion is not None
        content = champion.blob(self.model, self.champion.onnx)[0]
        return compare(self.model, content, self.champion.served)

    @cached_property
    def task(self) -> task.Task:
        return task.of(self.model)


def within(name: str, value: float, limit: float, most: bool, reason: str | None = None) -> Verdict:
    """NaN is within nothing."""
    good = math.isfinite(value) and _keeps(value, limit, most)
    return Verdict(name, _limited(limit, most), f"{value:.4g}", "pass" if good else "fail", reason)


def _keeps(value: float, limit: float, most: bool) -> bool:
    return value <= limit if most else value >= limit


def _limited(limit: float, most: bool) -> str:
    return f"{'at most' if most else 'at least'} {limit:g}"


def _bound(gate: Any) -> tuple[float, bool]:
    """(limit, whether it is the most that may be)."""
    most = isinstance(gate, limits.AtMost)
    return (gate.at_most if most else gate.at_least) or 0.0, most


def _metric(name: str, gate: Any, evidence: Evidence) -> Verdict:
    limit, most = _bound(gate)
    verdict = within(name, evidence.evaluation["metrics"][name]["value"], limit, most)
    if verdict.verdict == "pass" or not _may_be_below(evidence):
        return verdict
    found = evidence.comparison["metrics"][name]
    if not _not_worse(found, limit, most):
        return verdict
    assert evidence.champion is not None
    standing = f"{evidence.champion.version} in production has {found['champion']:.4g} on the same rows"
    value, low, high = (f"{found['difference'][key]:+.4g}" for key in ("value", "low", "high"))
    return replace(verdict, verdict=BELOW, reason=f"{standing}; difference {value} ({low} to {high})")


def _may_be_below(evidence: Evidence) -> bool:
    gate = evidence.model.gates.champion
    return evidence.champion is not None and gate.off is None and gate.below_limits == "allowed"


def _not_worse(found: dict[str, Any], limit: float, most: bool) -> bool:
    """The champion misses the limit, and no whole interval says that the candidate is worse; NaN is no evidence."""
    champion_value, difference = found["champion"], found["difference"]
    if champion_value is None or difference["low"] is None:
        return False
    missed = champion_value > limit if most else champion_value < limit
    return bool(missed and (difference["low"] <= 0 if most else difference["high"] >= 0))


def _slices(name: str, gate: Any, evidence: Evidence) -> Verdict:
    """The task's main metric in the worst of the slices that are large enough."""
    metric, (limit, most) = evidence.task.main, _bound(gate)
    judged = [each for each in evidence.evaluation["slices"] if each["rows"] >= gate.rows]
    if not judged:
        if not evidence.model.slices:
            return Verdict(name, "-", "-", "pass", "model.yaml names no slices")
        return Verdict(name, f"slices of {gate.rows} rows", "none", "fail", "no slice is large enough to judge")
    for each in judged:
        if each[metric]["value"] is None or math.isnan(each[metric]["value"]):
            reason = f"{each['column']} {each['slice']} has one outcome only"
            return Verdict(name, _limited(limit, most), "none", "fail", reason)
    worst = max(judged, key=lambda each: -evidence.task.sign(metric) * each[metric]["value"])
    reason = f"worst of {len(judged)} slices: {worst['column']} {worst['slice']} ({worst['rows']:,} rows)"
    verdict = within(name, worst[metric]["value"], limit, most, reason)
    if verdict.verdict == "pass" or not _may_be_below(evidence):
        return verdict
    known = {(each["column"], each["slice"]): each for each in evidence.comparison["slices"]}
    below = [each for each in judged if not _keeps(each[metric]["value"], limit, most)]
    if not all(_not_worse(known[each["column"], each["slice"]], limit, most) for each in below):
        return verdict
    return replace(verdict, verdict=BELOW, reason=f"{reason}; production is below it in the same {len(below)}")


def _classes(name: str, gate: limits.LargeAtLeast, evidence: Evidence) -> Verdict:
    """Recall of the worst of the classes that are large enough."""
    judged = [each for each in evidence.evaluation["classes"] if each["rows"] >= (gate.rows or 1)]
    if not judged:
        return Verdict(name, f"classes of {gate.rows} rows", "none", "fail", "no class is large enough to judge")
    worst = min(judged, key=lambda each: (not math.isnan(each["recall"]["value"]), each["recall"]["value"]))
    reason = f"worst of {len(judged)} classes: {worst['class']} ({worst['rows']:,} rows)"
    return within(name, worst["recall"]["value"], gate.at_least or 0.0, False, reason)


def _champion(name: str, gate: limits.Champion, evidence: Evidence) -> Verdict:
    """The candidate may lose `margin` of the main metric: at its worse end the paired interval must stay within it."""
    if evidence.champion is None:
        verdict = _baseline("baseline", getattr(evidence.model.gates, "baseline"), evidence)  # noqa: B009 - of the task
        reason = "first release: there is no champion, so the stated baseline is what it must beat"
        return Verdict(name, verdict.limit, verdict.value, verdict.verdict, reason)
    metric = evidence.task.main
    title, difference = evidence.task.titles[metric], evidence.comparison["metrics"][metric]["difference"]
    reason = f"{title} against {evidence.champion.version}: {difference['value']:+.4g}, on the same rows"
    if difference["low"] is None:
        return Verdict(name, "evidence", "none", "fail", "the test window has one outcome only")
    most, margin = evidence.task.sign(metric) < 0, gate.margin or 0.0
    return within(name, difference["high" if most else "low"], margin if most else -margin, most, reason)


def _shift(name: str, gate: limits.Gate, evidence: Evidence) -> Verdict:
    """Answers that change for callers, unless the team has said of this release that it is meant."""
    if evidence.champion is None:
        limit = evidence.task.judge_shift(gate, 0.0, [0.0, 0.0], 1.0)[0]
        return Verdict(name, limit, "-", "pass", "first release: nobody has had an answer")
    found = evidence.comparison["shift"]
    spread = evidence.evaluation["spread"]
    limit, value, good = evidence.task.judge_shift(gate, found["moved"], found["levels"], spread)
    if good:
        return Verdict(name, limit, value, "pass")
    meant = evidence.model.serving.shift
    again = meant == evidence.champion.served.get("shift")
    return _meant(Verdict(name, limit, value, "fail"), meant, again, "serving.shift", evidence)


def _meant(verdict: Verdict, reason: str | None, again: bool, key: str, evidence: Evidence) -> Verdict:
    """What is beyond its limit passes by a reason of this release's own."""
    where = f"{key} of {evidence.model.folder}/model.yaml"
    if reason and not again:
        return replace(verdict, verdict="pass", reason=f"meant: {reason}")
    version = evidence.champion.version if evidence.champion else ""
    still = f"{where} is still the reason of {version}; give the one of this change"
    return replace(verdict, reason=still if reason else f"if this is meant, say why: {where}")


def _baseline(name: str, gate: Any, evidence: Evidence) -> Verdict:
    """Better than what is stated, and than the answer that looks at nothing, at the worse ends of the intervals."""
    behaviour, found = evidence.task, evidence.evaluation
    main, proper = behaviour.main, behaviour.proper
    stated, trivial = getattr(gate, main), found["trivial"]
    stated = behaviour.chance(found) if stated is None else stated  # the gate is off, and this is a first release
    most = behaviour.sign(main) < 0
    value, loss = found["metrics"][main]["high" if most else "low"], found["metrics"][proper]["high"]
    held = _keeps(value, stated, most)
    limit = f"{behaviour.titles[main]} {_limited(stated, most)}, "
    limit += f"{behaviour.titles[proper]} under {trivial:.4g} ({behaviour.trivial_title})"
    shown = f"{value:.4g}, {loss:.4g} (at the worse ends)"
    verdict = Verdict(name, limit, shown, "pass" if held and loss < trivial else "fail")
    if verdict.verdict == "pass" or not _may_be_below(evidence):
        return verdict
    compared = evidence.comparison["metrics"]
    excused = (held or _not_worse(compared[main], stated, most)) and (
        loss < trivial or _not_worse(compared[proper], trivial, most=True)
    )
    return replace(verdict, verdict=BELOW, reason="production is no better on the same rows") if excused else verdict


def _plausible(name: str, gate: limits.Plausible, evidence: Evidence) -> Verdict:
    """No feature scores alone what the model does, and no candidate is better by a leap without a reason."""
    metric = evidence.task.scale
    title, value = evidence.task.titles[metric], evidence.evaluation["metrics"][metric]["value"]
    most = max(value - gate.alone, evidence.task.nothing + SAYS_LITTLE * (1 - evidence.task.nothing))
    limit = f"a feature alone at most {most:.4g} {title}"
    known = [each for each in evidence.evaluation["alone"] if each["feature"] not in gate.explained]
    shown = f"{known[0]['feature']} alone {known[0]['value']:.4g}" if known else "-"
    excused = [
        f"explained: {each['feature']} alone {each['value']:.4g} ({gate.explained[each['feature']]})"
        for each in evidence.evaluation["alone"]
        if each["feature"] in gate.explained and not each["value"] <= most
    ]
    verdict = Verdict(name, limit, shown, "pass", "; ".join(excused) or None)
    if not math.isfinite(value):
        return replace(verdict, value="none", verdict="fail", reason=f"no data: {title} is not finite")
    if len(evidence.model.features) > 1 and known and not known[0]["value"] <= most:
        where = f"gates.plausible.explained of {evidence.model.folder}/model.yaml"
        why = f"is {known[0]['feature']} known beforehand? take it out of `features`, or say why: {where}"
        return replace(verdict, verdict="fail", reason=why)
    if evidence.champion is None or evidence.model.gates.champion.off is not None:
        return verdict
    by = evidence.comparison["metrics"][metric]["difference"]["value"]
    limit, shown = f"{limit}, better by at most {gate.jump:g}", f"{shown}, better by {by:+.4f}"
    verdict = replace(verdict, limit=limit, value=shown)
    if by <= gate.jump:
        return verdict
    again = any(each.endswith(f"meant: {gate.because}") for each in evidence.champion.reasons)
    leap = _meant(replace(verdict, verdict="fail"), gate.because, again, "gates.plausible.because", evidence)
    return replace(leap, reason="; ".join([*excused, leap.reason or ""]))


Judge = Callable[[str, Any, Evidence], Verdict]
JUDGES: dict[str, Judge] = {"class_recall": _classes, "champion": _champion, "baseline": _baseline}
JUDGES |= {"plausible": _plausible, "shift": _shift}


def find(name: str, evidence: Evidence) -> Judge:
    """Who judges this gate of the task; KeyError for one that is not about figures."""
    return _metric if name in evidence.task.metrics else _slices if name.startswith("slice_") else JUDGES[name]
