"""The judge of a rehearsal where no Prometheus is installed: canary/judge.py on both meters."""

import aiohttp
import numpy as np

from deploy.canary import judge
from deploy.canary.judge import Result, Verdict
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.record import Pace
from deploy.rehearsal.screen import described


class ReferenceJudge:
    """The reference implementation, in the place of the AnalysisTemplates; cluster.py has their judge.

    It looks again and again while the candidate has a weight; times are seconds since the first scrape.
    """

    def __init__(self, champion: Meter, candidate: Meter, pace: Pace, promise: judge.Array | None) -> None:
        self._champion, self._candidate, self._pace, self._promise = champion, candidate, pace, promise
        self._times = [0.0]  # of scrapes, seconds since the first
        self._results: list[Result] = []
        self._seen = 0.0  # requests to the candidate before this weight

    async def begin(self, _client: aiohttp.ClientSession) -> None:
        """Before the first weight, with both servers warm and no request under way."""

    def enter(self, _number: int, _now: float) -> None:
        """The weight of this number of the plan begins."""
        self._seen = self._candidate.requests

    async def look(self, _client: aiohttp.ClientSession, now: float, _resting: bool) -> list[Result]:
        """Every check as it is after a scrape of the meters; resting while the weight's pause lasts."""
        self._times.append(now)
        counters = self._champion.counters(), self._candidate.counters()
        times, pace = np.array(self._times), self._pace
        self._results = judge.judge(*counters, times, pace.interval, self._promise, pace.limits)
        return self._results

    def ended(self) -> tuple[str, str] | None:
        """`abort` or `inconclusive` and a reason without an end; None while the rollout goes on."""
        if judge.overall(self._results) != Verdict.ABORT:
            return None
        return "abort", described(self._results, Verdict.ABORT)

    def satisfied(self) -> bool:
        """Whether this weight may be left once its pause is over."""
        return self._candidate.requests - self._seen >= self._pace.limits.requests

    def lacking(self) -> str:
        """What it waits for, while it is not satisfied."""
        reached = self._candidate.requests - self._seen
        return f"{reached:.0f} requests reached the candidate, fewer than {self._pace.limits.requests}"
