"""The walk through the canary's steps, from two warm servers to a verdict: `python -m deploy rehearse flight_delay`."""

from __future__ import annotations

import asyncio

import aiohttp
import numpy as np

from data_schemas.command import Refusal
from deploy.judge import Result, Verdict, judge, overall
from deploy.rehearsal import meters, traffic
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.record import Rehearsal, Tick
from deploy.rehearsal.screen import LABELS, Screen, limit
from deploy.rehearsal.traffic import Traffic
from serving import serve


class Walk:
    """One walk; what it finds goes into `rehearsal`."""

    def __init__(self, rehearsal: Rehearsal, split: Traffic, server: serve.Server, screen: Screen) -> None:
        self.rehearsal, self.split, self.screen = rehearsal, split, screen
        self.server = server  # the candidate's, which the fault `crash` kills
        self.champion, self.candidate = Meter(split.champion), Meter(split.candidate)
        rehearsal.meters = [self.champion, self.candidate]
        self.times = [0.0]  # of scrapes, seconds since the first
        self.begun = 0.0  # the first scrape by the loop's clock

    async def walk(self) -> None:
        async with traffic.session() as client:
            await self.split.warm(client, self.rehearsal.pace.warm)
            if not await self._first_scrape(client):
                return
            background = [asyncio.create_task(self.split.run(client))]
            if self.rehearsal.fault == "crash":
                background.append(asyncio.create_task(self._crash()))
            try:
                await self._steps(client, background)
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)

    async def _first_scrape(self, client: aiohttp.ClientSession) -> bool:
        """What both servers counted before it is not judged."""
        await meters.scrape_both(client, self.champion, self.candidate, 0.0)
        if self.champion.last is None:
            raise Refusal("the champion's /metrics cannot be read; build it with this repository's serving stage.")
        if self.candidate.last is None:
            self.rehearsal.conclude("abort", "the candidate got ready, but its /metrics cannot be read")
            return False
        self.rehearsal.slow_ms = meters.agree_on_slow(self.champion, self.candidate, self.rehearsal.slow_ms)
        self.begun = asyncio.get_running_loop().time()
        return True

    async def _steps(self, client: aiohttp.ClientSession, background: list[asyncio.Task[None]]) -> None:
        results: list[Result] = []
        least = self.rehearsal.pace.limits.requests
        for step in self.rehearsal.plan.steps:
            self.split.weight = step.weight
            entered, seen = self._now(), self.candidate.requests
            leave = entered + step.seconds / self.rehearsal.factor
            while self._now() < leave or self.candidate.requests - seen < least:
                results = await self._look(client, step.weight)
                for task in background:
                    if task.done():
                        task.result()  # a fault of the load itself is nobody's verdict: it is raised
                if overall(results) == Verdict.ABORT:
                    self._conclude(results)
                    return
                if self._now() > leave + self.rehearsal.pace.evidence:
                    reached = f"{self.candidate.requests - seen:.0f} requests reached the candidate at {step.weight} %"
                    self.rehearsal.conclude("inconclusive", f"{reached}, fewer than {least}")
                    return
        self._conclude(results)

    async def _look(self, client: aiohttp.ClientSession, weight: int) -> list[Result]:
        """At the next scrape's time: scrape, judge, show."""
        pace = self.rehearsal.pace
        await asyncio.sleep(pace.scrape - self._now() % pace.scrape)
        now = self._now()
        await meters.scrape_both(client, self.champion, self.candidate, now)
        self.times.append(now)
        counters = self.champion.counters(), self.candidate.counters()
        results = judge(*counters, np.array(self.times), pace.interval, pace.limits)
        self.rehearsal.ticks.append(Tick(now, weight, results))
        self.screen.show(self.rehearsal)
        return results

    async def _crash(self) -> None:
        """Kill the candidate midway, workers included, as the kernel does when memory runs out."""
        await asyncio.sleep(self.rehearsal.pace.steps / 2)
        await asyncio.to_thread(self.server.kill)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self.begun

    def _conclude(self, results: list[Result]) -> None:
        """From the last look."""
        verdict = overall(results)
        told = [result for result in results if result.verdict == verdict]
        failed = f", {self.candidate.errors:.0f} of them failed," if self.candidate.errors else ""
        seen = f"{self.candidate.requests:.0f} requests{failed} and {self.rehearsal.ticks[-1].at:.1f} s"
        values = "; ".join(f"{LABELS[each.name]} {each.value:g}, {limit(each)}" for each in told)
        if verdict == Verdict.HEALTHY:
            self.rehearsal.conclude("promote", f"all {len(results)} checks are healthy after {seen}")
        else:
            word = "abort" if verdict == Verdict.ABORT else "inconclusive"
            self.rehearsal.conclude(word, f"{values} (after {seen}, at {self.split.weight} %)")
