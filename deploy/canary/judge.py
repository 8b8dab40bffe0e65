"""Reference implementation of the canary's judge: a stratified sequential test, pure functions on scraped counters.

It judges a rehearsal, `python -m deploy rehearse flight_delay`, where no Prometheus is installed, and tests hold the
AnalysisTemplates of deploy/base/analysis to its verdicts. Its error rates: `python tests/bench/judge.py`.

The candidate is compared with the champion within each evaluation interval (stratum), so an incident that hits both,
or a changing share of traffic, is not evidence against it. Its scores are compared with what its evaluation promised,
given the champion's live ones. And because the evidence is a product of likelihood ratios
(Wald 1945; Ville 1939: it exceeds A with probability 1/A at most under the hypothesis that is tolerated), it may be
looked at after every scrape. Nothing passes by absence: no traffic, no champion or NaN is `inconclusive`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from deploy.canary.template import catches

Array = NDArray[np.float64]

BINS = 10  # of what is answered: a score, a label or a number


class Verdict(StrEnum):
    HEALTHY = "healthy"
    ABORT = "abort"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Counters:
    """Cumulative counters of one arm at each scrape, since whenever its server started; NaN where none was read.

    All are float64 [scrapes], `bins` is [BINS, scrapes]. A request of N rows counts 1/N a row in `bins`.
    """

    requests: Array
    errors: Array  # that are the service's fault
    refused: Array  # what callers got wrong
    durations: Array  # requests whose duration was measured
    fast: Array  # of these, the ones within the arm's own slow bound
    within: Array  # and within its latency budget
    bins: Array


@dataclass(frozen=True)
class Limits:
    """What aborts, and how much must be seen before a check may pass."""

    evidence: float = 4.6  # ln 100, errors and latency; 3.0 (ln 20) where traffic is low
    score_shift: float = 0.02  # PSI beyond its noise
    success: float = 0.95  # share of the candidate's requests, in strata in which the champion is above it
    error_share: float = 0.002  # fewer errors than this never abort, however few the champion has
    budget_share: float = 0.01  # fewer beyond the budget than this never abort
    requests: int = 300  # of each arm, before any check may pass
    backstop_requests: int = 100  # of the candidate, before the backstop may abort


@dataclass(frozen=True)
class Result:
    """One check: healthy up to `limit`, or from it on if that is the `least`; NaN means no data.

    Not `asked` is one that the cluster's analysis comes to later, after a step's pause for instance.
    """

    name: str
    value: float
    limit: float
    verdict: Verdict
    catches: str
    least: bool = False
    asked: bool = True


COUNTED = {  # by the checks that compare two shares: of what, and which part
    "errors": ("requests", "errors"),
    "refusals": ("requests", "refused"),
    "latency": ("durations", "fast"),
    "budget": ("durations", "within"),
}


def increase(counter: Array) -> Array:
    """Increments between scrapes, [..., scrapes] -> [..., scrapes - 1].

    A drop is a restart, after which the counter began at zero (Prometheus `increase`, without its extrapolation).
    """
    step = np.diff(counter, axis=-1)
    return np.where(step < 0, counter[..., 1:], step)


def stratify(times: Array, interval: float, counters: Sequence[Array]) -> list[Array]:
    """Increments summed into strata of `interval` seconds, each counter [..., scrapes] -> [..., strata].

    A scrape at which any counter is missing is left out, so that its stratum joins the next one for all of them.
    """
    seen = np.isfinite(times)
    for counter in counters:
        seen &= np.isfinite(counter).all(axis=tuple(range(counter.ndim - 1)))
    times = times[seen]
    if len(times) < 2:
        return [np.zeros((*counter.shape[:-1], 0)) for counter in counters]
    # A scrape that comes a moment late still ends its own interval: boundaries lie half an interval off the grid.
    stratum = np.floor((times[1:] - times[0]) / interval - 0.5)
    starts = np.flatnonzero(np.diff(stratum, prepend=-np.inf))
    return [np.add.reduceat(increase(counter[..., seen]), starts, axis=-1) for counter in counters]


def log_evidence(
    candidate_bad: Array, champion_bad: Array, candidate: Array, champion: Array, tested: float, tolerated: float = 1.0
) -> Array:
    """Log of the likelihood ratio after each stratum, all arguments and the result [..., strata].

    Given the m bad events of both arms and the candidate's share w of a stratum's traffic, each of them is the
    candidate's with probability theta*w / (1 + (theta-1)*w) if it fails theta times as often. For theta = `tested`
    against `tolerated`, the log of the ratio is (Wald, Sequential Analysis, 1947)

        k*ln(tested/tolerated) - m*ln((1 + (tested-1)*w) / (1 + (tolerated-1)*w))

    with k the candidate's bad events. A stratum without traffic, or with one arm only, adds nothing.
    """
    traffic = candidate + champion
    share = np.divide(candidate, traffic, out=np.zeros_like(traffic), where=traffic > 0)
    gain = np.log(tested / tolerated)
    cost = np.log1p((tested - 1) * share) - np.log1p((tolerated - 1) * share)
    step = candidate_bad * gain - (candidate_bad + champion_bad) * cost
    return np.cumsum(np.where(traffic > 0, step, 0.0), axis=-1)


def score_shift(candidate: Array, champion: Array, promise: Array) -> Array:
    """PSI of the candidate's score bins against the promised ones, less its noise; [..., BINS] -> [...].

    `promise` [BINS, BINS] counts the evaluation's rows by [champion's bin][candidate's bin]. Its rows as shares (half a
    count added on the diagonal) push the champion's live bins through: the distribution that the candidate must have.
    PSI = sum((c - e) * ln(c/e)) over bin shares, half a count added to each bin. Of equal distributions it is about
    chi2(BINS-1) * (1/candidate + 1/champion) (Yurdakul 2018), and the promise is a sample as well: four times the mean
    is taken off, 36 for ten bins.
    """
    table = promise + 0.5 * np.eye(len(promise))
    expected = champion @ (table / table.sum(axis=1, keepdims=True)) + 0.5
    candidate = candidate + 0.5
    many, few = expected.sum(axis=-1, keepdims=True), candidate.sum(axis=-1, keepdims=True)
    difference = candidate / few - expected / many
    psi = (difference * np.log((candidate / few) / (expected / many))).sum(axis=-1)
    noise = 4 * (candidate.shape[-1] - 1) * ((1 / few + 1 / many)[..., 0] + 1 / promise.sum())
    return np.asarray(psi - noise, dtype=np.float64)


def judge(
    champion: Counters,
    candidate: Counters,
    times: Array,
    interval: float,
    promise: Array | None,
    limits: Limits | None = None,
) -> list[Result]:
    """Every check at the last scrape; `times` [scrapes] and `interval` in seconds, `promise` as in `score_shift`.

    The production queries look at scores of the last 30 minutes at an interval of 30 s; here, at the last 60 intervals.
    """
    limits = limits or Limits()
    return [
        _enough(champion, candidate, times, interval, limits),
        *(_ratio(name, champion, candidate, times, interval, limits) for name in COUNTED),
        _scores(champion, candidate, times, interval, promise, limits),
        _success(champion, candidate, times, interval, limits),
    ]


def overall(results: Sequence[Result]) -> Verdict:
    """Abort if any check aborts; healthy only if every one is."""
    verdicts = {result.verdict for result in results}
    if Verdict.ABORT in verdicts:
        return Verdict.ABORT
    return Verdict.HEALTHY if verdicts == {Verdict.HEALTHY} else Verdict.INCONCLUSIVE


def _result(name: str, value: float, limit: float, bad: bool, enough: bool) -> Result:
    verdict = Verdict.ABORT if bad else Verdict.HEALTHY if enough else Verdict.INCONCLUSIVE
    return Result(name, round(float(value), 4), limit, verdict, catches(name), name in ("evidence", "success"))


def _enough(champion: Counters, candidate: Counters, times: Array, interval: float, limits: Limits) -> Result:
    new, old = (step.sum() for step in stratify(times, interval, [candidate.requests, champion.requests]))
    return _result("evidence", new, limits.requests, False, min(new, old) >= limits.requests)


def _ratio(name: str, champion: Counters, candidate: Counters, times: Array, interval: float, limits: Limits) -> Result:
    """One sequential test of how often the candidate does something, against how often the champion does."""
    tested, tolerated = {"refusals": (2.0, 1.2), "latency": (1.6, 1.2)}.get(name, (5.0, 1.0))
    limit = limits.evidence
    new, old, candidate_bad, champion_bad = _events(name, champion, candidate, times, interval)
    trail = log_evidence(candidate_bad, champion_bad, new, old, tested, tolerated)
    value = float(trail[-1]) if trail.size else 0.0
    share = {"latency": -1.0, "budget": limits.budget_share}.get(name, limits.error_share)
    if candidate_bad.sum() <= share * new.sum():
        value = min(value, 0.0)
    return _result(name, value, limit, value > limit, min(new.sum(), old.sum()) >= limits.requests)


def _events(
    name: str, champion: Counters, candidate: Counters, times: Array, interval: float
) -> tuple[Array, Array, Array, Array]:
    """Of candidate and champion: what the check counts, and the bad events among it; each [strata]."""
    all_of_it, part = COUNTED[name]
    counters = [getattr(arm, field) for arm in (candidate, champion) for field in (all_of_it, part)]
    new, new_part, old, old_part = stratify(times, interval, counters)
    if all_of_it == "durations":  # of which the part is good
        return new, old, new - new_part, old - old_part
    return new, old, new_part, old_part


def _scores(
    champion: Counters, candidate: Counters, times: Array, interval: float, promise: Array | None, limits: Limits
) -> Result:
    if promise is None:
        return _result("score-shift", np.nan, limits.score_shift, False, False)
    new, old = (step[:, -60:].sum(axis=-1) for step in stratify(times, interval, [candidate.bins, champion.bins]))
    value = float(score_shift(new, old, promise)) if new.sum() and old.sum() else 0.0
    enough = min(new.sum(), old.sum()) >= limits.requests
    return _result("score-shift", value, limits.score_shift, value > limits.score_shift, enough)


def _success(champion: Counters, candidate: Counters, times: Array, interval: float, limits: Limits) -> Result:
    """No verdict where the champion would have failed as many of its requests, stratum by stratum: it hits both."""
    failed, sent, also_failed, also_sent = stratify(
        times, interval, [counter for arm in (candidate, champion) for counter in (arm.errors, arm.requests)]
    )
    errors, requests = failed.sum(), sent.sum()
    rate = np.divide(also_failed, also_sent, out=np.zeros_like(also_sent), where=also_sent > 0)
    value = float(1 - errors / requests) if requests else 0.0
    shared = bool((sent * rate).sum() > (1 - limits.success) * requests)
    bad = requests >= limits.backstop_requests and value < limits.success and not shared
    return _result("success", value, limits.success, bad, requests >= limits.requests and not shared)
