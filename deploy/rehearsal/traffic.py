"""The load of a rehearsal: real rows, sent through a weighted split: `python -m deploy rehearse flight_delay`."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from data_schemas.command import Refusal
from models.config import Model

# Few requests at a time: a machine that stalls for a moment makes this many slow requests, not dozens, and slow
# requests that come together are not the independent events that the judge counts.
IN_FLIGHT = 2
BATCH_EVERY = 20  # one request in so many carries several rows
BATCH_ROWS = 20  # at most
ANSWER_SECONDS = 5.0  # a request without an answer by then is lost


@dataclass
class Arm:
    """One server as the client sees it."""

    name: str
    address: str
    answered: int = 0
    lost: int = 0  # refused, cut off or unanswered: what the server itself may be unable to count
    milliseconds: list[float] = field(default_factory=list)  # of answers, in the order of their arrival


def requests(model: Model, seed: int) -> Iterator[bytes]:
    """Bodies for POST /predict without end: rows of the test window, shuffled; now and then a small batch."""
    import polars as pl

    from data_schemas import tables

    order = random.Random(seed)  # noqa: S311 (a repeatable order, not a secret)
    table = tables.read(model.dataset, model.windows.test.months()).select(model.features)
    rows = table.with_columns(pl.selectors.float().fill_nan(None)).to_dicts()
    if not rows:
        raise Refusal(f"the test window of {model.folder}/model.yaml holds no rows; give it months that have some.")
    most = min(BATCH_ROWS, model.serving.max_rows)
    while True:
        order.shuffle(rows)
        left = iter(rows)
        while batch := _take(left, order.randint(1, most) if order.randrange(BATCH_EVERY) == 0 else 1):
            yield json.dumps({"rows": batch}, allow_nan=False).encode()


def _take(rows: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [row for _, row in zip(range(count), rows, strict=False)]


class Traffic:
    """A closed loop of IN_FLIGHT requests at no more than `rate` a second; `weight` may be changed at any time."""

    def __init__(self, champion: Arm, candidate: Arm, bodies: Iterator[bytes], rate: float, seed: int) -> None:
        self.champion, self.candidate = champion, candidate
        self.weight = 0  # percent of requests that go to the candidate
        self._bodies = bodies
        self._gap = 1 / rate
        self._next = 0.0
        self._random = random.Random(seed)  # noqa: S311 (a repeatable split, not a secret)

    async def warm(self, session: aiohttp.ClientSession, count: int) -> None:
        """Send each arm the same `count` requests: a cold server looks slow. Fewer if one gives no answers."""
        arms = (self.champion, self.candidate)
        for body in [next(self._bodies) for _ in range(count)]:
            await asyncio.gather(*(self._send(session, arm, body) for arm in arms))
            if max(arm.lost for arm in arms) >= IN_FLIGHT:
                break
        for arm in arms:
            arm.answered, arm.lost = 0, 0
            arm.milliseconds.clear()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(self._client(session))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            self._next = max(self._next + self._gap, now)  # time lost to a stall is not made up for by a burst
            await asyncio.sleep(self._next - now)
            to_candidate = self._random.random() * 100 < self.weight
            await self._send(session, self.candidate if to_candidate else self.champion, next(self._bodies))

    async def _send(self, session: aiohttp.ClientSession, arm: Arm, body: bytes) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            async with session.post(f"{arm.address}/predict", data=body) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            arm.lost += 1
        else:
            arm.answered += 1
            arm.milliseconds.append(1000 * (clock() - start))


def session() -> aiohttp.ClientSession:
    """Kept-alive connections are dropped before the server drops them (5 s), which would look like a lost request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        headers={"Content-Type": "application/json"},
    )
