"""Measure what depends on the machine: latency of the ONNX file, and its distance from the network it came from.

python -m models measure flight_delay
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import TYPE_CHECKING, Any

from data_schemas.command import Refusal
from data_schemas.files import sha256, write_json
from models import config, scoring, train

if TYPE_CHECKING:
    import polars as pl

PARITY_ROWS = 10_000
BATCHES = {"one_row": (1, 3000), "hundred_rows": (100, 600)}  # rows in a call, calls


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    result = measure(model)
    write_json(model.build / "measured.json", result)
    one, hundred = result["latency"]["one_row"], result["latency"]["hundred_rows"]
    print(
        f"measure {model.name}: p99 {one['p99_ms']:.3f} ms for one row, {hundred['p99_ms']:.3f} ms for 100 rows; ",
        end="",
    )
    print(f"largest difference from the network {result['parity']['largest_difference']:.1e}")
    return 0


def measure(model: config.Model) -> dict[str, Any]:
    """Never part of dvc.lock: two machines measure two things of the same bytes."""
    table = train.table(model, model.windows.test).drop("target")
    return {
        "onnx": sha256(model.onnx),
        "size_mb": round(model.onnx.stat().st_size / 1e6, 4),
        "latency": latency(model, table),
        "parity": parity(model, table),
    }


def latency(model: config.Model, table: pl.DataFrame) -> dict[str, Any]:
    """p50 and p99 in milliseconds of one call on one thread, on real rows."""
    import numpy as np

    runtime = scoring.session(model.onnx)
    found = {}
    for name, (rows, calls) in BATCHES.items():
        feeds = [
            scoring.feed(runtime, table.slice(start * rows, rows)) for start in range(min(50, table.height // rows))
        ]
        if not feeds:
            raise Refusal(f"{model.folder}/model.yaml: windows.test: has under {rows} rows, too few to time; widen it.")
        for each in feeds:
            runtime.run(None, each)
        gc.collect()
        taken = []
        for call in range(calls):
            start = time.perf_counter()
            runtime.run(None, feeds[call % len(feeds)])
            taken.append(1e3 * (time.perf_counter() - start))
        p50, p99 = np.percentile(taken, [50, 99])
        found[name] = {"p50_ms": round(float(p50), 4), "p99_ms": round(float(p99), 4), "calls": calls}
    return found


def parity(model: config.Model, table: pl.DataFrame) -> dict[str, Any]:
    """The largest difference of scores between network and file, on real rows of which a third are disturbed.

    In a third of the rows one column after the other is null, or, if it is a name, a name that training never saw.
    """
    import numpy as np

    native = model.build / "native"
    if not native.is_dir():
        raise Refusal(f"{native} is missing; make it with `python -m models run {model.name}`.")
    rows = disturbed(table.sample(PARITY_ROWS, with_replacement=table.height < PARITY_ROWS, seed=0))
    network = train.network(model).load(native).predict(rows)
    difference = np.abs(scoring.scores(scoring.session(model.onnx), rows) - network)
    # max() of an array with NaN is NaN, which no limit lets pass
    return {"rows": rows.height, "largest_difference": float(difference.max())}


def disturbed(table: pl.DataFrame) -> pl.DataFrame:
    """The table with nulls and unknown names in a third of its rows, every column in turn."""
    import polars as pl

    place = pl.int_range(pl.len()) % (6 * len(table.columns))
    columns = []
    for turn, (name, kind) in enumerate(table.schema.items()):
        column = pl.when(place == 6 * turn).then(None).otherwise(pl.col(name))
        if kind == pl.String:
            column = pl.when(place == 6 * turn + 3).then(pl.lit("never seen")).otherwise(column)
        elif kind.is_float():
            column = pl.when(place == 6 * turn + 3).then(None).otherwise(column)
        else:  # whole numbers cannot carry NaN into the file; the contract of every request forbids null there
            column = pl.col(name)
        columns.append(column.alias(name))
    return table.select(columns)
