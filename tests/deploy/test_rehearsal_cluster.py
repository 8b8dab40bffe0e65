"""The release's AnalysisTemplates on a real Prometheus, on the faults that test_walk.py plants for the reference."""

import asyncio
import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from deploy import rehearse
from deploy.canary.judge import Limits, Verdict
from deploy.lib.passport import Promise
from deploy.rehearsal import cluster
from deploy.rehearsal.prometheus import Prometheus, QueryError
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.rehearsal.rendered import RenderedRelease
from deploy.rehearsal.traffic import Traffic
from tests.deploy import rehearsals
from tests.deploy.rehearsals import needs_prometheus
from tests.deploy.stub_arm import StubArm

# Forty times faster than the cluster: a scrape every 0.4 s, a measurement every 0.75 s.
PACE = Pace(steps=9.0, rate=300.0, warm=20, evidence=12.0, limits=Limits(requests=100, backstop_requests=50))


# Both stubs draw from the same distribution of scores.
PROMISED = Promise(champion="stub", counts=[[1000 * (row == to) for to in range(10)] for row in range(10)])


class Idle(Traffic):
    """Says that it weighs, and sends the candidate nothing."""

    async def weigh(self, _weight: int) -> None:
        self.changes += 1


slow = partial(pytest.param, marks=pytest.mark.slow)  # ten seconds of real load


def walk(
    release: RenderedRelease, place: Path, candidate: StubArm, fault: str = "", kind: type[Traffic] = Traffic
) -> Rehearsal:
    """A whole walk of a healthy champion and the candidate; test_walk.py has those by the reference."""
    pace = PACE if kind is Traffic else dataclasses.replace(PACE, evidence=1.0)  # who gets nothing need not wait
    done = rehearsals.rehearsal(pace, fault, release.plan)
    judge = partial(rehearse.judging, done, release.with_promise(PROMISED), PROMISED, place)
    return rehearsals.walk(StubArm(), candidate, done, judge, kind)


@needs_prometheus
@pytest.mark.parametrize(
    ("fault", "candidate", "named"),
    [
        pytest.param("errors", StubArm(errors=0.2), "errors|success", id="errors"),
        slow("latency", StubArm(seconds=0.03), "slow requests|beyond the budget", id="latency"),
        slow("scores", StubArm(shift=0.3), "answers against the promise", id="scores"),
        slow("crash", StubArm(), "scrapes missed", id="crash"),
    ],
)
def test_the_templates_see_every_planted_fault_as_the_reference_does(
    fault: str, candidate: StubArm, named: str, release: RenderedRelease, tmp_path: Path
) -> None:
    done = walk(release, tmp_path, candidate, fault)
    assert (done.verdict, bool(re.match(named, done.reason))) == ("abort", True), done.reason


@pytest.mark.slow
@needs_prometheus
def test_the_templates_promote_a_healthy_one(release: RenderedRelease, tmp_path: Path) -> None:
    done = walk(release, tmp_path, StubArm())
    assert done.verdict == "promote", done.reason
    assert [weight for weight, _ in itertools.groupby(tick.weight for tick in done.ticks)] == [25, 50, 75]
    names = [each.name for each in done.ticks[-1].results]
    assert names[0] == "evidence"
    assert set(names) == {path.stem for path in Path("deploy/base/analysis").glob("[!k]*.yaml")}
    assert all(each.catches.startswith("a canary") for each in done.ticks[-1].results)
    assert done.ticks[-1].results[0].limit == 900


@pytest.mark.slow
@needs_prometheus
def test_a_candidate_that_nobody_calls_is_inconclusive(release: RenderedRelease, tmp_path: Path) -> None:
    done = walk(release, tmp_path, StubArm(), kind=Idle)
    assert done.verdict == "inconclusive"
    assert "requests compared 20, at least 300" in done.reason


EVIDENCE, DOWNTIME = "# Only requests", "# Scrapes of the last ten minutes"


class Scripted(Prometheus):
    """Answers each query with what `answers` has for its beginning, else with a value that is healthy."""

    def __init__(self, answers: dict[str, Sequence[float] | QueryError]) -> None:
        super().__init__("")
        self.answers = answers

    async def query(self, _client: aiohttp.ClientSession, text: str) -> list[float]:
        for beginning, found in self.answers.items():
            if text.startswith(beginning):
                if isinstance(found, QueryError):
                    raise found
                return list(found)
        return [1.0] if text.startswith("# Empty, and so inconclusive") else [0.0]  # the share of successes


def scripted(
    release: RenderedRelease, answers: dict[str, Sequence[float] | QueryError], until: float
) -> cluster.ClusterJudge:
    """After so many seconds at the first weight, looked at all the time, uncompressed."""
    judge = cluster.ClusterJudge(release, Scripted(answers), 1.0)

    async def looks() -> None:
        judge.enter(0, 0.0)
        for now in range(0, round(until), 5):
            await judge.look(cast(Any, None), float(now), now < 120)
            if judge.ended():
                return

    asyncio.run(looks())
    return judge


def test_no_weight_is_left_before_its_own_analysis_is_successful(release: RenderedRelease) -> None:
    assert not scripted(release, {EVIDENCE: [299.0]}, 600).satisfied()
    assert scripted(release, {EVIDENCE: [300.0]}, 600).satisfied()
    assert scripted(release, {EVIDENCE: [299.0]}, 600).lacking() == "requests compared 299, at least 300"


GONE = QueryError("Prometheus did not answer (TimeoutError)")


WAITS = "scrapes missed: 121 measurements were inconclusive, 120 may be"
ENDS: dict[str, tuple[str, Any, float, str, str]] = {  # query, answer, seconds by which it ended, how and why
    "little": (EVIDENCE, [299.0], 4000, "inconclusive", "requests compared: 120 measurements, but never 1 good ones"),
    "no data": (DOWNTIME, [], 4000, "inconclusive", WAITS),
    "not a number": (DOWNTIME, [math.nan], 4000, "inconclusive", WAITS),
    "no Prometheus": (
        DOWNTIME,
        GONE,
        700,
        "abort",
        "scrapes missed: 61 measurements in a row were errors, the last: P",
    ),
    "one look above": (DOWNTIME, [7.0], 600, "abort", "scrapes missed 7, at most 6"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_run_ends_as_its_measurements_say(release: RenderedRelease, case: str) -> None:
    query, answer, seconds, verdict, reason = ENDS[case]
    ended = scripted(release, {query: answer}, seconds).ended()
    assert ended is not None
    assert (ended[0], ended[1][: len(reason)]) == (verdict, reason)
    assert answer == [7.0] or scripted(release, {query: answer}, 0.8 * seconds).ended() is None


def test_what_has_no_data_yet_is_shown_as_inconclusive(release: RenderedRelease) -> None:
    judge = scripted(release, {}, 5)
    shown = asyncio.run(judge.look(cast(Any, None), 6.0, True))
    evidence = shown[0]
    assert (evidence.name, evidence.verdict, evidence.limit) == ("evidence", Verdict.INCONCLUSIVE, 300.0)
    assert math.isnan(evidence.value)
    assert [each.name for each in shown if not each.asked] == ["evidence"]  # of an analysis after the pause
    later = scripted(release, {EVIDENCE: [math.nan]}, 300)
    assert all(each.asked for each in asyncio.run(later.look(cast(Any, None), 301.0, False)))
