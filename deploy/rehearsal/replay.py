"""A record of months in seconds: a model's real service answers dated rows as fast as it can, under simulated time.

Rows are grouped by their own time in slots of 15 minutes. At the end of each, /metrics is written as a scrape at that
time, in OpenMetrics text; deploy/rehearsal/past.py has the rules judge it.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deploy.rehearsal import traffic
from deploy.rehearsal.past import STEP
from deploy.rehearsal.prometheus import Pod
from models.lib import config
from models.lib.split import ByTime
from repo.lib.refusal import Refusal
from serving import serve

if TYPE_CHECKING:
    import aiohttp
    import polars as pl

IN_FLIGHT = 3  # requests at once: more of them wait for each other, and look slow
LABEL_DELAY = 96  # slots, a day, after which the outcome of a prediction is known
NAMESPACE = "models-production"
WEEK = 7 * 86_400


def dated(model: config.Model, table: pl.DataFrame, first: int, last: int) -> tuple[pl.DataFrame, bool]:
    """The rows from `first` to `last` (Unix seconds) with their time `at`, in its order; whether it is their own.

    Rows of a day without a time are spread evenly through it, rows without a date through the whole span, both in the
    data's order.
    """
    import polars as pl

    dates = [name for name, kind in table.schema.items() if kind in (pl.Date, pl.Datetime)]
    column = model.parts.column if isinstance(model.parts, ByTime) else next(iter(dates), None)
    share = (pl.int_range(pl.len()) + 0.5) / pl.len()
    if column is None:
        return table.with_columns(at=(first + share * (last - first)).cast(pl.Int64)), False
    at = pl.col(column).dt.epoch("s")
    if table[column].dtype == pl.Date:
        at = at + (86_400 * share).over(column).cast(pl.Int64)
    rows = table.filter(pl.col(column).is_not_null()).with_columns(at=at)
    return rows.filter(pl.col("at").is_between(first, last, closed="left")).sort("at", maintain_order=True), True


@dataclass
class Slot:
    """The requests of 15 minutes: bodies, and for each the outcome that its row has, or None."""

    bodies: list[bytes] = field(default_factory=list)
    outcomes: list[Any] = field(default_factory=list)


def slots(model: config.Model, rows: pl.DataFrame) -> dict[int, Slot]:
    """End of a slot -> its requests, one row each."""
    import polars as pl

    from models.lib.tasks import task

    behaviour, found = task.of(model), dict[int, Slot]()
    known = pl.col(model.target.column).is_not_null()
    table = rows.with_columns(pl.selectors.float().fill_nan(None)).select(
        end=(pl.col("at") // STEP + 1) * STEP,
        row=pl.struct(model.features).struct.json_encode(),
        target=pl.when(known).then(behaviour.column()),
    )
    for end, row, target in table.iter_rows():
        slot = found.setdefault(end, Slot())
        slot.bodies.append(b'{"rows":[' + row.encode() + b"]}")
        slot.outcomes.append(target if target is None or not behaviour.names else behaviour.names[int(target)])
    return found


class Recorder:
    """Sends slots to `pods`, which are running, and writes what Prometheus would have scraped of them.

    `names`: the metrics to keep. `chosen` says which pod answers the slot that ends at a time.
    """

    def __init__(
        self, pods: list[Pod], names: frozenset[str], job: str, most: int, chosen: Callable[[int], int] = lambda _: 0
    ) -> None:
        self.requests = self.refused = 0
        self._pods, self._names, self._most, self._chosen = pods, names, most, chosen
        self._last: list[str] = [""] * len(pods)
        self._waiting: dict[int, list[dict[str, Any]]] = {}  # end of a slot -> what is posted then
        self._scraped = [f'namespace="{NAMESPACE}",job="{job}",pod="{pod.name}"' for pod in pods]
        self._scraped = [
            f'{labels},rollouts_pod_template_hash="{pod.hash}"}} '
            for labels, pod in zip(self._scraped, pods, strict=True)
        ]

    async def record(self, wanted: Mapping[int, Slot], first: int, last: int, file: IO[str]) -> None:
        """The slots that end after `first` and up to `last`, in order; the first call has a scrape at `first`, too."""
        async with traffic.session() as client:
            if not self._last[0]:
                for place in range(len(self._pods)):
                    await self._scrape(client, place)
                self._write(first, file)
            for end in range(first + STEP, last + 1, STEP):
                due, slot, pod = self._waiting.pop(end, []), wanted.get(end), self._chosen(end)
                for start in range(0, len(due), self._most):
                    await self._post(client, pod, "feedback", {"feedback": due[start : start + self._most]})
                if slot:
                    await self._predict(client, pod, slot, end)
                if slot or due:  # a pod that is asked nothing has the same metrics as before
                    await self._scrape(client, pod)
                self._write(end, file)
        file.write("# EOF\n")

    async def _predict(self, client: aiohttp.ClientSession, pod: int, slot: Slot, end: int) -> None:
        left = iter(zip(slot.bodies, slot.outcomes, strict=True))
        known = self._waiting.setdefault(end + LABEL_DELAY * STEP, [])
        address = f"{self._pods[pod].address}/predict?prediction_ids=true"

        async def ask() -> None:
            for body, outcome in left:
                async with client.post(address, data=body) as response:
                    answer = json.loads(await response.read())
                self.requests += 1
                self.refused += response.status != 200
                for identity in answer.get("prediction_ids", ()) if outcome is not None else ():
                    known.append({"prediction_id": identity, "outcome": outcome})

        await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))

    async def _post(self, client: aiohttp.ClientSession, pod: int, path: str, body: Any) -> None:
        async with client.post(f"{self._pods[pod].address}/{path}", json=body) as response:
            if response.status != 200:
                raise Refusal(f"the service refuses the outcomes of its answers: {await response.text()}; fix that.")

    async def _scrape(self, client: aiohttp.ClientSession, pod: int) -> None:
        """Keep the samples that are wanted, each as a line to which value and time are added."""
        async with client.get(f"{self._pods[pod].address}/metrics") as response:
            text = await response.text()
        found = []
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            if name in self._names:
                found.append(f"{name}{{{labels[:-1]}{',' if labels else ''}{self._scraped[pod]}{value} %s\n")
        self._last[pod] = "".join(found)

    def _write(self, at: int, file: IO[str]) -> None:
        """Twice, a millisecond apart: Prometheus 3 leaves the left end out of a range, and `[15m]` needs two samples.

        Before 3, which takes both ends, the increase between the outermost two is the same.
        """
        for text in self._last:
            count = text.count("\n")
            file.write(text.replace("%s", str(at)))
            file.write(text.replace("%s", f"{at}.001") if count else "")


@contextmanager
def serving_all(bentos: list[Path], folder: Path, job: str) -> Iterator[list[Pod]]:
    """A server of each Bento, with a key for feedback that nobody keeps."""
    from contextlib import ExitStack

    keys = folder / "keys"
    keys.mkdir(parents=True)
    (keys / "current").write_text(secrets.token_hex(32))
    before = os.environ.get("FEEDBACK_KEYS")
    os.environ["FEEDBACK_KEYS"] = str(keys)
    try:
        with ExitStack() as stack:
            started = []
            for place, bento in enumerate(bentos):
                home = folder / f"home-{place}"
                started.append(stack.enter_context(serve.start(bento, serve.free_port(), home)))
            for server in started:
                server.wait_ready()
            yield [Pod(f"{job}-{place}", str(place), server.address) for place, server in enumerate(started)]
    finally:
        os.environ.pop("FEEDBACK_KEYS")
        if before is not None:
            os.environ["FEEDBACK_KEYS"] = before
