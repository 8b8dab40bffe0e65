"""A server inside the test's own loop that counts as the service does, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from serving.runtime.telemetry import Telemetry
from tests.support.answers import SCORES

CONTRACT = {"model": "specimen_delay", "version": "stub", "latency_budget_ms": 10.0, "slow_ms": 5.0, "answer": SCORES}


@dataclass
class StubArm:
    errors: float = 0.0  # share of requests answered with 500
    seconds: float = 0.0  # before an answer
    shift: float = 0.0  # of every score
    metrics: bool = True  # whether /metrics answers
    address: str = ""
    requests: int = 0
    most_at_once: int = 0
    killed: bool = False
    _telemetry: Telemetry = field(default_factory=lambda: Telemetry(CONTRACT))
    _random: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311
    _at_once: int = 0
    _runner: web.AppRunner | None = None

    async def predict(self, request: web.Request) -> web.Response:
        start = time.perf_counter()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.requests += 1
        try:
            rows = len(json.loads(await request.read())["rows"])
            await asyncio.sleep(self.seconds)
            if self._random.random() < self.errors:
                self._telemetry.failed(time.perf_counter() - start, "inference")
                return web.json_response({"error": {"field": "", "reason": "the model failed"}}, status=500)
            scores = [min(0.99, self._random.betavariate(2, 6) + self.shift) for _ in range(rows)]
            self._telemetry.answered(
                time.perf_counter() - start, scores, sum(score >= SCORES["threshold"] for score in scores)
            )
            return web.json_response({"scores": scores})
        finally:
            self._at_once -= 1

    async def exposition(self, _: web.Request) -> web.Response:
        if not self.metrics:
            raise web.HTTPNotFound
        return web.Response(body=self._telemetry.exposition(), content_type="text/plain")

    def stop(self) -> None:
        """In order, as the server does at SIGTERM; called from a thread."""
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()

    def kill(self) -> None:
        """What serving.serve.Server offers: called from a thread, takes effect at once."""
        self.killed = True
        self.stop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StubArm]:
        self._loop = asyncio.get_running_loop()
        application = web.Application()
        application.add_routes([web.post("/predict", self.predict), web.get("/metrics", self.exposition)])
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await (site := web.TCPSite(self._runner, "127.0.0.1", 0)).start()
        self.address = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        try:
            yield self
        finally:
            await self._runner.cleanup()
