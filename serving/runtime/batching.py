"""Requests that are ready at the same moment share one inference, and the loop gets its turn between two long ones.

Nobody waits for others: only what has arrived anyway is predicted together. At eight callers that halves the CPU of a
request; a value may differ in its last bits by the company that it had.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from serving.runtime.answer import Values

Row = tuple[Any, ...]
TURN_SECONDS = 0.005  # after an inference that took longer, probes and newcomers are looked at before the next


class Group:
    """Rows of several requests, one after the other, and their values once there."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.sizes: list[int] = []  # of the requests
        self.values: Values | None = None
        self.failed = False


class Turns:
    """`predict` gives one value a row for at most `most` rows of whole requests, or raises for all of them.

    It also gets how many rows each request has.
    """

    def __init__(self, predict: Callable[[list[Row], list[int]], Values], most: int) -> None:
        self._predict, self._most = predict, most
        self._open = Group()
        self._turn = asyncio.Lock()

    async def values(self, rows: list[Row]) -> Values:
        """The values of one request's rows; what `predict` raises for these rows, whatever happens to others."""
        group = self._open
        if len(group.rows) + len(rows) > self._most:
            group = self._open = Group()
        first = len(group.rows)
        group.rows += rows
        group.sizes.append(len(rows))
        await asyncio.sleep(0)  # every request that has been read by now joins
        if group is self._open:
            self._open = Group()
        if group.values is None and not group.failed:
            await self._take(group, alone=len(group.rows) == len(rows))
        if group.values is None:  # one of them fails, so each answers for itself
            return self._predict(rows, [len(rows)])
        return group.values[first : first + len(rows)]

    async def _take(self, group: Group, alone: bool) -> None:
        """Predict the group, unless another of its requests did so while this one waited for its turn."""
        async with self._turn:
            if group.values is not None or group.failed:
                return
            started = time.perf_counter()
            try:
                group.values = self._predict(group.rows, group.sizes)
            except Exception:
                if alone:
                    raise
                group.failed = True
            if time.perf_counter() - started > TURN_SECONDS:
                await asyncio.sleep(0)
