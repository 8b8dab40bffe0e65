"""The walk through the steps, the load and the scrapes, on two servers inside the test's own loop."""

import asyncio
import dataclasses
import io
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from rich.console import Console

from deploy.canary.judge import Limits, Verdict
from deploy.rehearsal import meters, traffic
from deploy.rehearsal.meters import Bounds, Meter
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.rehearsal.screen import LABELS, Screen, title
from deploy.rehearsal.traffic import Arm, Traffic
from repo.lib.refusal import Refusal
from tests.deploy.rehearsals import QUICK, bodies, rehearsal, walk
from tests.deploy.stub_arm import StubArm


def test_two_healthy_arms_are_promoted_after_every_weight() -> None:
    done = walk(StubArm(), StubArm())
    assert done.verdict == "promote", done.reason
    assert [weight for weight, _ in itertools.groupby(tick.weight for tick in done.ticks)] == [25, 50]
    champion, candidate = done.meters
    assert candidate.requests >= 2 * QUICK.limits.requests
    assert champion.errors == candidate.errors == 0
    assert done.kept.startswith("0 of ")
    assert done.kept.endswith("requests failed over 3 changes of weight and the stop of the old version")
    without_a_terminal_there_are_plain_lines_and_in_one_a_table(done)


@pytest.mark.parametrize(
    ("check", "champion", "candidate"),
    [
        ("errors|success", StubArm(), StubArm(errors=0.3)),
        ("slow requests|beyond the budget", StubArm(), StubArm(seconds=0.012)),
        ("answers against the promise", StubArm(), StubArm(shift=0.25)),
    ],
)
def test_each_fault_aborts_and_is_named(check: str, champion: StubArm, candidate: StubArm) -> None:
    done = walk(champion, candidate)
    assert done.verdict == "abort"
    assert re.match(check, done.reason), done.reason  # which of two sees it first depends on the machine
    assert re.match(
        r"\d+\.\d s after the first request to the candidate, \d+ s of the cluster's time; of its", done.bad
    )


@pytest.mark.parametrize("itself", [False, True])
def test_a_first_release_says_that_it_was_compared_with_itself(itself: bool) -> None:
    few = dataclasses.replace(QUICK, steps=1.0, rate=500.0, limits=Limits(requests=50, backstop_requests=50))
    done = walk(StubArm(), StubArm(), rehearsal(few, itself=itself))
    assert done.verdict == "promote", done.reason
    assert (", compared with itself: production has no release yet" in done.reason) == itself


def test_a_request_that_is_lost_while_the_old_version_stops_aborts() -> None:
    champion, candidate = StubArm(), StubArm()
    champion.stop = candidate.stop  # type: ignore[method-assign]
    done = walk(champion, candidate)
    assert done.verdict == "abort"
    assert re.search(r"healthy, but [1-9]\d* of \d+ requests failed over 3 changes of weight", done.reason)


def test_a_candidate_that_dies_midway_aborts_by_what_the_client_lost() -> None:
    champion, candidate = StubArm(), StubArm()
    done = walk(champion, candidate, rehearsal(fault="crash"))
    assert candidate.killed
    assert done.verdict == "abort"
    assert done.meters[1].reasons() == {"lost": done.meters[1].arm.lost}
    assert done.meters[0].reasons() == {}


def test_an_idle_candidate_is_inconclusive() -> None:
    few = dataclasses.replace(QUICK, rate=20.0, warm=2, steps=0.5, evidence=0.5)
    done = walk(StubArm(), StubArm(), rehearsal(few))
    assert done.verdict == "inconclusive"
    assert "fewer than 100" in done.reason


def test_a_weight_is_kept_until_enough_requests_have_reached_the_candidate() -> None:
    short = dataclasses.replace(QUICK, steps=0.2)
    done = walk(StubArm(), StubArm(), rehearsal(short))
    assert done.verdict == "promote"
    first = [tick for tick in done.ticks if tick.weight == 25]
    assert first[-1].results[0].value >= QUICK.limits.requests


def test_a_champion_without_metrics_is_refused_and_a_candidate_without_them_aborts() -> None:
    with pytest.raises(Refusal, match="the champion's /metrics cannot be read"):
        walk(StubArm(metrics=False), StubArm())
    done = walk(StubArm(), StubArm(metrics=False))
    assert done.verdict == "abort"
    assert "/metrics cannot be read" in done.reason


def without_a_terminal_there_are_plain_lines_and_in_one_a_table(done: Rehearsal) -> None:
    plain = cast(Any, done).printed
    assert "\x1b" not in plain
    assert "25 % to the candidate" in plain
    assert any(f"nearest to abort: {title(name)}, 0 % of the way" in plain for name in LABELS)
    assert len(plain.splitlines()) < 10
    terminal = io.StringIO()
    with Screen(Console(file=terminal, force_terminal=True, width=100)) as screen:
        screen.show(done)
    assert "\x1b[" in terminal.getvalue()
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    told = ("errors", "p99 at the client", "labelled positive", "way to abort", "log evidence 0, at most 4.6")
    places = [shown.index(each) for each in told]
    assert places == sorted(places)  # what a person asks first


@asynccontextmanager
async def loaded(champion: StubArm, candidate: StubArm) -> AsyncIterator[tuple[Traffic, aiohttp.ClientSession]]:
    async with champion.running(), candidate.running(), traffic.session() as client:
        arms = Arm("champion", champion.address), Arm("candidate", candidate.address)
        yield Traffic(*arms, bodies(), rate=200.0, seed=3), client


def test_the_load_is_bounded_split_by_weight_and_in_few_hands() -> None:
    champion, candidate = StubArm(), StubArm(seconds=0.05)

    async def load() -> float:
        async with loaded(champion, candidate) as (split, client):
            split.weight = 30
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(split.run(client), 2.0)
            return time.monotonic() - start

    seconds = asyncio.run(load())
    sent = champion.requests + candidate.requests
    assert sent <= 200 * seconds + traffic.IN_FLIGHT
    assert candidate.requests / sent == pytest.approx(0.3, abs=0.12)
    assert candidate.most_at_once <= traffic.IN_FLIGHT


def test_the_warm_up_gives_both_arms_the_same_and_is_not_counted() -> None:
    champion, candidate = StubArm(), StubArm()

    async def warm() -> Traffic:
        async with loaded(champion, candidate) as (split, client):
            await split.warm(client, 15)
            return split

    split = asyncio.run(warm())
    assert champion.requests == candidate.requests == 15
    assert split.champion.answered == split.candidate.answered == 0


def test_what_the_client_lost_counts_as_requests_and_errors_of_that_arm() -> None:
    meter = Meter(Arm("candidate", "http://127.0.0.1:9"))
    meter.record(sample(requests=5), 0.0)
    meter.record(sample(requests=9, errors=1), 0.5)
    meter.arm.lost = 3
    meter.record(None, 3.0)
    counters = meter.counters()
    assert counters.requests.tolist() == [0.0, 4.0, 7.0]
    assert counters.errors.tolist() == [0.0, 1.0, 4.0]


def test_a_scrape_that_fails_for_a_moment_is_missing_and_not_a_standstill() -> None:
    meter = Meter(Arm("candidate", ""))
    meter.record(sample(requests=5), 0.0)
    meter.record(None, 0.5)
    meter.record(sample(requests=25), 1.0)
    assert str(meter.counters().requests.tolist()) == "[0.0, nan, 20.0]"


def test_a_restart_of_a_server_is_bridged() -> None:
    meter = Meter(Arm("candidate", ""))
    for at, requests in enumerate([5.0, 25.0, 4.0, 10.0]):
        meter.record(sample(requests=requests), float(at))
    assert meter.counters().requests.tolist() == [0.0, 20.0, 24.0, 30.0]


def test_metrics_of_other_origin_are_passed_over() -> None:
    text = (
        'python_gc_objects_total 5.0\n# TYPE ml_requests_total counter\nml_requests_total{model="a",version="1"} 3.0\n'
        'ml_requests_total{model="a",version="2"} 4.0\nml_errors_total{model="a",reason="invalid"} 2.0\n'
        'ml_errors_total{model="a",reason="inference"} 1.0\n'
        'ml_score_bin_total{bin="9"} 1.5\nml_score_bin_total{bin="ten"} 9.0\n'
        'ml_request_duration_seconds_bucket{le="0.005"} 6.0\nml_request_duration_seconds_bucket{le="+Inf"} 7.0\n'
    )
    found = meters.parse(text)
    assert (found.requests, found.errors, found.refused, found.bins[9]) == (7.0, 1.0, 2.0, 1.5)
    assert found.reasons == {"invalid": 2.0, "inference": 1.0}
    assert found.within[0.005] == 6.0
    assert sum(found.bins) == 1.5


def test_a_server_that_lacks_a_metric_is_refused_by_name() -> None:
    whole, lacking = Meter(Arm("champion", "")), Meter(Arm("candidate", ""))
    whole.record(sample(), 0.0)
    incomplete = sample()
    incomplete.found.remove("ml_score_bin_total")
    lacking.record(incomplete, 0.0)
    with pytest.raises(Refusal, match="the candidate's /metrics lacks ml_score_bin_total"):
        meters.bound(lacking, Bounds(5.0, 10.0))


def test_each_arm_is_measured_by_the_bounds_of_its_own_server_that_are_nearest_to_the_wanted_ones() -> None:
    champion, candidate = Meter(Arm("champion", "")), Meter(Arm("candidate", ""))
    champion.record(sample(bounds=(0.002, 0.006, 0.01)), 0.0)
    candidate.record(sample(bounds=(0.002, 0.005, 0.009)), 0.0)
    assert meters.bound(champion, Bounds(5.0, 10.0)) == Bounds(6.0, 10.0)
    assert meters.bound(candidate, Bounds(5.0, 10.0)) == Bounds(5.0, 9.0)


def test_a_check_never_passes_for_lack_of_data() -> None:
    """Nothing but errors: no scores, so the checks of scores are inconclusive at every look."""
    done = walk(StubArm(), StubArm(errors=1.0), rehearsal(Pace(**{**vars(QUICK), "limits": NEVER})))
    for tick in done.ticks:
        verdicts = {each.name: each.verdict for each in tick.results}
        assert verdicts["score-shift"] == Verdict.INCONCLUSIVE
    assert done.verdict == "inconclusive"


NEVER = Limits(evidence=1e9, score_shift=1e9, success=-1.0, requests=30)


def sample(requests: float = 0.0, errors: float = 0.0, bounds: tuple[float, ...] = (0.005,)) -> meters.Sample:
    found = meters.Sample(requests, reasons={"inference": errors}, found=set(meters.NEEDED))
    found.within = dict.fromkeys(bounds, 0.0)
    return found
