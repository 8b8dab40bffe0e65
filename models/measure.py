"""Measure what depends on the machine: latency of the ONNX file, and its distance from the network it came from."""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from models.lib import champion, columns, config, lock, plugin, samples, scoring
from repo.lib.command import working
from repo.lib.files import sha256, write_json
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import onnxruntime
    import polars as pl
    from numpy.typing import NDArray

PARITY_ROWS = 10_000
BATCHES = {"one_row": (1, 1000), "hundred_rows": (100, 300)}  # rows in a call, calls in a round
ROUNDS = 5
KEYS = ("onnx", "size_mb", "latency", "parity", "slow_ms")
# Shares of the latency budget at which every served histogram has a bound (serving/runtime/telemetry.py).
BOUNDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 3, 5, 10, 50)
SLOW = 90  # percentile of a call above which it is slow
AROUND_MS = 0.5  # of a request, beside the call: what a first model without a champion is given


def main(options: argparse.Namespace) -> int:
    return run(config.load(options.model))


def run(model: config.Model) -> int:
    lock.refuse_stale(model.name)
    with working(f"measuring {model.name}"):
        result = measure(model)
    write_json(model.build / "measured.json", result)
    one, hundred = (result["latency"][name]["p99_ms"] for name in BATCHES)
    print(
        f"measure {model.name}: p99 of a call's processor time {one:.3f} ms for 1 row, {hundred:.3f} ms for 100; "
        f"largest difference from the network {result['parity']['largest_difference']:.1e}"
    )
    return 0


def measure(model: config.Model) -> dict[str, Any]:
    """Never part of dvc.lock: two machines measure two things of the same bytes."""
    table = samples.table(model, "test").drop("target")
    return {
        "latency": latency(model, table),  # first: it refuses a missing file
        "onnx": sha256(model.onnx),
        "size_mb": round(model.onnx.stat().st_size / 1e6, 4),
        "parity": parity(model, table),
        "slow_ms": slow_ms(model, table),
    }


def slow_ms(model: config.Model, table: pl.DataFrame) -> float:
    """Above how many milliseconds a request to this model is slow: the champion's bound and what a call takes more.

    Both are timed on this machine, round by round, so a slow machine makes both slow. The answer is the next bound that
    the served histogram has.
    """
    standing = champion.find(model)
    ours = scoring.session(model.onnx)
    if standing is None or "slow_ms" not in standing.served:
        return _bound(model, slowest(ours, table) + AROUND_MS)
    theirs = scoring.session(champion.blob(model, standing.onnx)[0])
    rounds = [(slowest(ours, table), slowest(theirs, table)) for _ in range(ROUNDS)]
    more = min(now for now, _ in rounds) - min(before for _, before in rounds)
    return _bound(model, max(float(standing.served["slow_ms"]) + more, 0.0))


def slowest(runtime: onnxruntime.InferenceSession, table: pl.DataFrame) -> float:
    """Milliseconds of processor time that nine in ten calls with one row keep."""
    import numpy as np

    feeds = [scoring.feed(runtime, table.slice(row, 1)) for row in range(min(50, table.height))]
    _time(runtime, feeds, 100)  # warm
    return float(np.percentile(_time(runtime, feeds, 500), SLOW))


def _bound(model: config.Model, milliseconds: float) -> float:
    budget = model.serving.latency_budget_ms
    found = [budget * share for share in BOUNDS if budget * share >= milliseconds]
    return round(found[0] if found else budget * BOUNDS[-1], 6)


def latency(model: config.Model, table: pl.DataFrame) -> dict[str, Any]:
    """p50 and p99 in milliseconds of one call on one thread, on real rows; of five rounds the calmest.

    Timed by the thread's processor clock: what a call takes on an idle core. The wall clock would judge the neighbours.
    """
    import numpy as np

    runtime = scoring.session(model.onnx)
    found = {}
    for name, (rows, calls) in BATCHES.items():
        places = [range(start * rows, (start + 1) * rows) for start in range(min(50, max(1, table.height // rows)))]
        feeds = [scoring.feed(runtime, table[[row % table.height for row in each]]) for each in places]
        gc.collect()
        rounds = [_time(runtime, feeds, calls) for _ in range(1 + ROUNDS)][1:]  # the first one warms up
        p50, p99 = min((np.percentile(taken, [50, 99]) for taken in rounds), key=lambda pair: pair[1])
        found[name] = {"p50_ms": round(float(p50), 4), "p99_ms": round(float(p99), 4), "calls": calls}
    return found


def _time(runtime: onnxruntime.InferenceSession, feeds: list[dict[str, NDArray[Any]]], calls: int) -> list[float]:
    """Milliseconds of processor time, one a call."""
    taken = []
    for call in range(calls):
        start = time.thread_time_ns()
        runtime.run(None, feeds[call % len(feeds)])
        taken.append((time.thread_time_ns() - start) / 1e6)
    return taken


def parity(model: config.Model, table: pl.DataFrame) -> dict[str, Any]:
    """The largest difference of scores between network and file, on real rows of which a third are disturbed.

    In a third of the rows one column after the other is null, where its contract allows that, or, if it is a name, a
    name that training never saw. `worst` is what the row of the largest difference has of these.
    """
    import numpy as np

    from data_schemas.lib import datasets

    schema = datasets.schema(model.dataset).to_schema().columns
    whole = table.sample(PARITY_ROWS, with_replacement=table.height < PARITY_ROWS, seed=0)
    rows = disturbed(whole, [name for name in table.columns if not schema[name].nullable])
    fitted = plugin.load(model)
    with plugin.guarded(model):
        network = np.asarray(fitted.predict(columns.FRAMES[model.frame](rows)))
    found = scoring.scores(scoring.session(model.onnx), rows)
    path = model.folder / "network.py"
    if found.shape != network.shape:
        raise Refusal(f"{path}: predict() gives {network.shape}, and the file {found.shape}; fix it.")
    apart = np.abs(found - network).reshape(rows.height, -1).max(axis=1)
    largest, worst = float(apart.max()), int(apart.argmax())  # NaN if there is one
    planted = [name for name in table.columns if rows.item(worst, name) != whole.item(worst, name)]
    named = (
        f"{planted[0]} {'null' if rows.item(worst, planted[0]) is None else 'unknown'}" if planted else "a row as it is"
    )
    if not math.isfinite(largest):
        raise Refusal(f"{path}: {named} gives an answer that is not finite; fix it.")
    return {"rows": rows.height, "largest_difference": largest, "worst": named}


def disturbed(table: pl.DataFrame, filled: Collection[str] = ()) -> pl.DataFrame:
    """The table with nulls and unknown names in a third of its rows, every column in turn; no nulls in `filled`.

    Nor in whole numbers: they cannot carry NaN into the file, and the contract of a request forbids null there.
    """
    import polars as pl

    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    names = [name for name, kind in table.schema.items() if name in texts or not (kind.is_integer() or name in filled)]
    place = pl.int_range(pl.len()) % (6 * max(1, len(names)))
    columns = []
    for turn, name in enumerate(names):
        other = pl.lit("never seen") if name in texts else pl.lit(None)
        first = other if name in filled else pl.lit(None)
        columns.append(pl.when(place == 6 * turn).then(first).when(place == 6 * turn + 3).then(other).otherwise(name))
    return table.with_columns(column.alias(name) for name, column in zip(names, columns, strict=True))
