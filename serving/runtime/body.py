"""Request bodies within a limit of bytes and of time, at next to no cost for those that arrive whole."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.runtime.errors import RefusedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SECONDS = 5.0  # for a body to arrive in full; looked at once a second
DRAIN_SECONDS = 2.0  # for the rest of a refused body, read and dropped so that its sender gets to see the answer


class DisconnectedError(Exception):
    """The caller left before its request was whole: nobody to answer."""


class Bodies:
    """The bodies that one worker is reading.

    One timer for all of them: a timer each (asyncio.timeout) would cost a tenth of a small request.
    """

    def __init__(self, limit: int, seconds: float = SECONDS) -> None:
        self._limit, self._seconds = limit, seconds
        self._since: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._watching = False

    async def read(self, scope: Message, receive: Receive) -> bytes:
        """The whole body; RefusedError when too large or too late, never more than the limit in memory."""
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._limit:
                raise self._too_large()
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = time.monotonic()
        if not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_later(1, self._watch)
        try:
            return await self._collect(receive)
        except asyncio.CancelledError:
            if task not in self._late:
                raise  # the server stops
            task.uncancel()
            raise RefusedError("timeout", "body", f"must arrive within {self._seconds:g} seconds") from None
        finally:
            del self._since[task]
            self._late.discard(task)

    async def _collect(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        length = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            part: bytes = message.get("body", b"")
            length += len(part)
            if length > self._limit:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join((*parts, part)) if parts else part
            parts.append(part)

    def _watch(self) -> None:
        """Cancel what is late, and look again as long as something is being read."""
        for task, since in self._since.items():
            if time.monotonic() - since > self._seconds:
                self._late.add(task)
                task.cancel()
        self._watching = bool(self._since)
        if self._watching:
            asyncio.get_running_loop().call_later(1, self._watch)

    def _too_large(self) -> RefusedError:
        return RefusedError("too_large", "body", f"must have at most {self._limit} bytes")


async def drain(receive: Receive) -> None:
    """Read and drop what is left of a body: a connection closed on unread bytes takes the answer with it."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
