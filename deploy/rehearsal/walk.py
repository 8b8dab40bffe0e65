"""The walk through the canary's steps, from two warm servers to a verdict."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import aiohttp

from deploy.canary.judge import Result, Verdict, overall
from deploy.rehearsal import meters, traffic
from deploy.rehearsal.cluster import Judge
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.record import Rehearsal, Tick
from deploy.rehearsal.screen import Screen, described
from deploy.rehearsal.traffic import Traffic
from repo.lib.refusal import Ended, Refusal
from serving import serve

AFTER = 0.5  # seconds of load on the new version alone, before the old one stops and after


class Walk:
    """One walk; what it finds goes into `rehearsal`. `judge` is asked for one once both servers are warm."""

    def __init__(
        self,
        rehearsal: Rehearsal,
        split: Traffic,
        servers: tuple[serve.Server, serve.Server],
        screen: Screen,
        judge: Callable[[Meter, Meter], AbstractContextManager[Judge]],
    ) -> None:
        self.rehearsal, self.split, self.screen = rehearsal, split, screen
        self.old, self.new = servers  # the new one is what the fault `crash` kills
        self.champion, self.candidate = Meter(split.champion), Meter(split.candidate)
        rehearsal.meters = [self.champion, self.candidate]
        self.begun = 0.0  # the first scrape by the loop's clock
        self._judge = judge

    async def walk(self) -> None:
        asyncio.get_running_loop().set_exception_handler(_unless_ended)
        async with traffic.session() as client:
            await self.split.warm(client, self.rehearsal.pace.warm)
            if not await self._readable(client):
                return
            with self._judge(self.champion, self.candidate) as judge:
                await judge.begin(client)
                await meters.scrape_both(client, self.champion, self.candidate, 0.0)
                self.begun = self._clock()
                background = [asyncio.create_task(self.split.run(client))]
                if self.rehearsal.fault == "crash":
                    background.append(asyncio.create_task(self._crash()))
                try:
                    await self._steps(client, judge, background)
                    if self.rehearsal.verdict == "promote":
                        await self._hand_over()
                finally:
                    for task in background:
                        task.cancel()
                    await asyncio.gather(*background, return_exceptions=True)

    async def _readable(self, client: aiohttp.ClientSession) -> bool:
        """Whether both give metrics; a bound of "slow" that both have is agreed on."""
        champion, candidate = await self.champion.scrape(client), await self.candidate.scrape(client)
        if champion is None:
            raise Refusal("the champion's /metrics cannot be read; build it with this repository's serving stage.")
        if candidate is None:
            self.rehearsal.conclude("abort", "the candidate got ready, but its /metrics cannot be read")
            return False
        self.champion.begin(champion)
        self.candidate.begin(candidate)
        done = self.rehearsal
        for meter, wanted in ((self.champion, done.champion_bounds), (self.candidate, done.bounds)):
            found = meters.bound(meter, wanted)
            if meter is self.candidate:
                done.bounds = found
            else:
                done.champion_bounds = found
            if abs(found.slow_ms - wanted.slow_ms) > 0.01 * wanted.slow_ms:
                done.notes.append(
                    f"The {meter.arm.name}'s metrics have no bound at {wanted.slow_ms:g} ms, so the cluster's latency "
                    f"check will see nothing in this release; the rehearsal took {found.slow_ms:g} ms, which they have."
                )
        return True

    async def _steps(self, client: aiohttp.ClientSession, judge: Judge, background: list[asyncio.Task[None]]) -> None:
        results: list[Result] = []
        for number, step in enumerate(self.rehearsal.plan.steps):
            await self.split.weigh(step.weight)
            judge.enter(number, self._now())
            leave = self._now() + step.seconds / self.rehearsal.factor
            while self._now() < leave or not judge.satisfied():
                results = await self._look(client, judge, leave)
                for task in background:
                    if task.done():
                        task.result()  # a fault of the load itself is nobody's verdict: it is raised
                if ended := judge.ended():
                    self._conclude(*ended)
                    return
                if self._now() > leave + self.rehearsal.pace.evidence:
                    waited = f"{self.rehearsal.pace.evidence:g} s after the pause, as long as a rehearsal waits"
                    self._conclude("inconclusive", f"{judge.lacking()}, {waited}")
                    return
        if overall(results) == Verdict.HEALTHY:
            itself = ", compared with itself: production has no release yet" if self.rehearsal.itself else ""
            self._conclude("promote", f"all {len(results)} checks are healthy{itself}")
        else:
            open_checks = described(results, Verdict.INCONCLUSIVE) or "nothing judges this release"
            self._conclude("inconclusive", f"{open_checks} at the end, where the cluster would go on")

    async def _look(self, client: aiohttp.ClientSession, judge: Judge, leave: float) -> list[Result]:
        """At the next scrape's time: scrape, judge, show."""
        scrape = self.rehearsal.pace.scrape
        await asyncio.sleep(scrape - self._now() % scrape)
        now = self._now()
        await meters.scrape_both(client, self.champion, self.candidate, now)
        results = await judge.look(client, now, now < leave)
        self.rehearsal.ticks.append(Tick(now, self.split.weight, results))
        self.screen.show(self.rehearsal)
        return results

    async def _hand_over(self) -> None:
        """All requests to the new version, then the old one stops in order, as after the last step; none may fail."""
        await self.split.weigh(100)
        await asyncio.sleep(AFTER)  # as the pod's preStop waits: requests under way are answered
        await asyncio.to_thread(self.old.stop)
        await asyncio.sleep(AFTER)
        arms = self.split.champion, self.split.candidate
        lost, sent = sum(arm.lost for arm in arms), sum(arm.answered + arm.lost for arm in arms)
        over = f"{self.split.changes} changes of weight and the stop of the old version"
        self.rehearsal.kept = f"{lost} of {sent} requests failed over {over}"
        if lost:
            self.rehearsal.conclude("abort", f"the candidate is healthy, but {self.rehearsal.kept}")

    async def _crash(self) -> None:
        """Kill the candidate midway, workers included, as the kernel does when memory runs out."""
        await asyncio.sleep(self.rehearsal.pace.steps / 2)
        await asyncio.to_thread(self.new.kill)

    def _now(self) -> float:
        return self._clock() - self.begun

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    def _conclude(self, verdict: str, reason: str) -> None:
        candidate, at = self.candidate, self.rehearsal.ticks[-1].at
        failed = f", {candidate.errors:.0f} of them failed," if candidate.errors else ""
        seen = f"after {candidate.requests:.0f} requests{failed} and {at:.1f} s"
        self.rehearsal.conclude(verdict, f"{reason} ({seen}, at {self.split.weight} %)")
        if verdict == "abort" and (first := self.split.candidate.first) is not None:
            seconds = self._clock() - first
            self.rehearsal.bad = (
                f"{seconds:.1f} s after the first request to the candidate, {seconds * self.rehearsal.factor:.0f} s of "
                f"the cluster's time; of its {candidate.requests:.0f} answers {candidate.errors:.0f} were errors and "
                f"{candidate.slow:.0f} slower than {self.rehearsal.slow_ms:g} ms"
            )


def _unless_ended(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A signal that ends the verb is raised in whichever task runs, even in one that nobody awaits any more."""
    if not isinstance(context.get("exception"), Ended):
        loop.default_exception_handler(context)
