"""The load of a rehearsal: real rows, sent through a weighted split."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import aiohttp

from deploy.rehearsal import proxy
from deploy.rehearsal.proxy import Proxy
from models.lib.config import Model
from repo.lib.refusal import Refusal

# Few requests at a time: a machine that stalls for a moment makes this many slow requests, not dozens, and slow
# requests that come together are not the independent events that the judge counts.
IN_FLIGHT = 2
BATCH_EVERY = 20  # one request in so many carries several rows
BATCH_ROWS = 20  # at most
ANSWER_SECONDS = 5.0  # a request without an answer by then is lost
LOST = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Arm:
    """One server as the client sees it."""

    name: str
    address: str
    answered: int = 0
    lost: int = 0  # refused, cut off or unanswered: what the server itself may be unable to count
    milliseconds: list[float] = field(default_factory=list)  # of answers, in the order of their arrival
    first: float | None = None  # when its first request was sent, by the loop's clock


def requests(model: Model, seed: int) -> Iterator[bytes]:
    """Bodies for POST /predict without end: rows of the test window, shuffled; now and then a small batch."""
    import polars as pl

    from models.lib import samples

    order = random.Random(seed)  # noqa: S311 (a repeatable order, not a secret)
    table = samples.rows(model, "test").select(model.features)
    rows = table.with_columns(pl.selectors.float().fill_nan(None)).to_dicts()
    most = min(BATCH_ROWS, model.serving.max_rows)
    while True:
        order.shuffle(rows)
        left = iter(rows)
        while batch := list(islice(left, order.randint(1, most) if order.randrange(BATCH_EVERY) == 0 else 1)):
            yield json.dumps({"rows": batch}, allow_nan=False).encode()


class Traffic:
    """A closed loop of IN_FLIGHT requests at no more than `rate` a second; the weight may change at any time.

    Through `proxy` if there is one, which then chooses the arm of each request; else chosen here.
    """

    def __init__(
        self, champion: Arm, candidate: Arm, bodies: Iterator[bytes], rate: float, seed: int, proxy: Proxy | None = None
    ) -> None:
        self.champion, self.candidate = champion, candidate
        self.weight = 0  # percent of requests that go to the candidate
        self.changes = 0  # of the weight
        self._proxy = proxy
        self._bodies = bodies
        self._gap = 1 / rate
        self._next = 0.0
        self._random = random.Random(seed)  # noqa: S311 (a repeatable split, not a secret)

    async def weigh(self, weight: int) -> None:
        """From now on send this percentage of requests to the candidate."""
        if weight == self.weight:
            return
        if self._proxy is not None:
            await self._proxy.weigh(weight)
        self.weight, self.changes = weight, self.changes + 1

    async def warm(self, session: aiohttp.ClientSession, count: int) -> None:
        """Send each arm the same `count` requests: a cold server looks slow. Fewer if one gives no answers."""
        arms = (self.champion, self.candidate)
        for body in [next(self._bodies) for _ in range(count)]:
            await asyncio.gather(*(self._send(session, arm, body) for arm in arms))
            if max(arm.lost for arm in arms) >= IN_FLIGHT:
                break
        for arm in arms:
            arm.answered, arm.lost, arm.first = 0, 0, None
            arm.milliseconds.clear()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(self._client(session))
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while True:
            now = self._clock()
            self._next = max(self._next + self._gap, now)  # time lost to a stall is not made up for by a burst
            await asyncio.sleep(self._next - now)
            body = next(self._bodies)
            if self._proxy is not None:
                await self._through(session, self._proxy, body)
            else:
                to_candidate = self._random.random() * 100 < self.weight
                await self._send(session, self.candidate if to_candidate else self.champion, body)

    async def _send(self, session: aiohttp.ClientSession, arm: Arm, body: bytes) -> None:
        """One request to an arm itself."""
        start, answered = self._clock(), False
        with suppress(*LOST):
            async with session.post(f"{arm.address}/predict", data=body) as response:
                await response.read()
                answered = True
        self._count(arm, start, answered)

    async def _through(self, session: aiohttp.ClientSession, split: Proxy, body: bytes) -> None:
        """One request to the proxy, which names the arm it went to, and whether it had to answer in its place.

        A request that not even the proxy answered in time counts against the candidate, if it can have been its own:
        the champion is the one that production has proven.
        """
        start, name, answered = self._clock(), "", False
        try:
            async with session.post(f"{split.address}/predict", data=body) as response:
                name, answered = response.headers.get(proxy.ARM, ""), proxy.ANSWERED in response.headers
                await response.read()
        except aiohttp.ClientConnectorError:
            raise Refusal("HAProxy stopped in the middle of the rehearsal; run it again.") from None
        except LOST:
            answered = False
        arms = {arm.name: arm for arm in (self.champion, self.candidate)}
        self._count(arms.get(name, self.candidate if self.weight else self.champion), start, answered)

    def _count(self, arm: Arm, start: float, answered: bool) -> None:
        if arm.first is None:
            arm.first = start
        if answered:
            arm.answered += 1
            arm.milliseconds.append(1000 * (self._clock() - start))
        else:
            arm.lost += 1

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


def session() -> aiohttp.ClientSession:
    """Kept-alive connections are dropped before the server drops them (5 s), which would look like a lost request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        headers={"Content-Type": "application/json"},
    )
