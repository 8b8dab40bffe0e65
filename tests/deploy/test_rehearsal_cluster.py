"""The release's AnalysisTemplates on a real Prometheus, beside the reference implementation, on the same faults."""

import asyncio
import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import numpy as np
import pytest

from deploy import rehearse
from deploy.canary.judge import Limits, Result, Verdict
from deploy.lib.release import Promise
from deploy.rehearsal import cluster
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.prometheus import Prometheus, QueryError
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.rehearsal.reference import Judge, ReferenceJudge
from deploy.rehearsal.rendered import RenderedRelease
from deploy.rehearsal.traffic import Traffic
from tests.deploy import rehearsals
from tests.deploy.rehearsals import needs_prometheus
from tests.deploy.stub_arm import StubArm

# Forty times faster than the cluster: a scrape every 0.4 s, a measurement every 0.75 s.
PACE = Pace(steps=9.0, rate=300.0, warm=20, evidence=12.0, limits=Limits(requests=100, backstop_requests=50))


class Both:
    """The judge of the cluster and the reference, each until it ends; the walk ends when both have."""

    def __init__(self, *judges: Judge) -> None:
        self.judges = judges
        self.verdicts: dict[str, tuple[str, str]] = {}

    async def begin(self, client: aiohttp.ClientSession) -> None:
        for each in self.judges:
            await each.begin(client)

    def enter(self, number: int, now: float) -> None:
        for each in self.judges:
            each.enter(number, now)

    async def look(self, client: aiohttp.ClientSession, now: float, resting: bool) -> list[Result]:
        found = [await each.look(client, now, resting) for each in self.judges]
        for each in self.judges:
            if (ended := each.ended()) is not None:
                self.verdicts.setdefault(type(each).__name__, ended)
        return found[0]

    def ended(self) -> tuple[str, str] | None:
        return next(iter(self.verdicts.values())) if len(self.verdicts) == len(self.judges) else None

    def satisfied(self) -> bool:
        return all(each.satisfied() for each in self.judges)

    def lacking(self) -> str:
        return " and ".join(each.lacking() for each in self.judges)


# Both stubs draw from the same distribution of scores.
PROMISED = Promise(champion="stub", counts=[[1000 * (row == to) for to in range(10)] for row in range(10)])


class Idle(Traffic):
    """Says that it weighs, and sends the candidate nothing."""

    async def weigh(self, _weight: int) -> None:
        self.changes += 1


def walk(
    release: RenderedRelease, place: Path, candidate: StubArm, fault: str = "", kind: type[Traffic] = Traffic
) -> tuple[Rehearsal, Both]:
    """A whole walk of a healthy champion and the candidate, seen by both judges."""
    pace = PACE if kind is Traffic else dataclasses.replace(PACE, evidence=1.0)  # who gets nothing need not wait
    done, seen = rehearsals.rehearsal(pace, fault, release.plan), list[Both]()

    @contextlib.contextmanager
    def judges(one: Meter, other: Meter) -> Iterator[Judge]:
        with rehearse.judging(done, release.with_promise(PROMISED), PROMISED, place, one, other) as templates:
            seen.append(Both(templates, ReferenceJudge(one, other, pace, np.array(PROMISED.counts, np.float64))))
            yield seen[0]

    rehearsals.walk(StubArm(), candidate, done, judges, kind)
    return done, seen[0]


slow = partial(pytest.param, marks=pytest.mark.slow)  # ten seconds of real load


@needs_prometheus
@pytest.mark.parametrize(
    ("fault", "candidate", "template", "check"),
    [
        pytest.param("errors", StubArm(errors=0.2), *["errors|success"] * 2, id="errors"),
        slow("latency", StubArm(seconds=0.03), *["slow requests|beyond the budget"] * 2, id="latency"),
        slow("scores", StubArm(shift=0.3), *["answers against the promise"] * 2, id="scores"),
        slow("crash", StubArm(), "scrapes missed", "errors|success", id="crash"),
    ],
)
def test_templates_and_reference_agree_on_every_planted_fault(
    fault: str, candidate: StubArm, template: str, check: str, release: RenderedRelease, tmp_path: Path
) -> None:
    done, both = walk(release, tmp_path, candidate, fault)
    assert done.verdict == "abort", (done.reason, both.verdicts)
    for name, expected in (("ClusterJudge", template), ("ReferenceJudge", check)):
        verdict, reason = both.verdicts[name]
        assert verdict == "abort"
        assert any(word in reason for word in expected.split("|")), reason


@pytest.mark.slow
@needs_prometheus
def test_templates_and_reference_agree_to_promote_a_healthy_one(release: RenderedRelease, tmp_path: Path) -> None:
    done, both = walk(release, tmp_path, StubArm())
    assert both.verdicts == {}
    assert done.verdict == "promote", done.reason
    assert [weight for weight, _ in itertools.groupby(tick.weight for tick in done.ticks)] == [25, 50, 75]
    names = [each.name for each in done.ticks[-1].results]
    assert names[0] == "evidence"
    assert set(names) == {path.stem for path in Path("deploy/base/analysis").glob("[!k]*.yaml")}
    assert all(each.catches.startswith("a canary") for each in done.ticks[-1].results)
    assert done.ticks[-1].results[0].limit == 900


@pytest.mark.slow
@needs_prometheus
def test_a_candidate_that_nobody_calls_is_inconclusive_to_both(release: RenderedRelease, tmp_path: Path) -> None:
    done, _ = walk(release, tmp_path, StubArm(), kind=Idle)
    assert done.verdict == "inconclusive"
    assert "requests compared 20, at least 300" in done.reason
    assert "0 requests reached the candidate, fewer than 100" in done.reason


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


def test_an_hour_of_too_little_evidence_waits_for_a_person(release: RenderedRelease) -> None:
    ended = scripted(release, {EVIDENCE: [299.0]}, 4000).ended()
    assert ended is not None
    assert ended[0] == "inconclusive"
    assert "requests compared: 120 measurements, but never 1 good ones in a row" in ended[1]


def test_no_data_waits_for_a_person_and_is_no_pass(release: RenderedRelease) -> None:
    for nothing in ([], [math.nan]):
        judge = scripted(release, {DOWNTIME: nothing}, 4000)
        assert judge.ended() == ("inconclusive", "scrapes missed: 121 measurements were inconclusive, 120 may be")


def test_a_prometheus_that_is_gone_for_ten_minutes_aborts(release: RenderedRelease) -> None:
    gone: dict[str, Sequence[float] | QueryError] = {DOWNTIME: QueryError("Prometheus did not answer (TimeoutError)")}
    assert scripted(release, gone, 600).ended() is None
    ended = scripted(release, gone, 700).ended()
    assert ended is not None
    assert ended[0] == "abort"
    assert ended[1].startswith("scrapes missed: 61 measurements in a row were errors, the last: Prometheus did not")


def test_one_look_above_the_limit_aborts_and_tells_value_and_limit(release: RenderedRelease) -> None:
    judge = scripted(release, {DOWNTIME: [7.0]}, 600)
    assert judge.ended() == ("abort", "scrapes missed 7, at most 6")


def test_what_has_no_data_yet_is_shown_as_inconclusive(release: RenderedRelease) -> None:
    judge = scripted(release, {}, 5)
    shown = asyncio.run(judge.look(cast(Any, None), 6.0, True))
    evidence = shown[0]
    assert (evidence.name, evidence.verdict, evidence.limit) == ("evidence", Verdict.INCONCLUSIVE, 300.0)
    assert math.isnan(evidence.value)
    assert [each.name for each in shown if not each.asked] == ["evidence"]  # of an analysis after the pause
    later = scripted(release, {EVIDENCE: [math.nan]}, 300)
    assert all(each.asked for each in asyncio.run(later.look(cast(Any, None), 301.0, False)))
