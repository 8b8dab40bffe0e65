"""The judge aborts on what it should, tolerates what it should, and passes nothing by absence."""

import dataclasses
import math

import numpy as np
import pytest

from deploy.canary import judge as judging
from deploy.canary.judge import BINS, Array, Counters, Limits, Result, Verdict, judge, overall, score_shift, stratify

SCRAPES = 41
TIMES = np.arange(SCRAPES, dtype=np.float64) * 0.5
SHAPE = np.array([0.02, 0.15, 0.24, 0.20, 0.14, 0.10, 0.07, 0.05, 0.02, 0.01])
PROMISE = np.diag(SHAPE * 30_000)  # the same scores as before


def arm(
    requests: float = 50,
    errors: float = 0,
    slow: float = 0.1,
    late: float = 0,
    refused: float = 0,
    shape: Array = SHAPE,
) -> Counters:
    """Counters that grow evenly: `requests` a scrape, the rest as shares of these (scores: of what was answered)."""
    total = np.arange(SCRAPES, dtype=np.float64) * requests
    bins = shape[:, None] * total * (1 - errors - refused)
    return Counters(total, total * errors, total * refused, total, total * (1 - slow), total * (1 - late), bins)


def judged(champion: Counters, candidate: Counters, promise: Array | None = PROMISE) -> dict[str, Result]:
    found = judge(champion, candidate, TIMES, 1.0, promise)
    assert promise is None or all(math.isfinite(each.value) for each in found)
    return {each.name: each for each in found}


NOTHING, ENDLESS = (
    Counters(*[*[np.full(SCRAPES, value)] * 6, np.full((BINS, SCRAPES), value)]) for value in (math.nan, math.inf)
)


@pytest.mark.parametrize(
    ("champion", "candidate", "said"),
    [
        (arm(150), arm(50), "healthy"),
        (arm(150, errors=0.002), arm(slow=0.11), "healthy"),  # a tenth more slow ones
        (arm(150, errors=0.002), arm(errors=0.004), "healthy"),  # errors twice as often
        (arm(150, refused=0.3), arm(50, refused=0.3), "healthy"),  # what callers get wrong in both
        # A heavier model: each is slow as often by its own bound, and late as often by its own budget.
        (arm(150, slow=0.1), arm(50, slow=0.1, late=0.008), "healthy"),
        (arm(150, late=0.05), arm(50, late=0.05), "healthy"),
        (arm(150, errors=0.08), arm(50, errors=0.08), "inconclusive"),  # both fail alike
        (arm(150), arm(7), "inconclusive"),  # 280 requests
        (arm(0), arm(50, errors=0.5), "abort"),  # by the backstop, which needs no champion
    ],
)
def test_what_is_tolerated_and_what_is_not(champion: Counters, candidate: Counters, said: str) -> None:
    assert overall(list(judged(champion, candidate).values())) == said


@pytest.mark.parametrize(
    ("champion", "candidate"),
    [(arm(150), arm(0)), (arm(0), arm(0)), (arm(150), arm(7)), (arm(), NOTHING), (NOTHING, NOTHING), (arm(), ENDLESS)],
)
def test_nothing_passes_and_nothing_aborts_by_absence(champion: Counters, candidate: Counters) -> None:
    assert {each.verdict for each in judged(champion, candidate).values()} == {Verdict.INCONCLUSIVE}


def test_what_is_missing_leaves_the_other_checks_at_work() -> None:
    found = judged(arm(0), arm(50))
    assert found.pop("success").verdict == Verdict.HEALTHY  # needs no champion
    assert {each.verdict for each in found.values()} == {Verdict.INCONCLUSIVE}
    found = judged(arm(150), arm(50, errors=1.0))
    assert found["errors"].verdict == found["success"].verdict == Verdict.ABORT
    assert found["score-shift"].verdict == Verdict.INCONCLUSIVE
    found = judged(arm(150), arm(50, shape=SHAPE[::-1]), None)
    assert found["score-shift"].verdict == overall(list(found.values())) == Verdict.INCONCLUSIVE
    found = judged(arm(150), dataclasses.replace(arm(errors=0.05), fast=NOTHING.fast))
    assert (found["latency"].verdict, found["errors"].verdict) == (Verdict.INCONCLUSIVE, Verdict.ABORT)


def check(name: str, champion: Counters, candidate: Counters, limits: Limits | None = None) -> Result:
    return next(each for each in judge(champion, candidate, TIMES, 1.0, PROMISE, limits) if each.name == name)


@pytest.mark.parametrize(
    ("name", "candidate"),
    [
        ("errors", arm(errors=0.03)),
        ("latency", arm(slow=0.2)),
        ("refusals", arm(refused=0.05)),
        ("budget", arm(late=0.05)),
        ("score-shift", arm(shape=SHAPE[::-1])),
        ("success", arm(errors=0.06)),
    ],
)
def test_each_fault_aborts_in_its_own_check(name: str, candidate: Counters) -> None:
    found = check(name, arm(150, errors=0.002), candidate)
    assert found.verdict == Verdict.ABORT
    assert found.value < found.limit if name == "success" else found.value > found.limit


def test_log_evidence_is_the_likelihood_ratio_of_who_had_the_bad_event() -> None:
    """One stratum, 2 of 5 bad events at a quarter of the traffic: the ratio of two binomial probabilities."""
    theta, share = 5.0, 0.25
    chance = theta * share / (1 + (theta - 1) * share)
    expected = 2 * math.log(chance / share) + 3 * math.log((1 - chance) / (1 - share))
    bad, rest = np.array([2.0]), (np.array([3.0]), np.array([25.0]), np.array([75.0]))
    one = judging.log_evidence(bad, *rest, tested=theta)
    assert one[0] == pytest.approx(expected)


def test_an_incident_that_hits_both_does_not_abort() -> None:
    """Both fail a third of requests for three seconds, while the candidate's share of traffic rises."""
    during = np.isin(np.arange(SCRAPES - 1), range(20, 26))
    sent = np.where(np.arange(SCRAPES - 1) < 20, 5.0, 150.0)
    candidate = _from_steps(sent, sent * np.where(during, 0.33, 0))
    champion = _from_steps(200 - sent, (200 - sent) * np.where(during, 0.33, 0))
    found = check("errors", champion, candidate)
    assert found.verdict == Verdict.HEALTHY
    unstratified = candidate.errors[-1] / candidate.requests[-1] / (champion.errors[-1] / champion.requests[-1])
    assert unstratified > 4


def test_other_scores_are_held_to_the_promise_and_not_to_the_champion() -> None:
    """Promised is the reverse of every score: that passes, and the champion's own scores in its place do not."""
    promise = np.fliplr(PROMISE)
    for shape, said in ((SHAPE[::-1], Verdict.HEALTHY), (SHAPE, Verdict.ABORT)):
        found = judge(arm(150), arm(50, shape=shape), TIMES, 1.0, promise)
        assert next(each for each in found if each.name == "score-shift").verdict == said


def test_a_small_promise_is_believed_less() -> None:
    few, many = (score_shift(np.full(10, 500.0), SHAPE * 5000, PROMISE * times) for times in (0.01, 100.0))
    assert many - few == pytest.approx(36 / (0.01 * PROMISE.sum()), rel=0.2)


def test_a_few_errors_against_none_do_not_abort() -> None:
    """Log evidence is over its limit, but the share of errors is under 0.2 %."""
    candidate = dataclasses.replace(arm(500), errors=np.minimum(np.arange(SCRAPES) * 1.0, 12.0))
    found = check("errors", arm(4500), candidate)
    assert found.verdict == Verdict.HEALTHY
    assert found.value == 0.0


@pytest.mark.parametrize("scrapes", [0, 1])
def test_fewer_than_two_scrapes_are_inconclusive(scrapes: int) -> None:
    short = Counters(*(getattr(arm(), field.name)[..., :scrapes] for field in dataclasses.fields(Counters)))
    assert overall(judge(short, short, TIMES[:scrapes], 1.0, PROMISE)) == Verdict.INCONCLUSIVE


def test_a_restart_of_the_candidate_is_no_evidence_against_it() -> None:
    whole = arm(50)
    values = [getattr(whole, field.name) for field in dataclasses.fields(Counters)]
    restarted = Counters(*(np.where(np.arange(SCRAPES) < 20, value, value - value[..., 20:21]) for value in values))
    results = judged(arm(150), restarted)
    assert overall(list(results.values())) == Verdict.HEALTHY
    assert results["evidence"].value == 50 * (SCRAPES - 2)  # what was counted between the last scrape and the restart


def test_a_failed_scrape_joins_its_neighbours() -> None:
    requests = np.array([0.0, 10.0, math.nan, math.nan, 40.0, 50.0])
    errors = np.arange(6.0)
    times = np.arange(6.0)
    found = stratify(times, 1.0, [requests, errors])
    assert [each.tolist() for each in found] == [[10.0, 30.0, 10.0], [1.0, 3.0, 1.0]]


def test_a_failed_scrape_during_an_incident_does_not_abort() -> None:
    """Only the candidate's scrape fails, while both fail every request: its later count must not stand alone."""
    during = np.isin(np.arange(SCRAPES - 1), [20, 21])
    sent = np.full(SCRAPES - 1, 50.0)
    candidate = _from_steps(sent, sent * during)
    gap = np.where(np.arange(SCRAPES) == 21, math.nan, 0.0)
    candidate = Counters(*(getattr(candidate, field.name) + gap for field in dataclasses.fields(Counters)))
    found = check("errors", _from_steps(3 * sent, 3 * sent * during), candidate)
    assert found.verdict == Verdict.HEALTHY


def test_scrapes_fall_into_strata_of_one_interval_though_they_come_late() -> None:
    late = np.array([0.0, 0.51, 1.02, 1.5, 2.03, 2.5, 3.0])
    found = stratify(late, 1.0, [np.arange(7.0)])[0]
    assert found.tolist() == [2.0, 2.0, 2.0]


def test_score_shift_of_equal_samples_stays_under_its_limit_and_psi_is_as_defined() -> None:
    random = np.random.default_rng(0)
    pairs = random.multinomial([300, 900], SHAPE, size=(2000, 2)).astype(np.float64)
    assert score_shift(pairs[:, 0], pairs[:, 1], PROMISE).max() < Limits().score_shift
    many = 1e7
    moved = np.roll(SHAPE, 1)
    psi = ((moved - SHAPE) * np.log(moved / SHAPE)).sum()
    assert score_shift(many * moved, many * SHAPE, many * PROMISE) == pytest.approx(psi, rel=1e-3)


def test_identical_arms_rarely_abort_whatever_is_looked_at_and_how_often() -> None:
    """300 simulated rehearsals of two identical arms, judged after every scrape by the judge itself."""
    random = np.random.default_rng(11)
    aborted = sum(_random_rehearsal_aborts(random) for _ in range(300))
    assert aborted <= 1


def _random_rehearsal_aborts(random: np.random.Generator) -> bool:
    """Sixty scrapes at 25, 50 and 75 %; every tenth one is judged, and the last."""
    weights = np.repeat([0.25, 0.5, 0.75], 20)
    total = random.poisson(75, 60)
    new = random.binomial(total, weights)
    times = np.arange(61, dtype=np.float64) * 0.5
    arms = []
    for sent in (total - new, new):
        slow = random.binomial(sent, 0.1)
        steps = np.stack([sent, 0 * sent, 0 * sent, sent, sent - slow, sent, *random.multinomial(sent, SHAPE).T])
        table = np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0))).astype(np.float64)
        arms.append(table)
    for end in (*range(10, 61, 10), 61):
        champion, candidate = (Counters(*[*table[:6, :end], table[6:, :end]]) for table in arms)
        if overall(judge(champion, candidate, times[:end], 1.0, PROMISE)) == Verdict.ABORT:
            return True
    return False


def _from_steps(requests: Array, errors: Array) -> Counters:
    """Counters of an arm that only answers and fails, from its increments."""
    total, failed = (np.concatenate([[0.0], step.cumsum()]) for step in (requests, errors))
    return Counters(total, failed, 0 * total, total, total, total, np.zeros((BINS, len(total))))
