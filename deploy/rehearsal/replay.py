"""Months in seconds: a model's real service answers dated rows as fast as it can, under simulated time.

Rows are grouped by their own time in slots of 15 minutes. At the end of each, /metrics is written as a scrape at that
time, in OpenMetrics text; deploy/rehearsal/past.py has the rules judge it.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deploy.rehearsal import traffic
from deploy.rehearsal.past import STEP
from deploy.rehearsal.prometheus import Pod
from models.lib import drift
from models.lib.tasks import task
from repo.lib.refusal import Refusal
from serving import serve

if TYPE_CHECKING:
    import aiohttp
    import polars as pl

    from models.lib.config import Model

IN_FLIGHT = 3  # requests at once: more would wait for each other, and look slow
Slots = dict[int, list[tuple[bytes, Any]]]  # end of a slot -> body of each request, and the outcome that its row has
DAY = 96 * STEP  # after which the outcome of a prediction is known
LABELS = '{labels}namespace="models-production",job="{job}",pod="{pod.name}",rollouts_pod_template_hash="{pod.hash}"'


def timed(model: Model, table: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    """The rows of a span (Unix seconds), in order, with their time `at`.

    Those of a day without a time are spread evenly through it, and rows without a date through the span.
    """
    import polars as pl

    column, share = drift.time_column(model, table), (pl.int_range(pl.len()) + 0.5) / pl.len()
    if column is None:
        return table.with_columns(at=(first + share * (last - first)).cast(pl.Int64))
    at = pl.col(column).dt.epoch("s")
    if table[column].dtype == pl.Date:
        at = at + (24 * 3600 * share).over(column).cast(pl.Int64)
    rows = table.with_columns(at=at).filter(pl.col("at").is_between(first, last, closed="left"))
    return rows.sort("at", maintain_order=True)


def slots(model: Model, rows: pl.DataFrame) -> Slots:
    """The requests of timed rows, one row each."""
    import polars as pl

    behaviour, found = task.of(model), Slots()
    table = rows.with_columns(pl.selectors.float().fill_nan(None)).select(
        end=(pl.col("at") // STEP + 1) * STEP,
        row=pl.struct(model.features).struct.json_encode(),
        target=pl.when(pl.col(model.target.column).is_not_null()).then(behaviour.column()),
    )
    for end, row, target in table.iter_rows():
        outcome = behaviour.names[target] if behaviour.names and target is not None else target
        found.setdefault(end, []).append((f'{{"rows":[{row}]}}'.encode(), outcome))
    return found


@contextmanager
def serving(bentos: Sequence[Path], folder: Path, job: str) -> Iterator[list[Pod]]:
    """Pods that are ready, one of each Bento, with a key for feedback that nobody keeps."""
    (folder / "keys").mkdir()
    (folder / "keys/current").write_text(secrets.token_hex(32))
    os.environ["FEEDBACK_KEYS"] = str(folder / "keys")
    with ExitStack() as stack:
        homes = [folder / f"home-{place}" for place in range(len(bentos))]
        servers = [
            stack.enter_context(serve.start(bento, serve.free_port(), home))
            for bento, home in zip(bentos, homes, strict=True)
        ]
        for server in servers:
            server.wait_ready()
        yield [Pod(f"{job}-{place}", str(place), server.address) for place, server in enumerate(servers)]


class Recorder:
    """Sends slots to pods that are running, and writes what Prometheus would have scraped of each.

    `names`: the metrics to keep. `choose` gives the place of the pod that answers the slot ending at a time. `most`:
    outcomes in one request.
    """

    def __init__(
        self, pods: Sequence[Pod], names: frozenset[str], job: str, most: int, choose: Callable[[int], int]
    ) -> None:
        self.requests = self.refused = 0
        self._pods, self._names, self._job, self._most, self._choose = pods, names, job, most, choose
        self._last: list[str] = []  # of each pod: a pod that is asked nothing has the same metrics as before
        self._known: dict[int, list[dict[str, Any]]] = {}  # end of a slot -> outcomes that are known then

    async def record(self, wanted: Slots, first: int, last: int, file: IO[str]) -> None:
        """The slots that end after `first` and up to `last`, in order; the first call writes a scrape at `first`, too.

        One sample is enough in each 15 minutes, as the rules' ranges are a little longer, for Prometheus 2 and 3.
        """
        async with traffic.session() as client:
            if not self._last:
                self._last = [await self._scrape(client, pod) for pod in self._pods]
                file.writelines(each.replace("%s", str(first)) for each in self._last)
            for end in range(first + STEP, last + 1, STEP):
                place, slot, known = self._choose(end), wanted.get(end), self._known.pop(end, [])
                for start in range(0, len(known), self._most):
                    await self._tell(client, self._pods[place], known[start : start + self._most])
                if slot:
                    await self._predict(client, self._pods[place], slot, end)
                if slot or known:
                    self._last[place] = await self._scrape(client, self._pods[place])
                file.writelines(each.replace("%s", str(end)) for each in self._last)
        file.write("# EOF\n")

    async def _predict(self, client: aiohttp.ClientSession, pod: Pod, slot: list[tuple[bytes, Any]], end: int) -> None:
        left, known = iter(slot), self._known.setdefault(end + DAY, [])

        async def ask() -> None:
            for body, outcome in left:
                async with client.post(f"{pod.address}/predict?prediction_ids=true", data=body) as response:
                    answer = json.loads(await response.read())
                self.requests, self.refused = self.requests + 1, self.refused + (response.status != 200)
                ids = answer.get("prediction_ids")
                if ids is None and (response.status == 200 or answer["error"]["field"] == "prediction_ids"):
                    raise Refusal(f"{pod.name} answers without prediction ids ({str(answer)[:200]}); report it.")
                if outcome is not None and ids:
                    known.extend({"prediction_id": each, "outcome": outcome} for each in ids)

        await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))

    async def _tell(self, client: aiohttp.ClientSession, pod: Pod, outcomes: list[dict[str, Any]]) -> None:
        async with client.post(f"{pod.address}/feedback", json={"feedback": outcomes}) as response:
            if response.status != 200:
                raise Refusal(f"the service refuses outcomes of its answers ({await response.text()}); report it.")

    async def _scrape(self, client: aiohttp.ClientSession, pod: Pod) -> str:
        """The samples that are wanted, with the labels of a scrape, and %s for the time."""
        async with client.get(f"{pod.address}/metrics") as response:
            lines = (await response.text()).splitlines()
        found = []
        for line in lines:
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            if name in self._names:
                more = LABELS.format(labels=f"{labels[:-1]}," if labels else "", job=self._job, pod=pod)
                found.append(f"{name}{{{more}}} {value} %s\n")
        return "".join(found)
