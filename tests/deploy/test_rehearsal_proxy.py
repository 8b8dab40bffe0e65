"""HAProxy between the client and both servers: it splits by weight, and its answers name the arm that failed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.rehearsal import proxy, traffic
from deploy.rehearsal.traffic import Arm, Traffic
from repo.lib.refusal import Refusal
from tests.deploy.rehearsals import bodies, needs_haproxy
from tests.deploy.stub_arm import StubArm


@asynccontextmanager
async def loaded(champion: StubArm, candidate: StubArm, weight: int, place: Path) -> AsyncIterator[Traffic]:
    """Both arms under load through HAProxy, at this weight."""
    async with champion.running(), candidate.running(), traffic.session() as client:
        with proxy.start(champion.address, candidate.address, place / "proxy") as front:
            arms = Arm("champion", champion.address), Arm("candidate", candidate.address)
            split = Traffic(*arms, bodies(), rate=300.0, seed=3, proxy=front)
            await split.weigh(weight)
            running = asyncio.create_task(split.run(client))
            try:
                yield split
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running


@needs_haproxy
def test_requests_are_split_by_weight_and_counted_for_the_arm_that_answered(tmp_path: Path) -> None:
    champion, candidate = StubArm(), StubArm(errors=0.1)

    async def load() -> Traffic:
        async with loaded(champion, candidate, 30, tmp_path) as split:
            await asyncio.sleep(3.0)
            return split

    split = asyncio.run(load())
    arms = (split.champion, champion), (split.candidate, candidate)
    assert all(0 <= stub.requests - arm.answered <= traffic.IN_FLIGHT for arm, stub in arms)
    assert split.champion.lost == split.candidate.lost == 0  # an error that the server answers is its own to count
    assert candidate.requests / (champion.requests + candidate.requests) == pytest.approx(0.3, abs=0.1)


@needs_haproxy
@pytest.mark.parametrize("fault", ["refuses", "hangs"])
def test_a_lost_request_counts_for_its_arm(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "SERVER_SECONDS", 1)
    candidate = StubArm(seconds=30.0 if fault == "hangs" else 0.0)

    async def load() -> Traffic:
        async with loaded(StubArm(), candidate, 50, tmp_path) as split:
            if fault == "refuses":
                await asyncio.to_thread(candidate.kill)
            await asyncio.sleep(2.5)
            return split

    split = asyncio.run(load())
    assert split.champion.lost == 0
    assert split.champion.answered > 0
    assert split.candidate.lost > (10 if fault == "refuses" else 0)


@pytest.mark.slow
@needs_haproxy
def test_no_request_fails_over_six_changes_of_weight_and_a_stop_under_load(tmp_path: Path) -> None:
    champion, candidate = StubArm(), StubArm()

    async def load() -> Traffic:
        async with loaded(champion, candidate, 25, tmp_path) as split:
            for weight in (50, 25, 75, 50, 100):
                await asyncio.sleep(0.7)
                await split.weigh(weight)
            await asyncio.sleep(0.7)
            answered = split.candidate.answered
            await asyncio.to_thread(champion.stop)
            await asyncio.sleep(0.5)
            assert split.candidate.answered > answered + 50
            return split

    split = asyncio.run(load())
    assert split.changes == 6
    assert split.champion.lost == split.candidate.lost == 0
    assert min(split.champion.answered, split.candidate.answered) > 200


@needs_haproxy
def test_a_proxy_that_is_gone_is_nobody_s_verdict(tmp_path: Path) -> None:
    async def load() -> None:
        front = proxy.Proxy("http://127.0.0.1:9", 9)
        with pytest.raises(Refusal, match="HAProxy did not take the weight 25"):
            await front.weigh(25)
        async with traffic.session() as client:
            arms = Arm("champion", ""), Arm("candidate", "")
            with pytest.raises(Refusal, match="HAProxy stopped in the middle of the rehearsal"):
                await Traffic(*arms, bodies(), rate=300.0, seed=3, proxy=front).run(client)

    asyncio.run(load())
    start = time.monotonic()
    with (
        pytest.raises(Refusal, match="haproxy did not get ready"),
        proxy.start("http://no address", "", tmp_path / "p"),
    ):
        pytest.fail("it started")
    assert time.monotonic() - start < 10
