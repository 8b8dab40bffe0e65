"""Measure the ONNX file, the thing that ships, on the test window: metrics with intervals, slices and curves."""

import argparse
from typing import Any

import numpy as np

from models.lib import alone, config, drift, importance, metrics, samples, scoring
from models.lib.tasks import task
from models.lib.tasks.task import BINS
from repo.lib.command import working
from repo.lib.files import sha256, write_json
from repo.lib.refusal import Refusal

KEYS = ("onnx", "rows", "level", "metrics", "slices", "reliability", "charts", "importance", "answers")
LABELS = 300  # of a window, below which its metric says little; so says the rule of ModelQuality


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    with working(f"evaluating {model.name}"):
        result = evaluate(model)
    write_json(model.build / "evaluation.json", result)
    behaviour = task.of(model)
    found = result["metrics"][behaviour.main]
    print(f"evaluate {model.name}: {behaviour.titles[behaviour.main]} {found['value']:.4g} ", end="")
    print(f"[{found['low']:.4g}, {found['high']:.4g}] on {result['rows']:,} rows of {model.span('test')}")
    return 0


def evaluate(model: config.Model) -> dict[str, Any]:
    """Everything about the file's answers that is the same on every machine; timings are the verb `measure`'s."""
    behaviour, table = task.of(model), samples.rows(model, "test")
    target = samples.table(model, "test")["target"].to_numpy().astype(np.float64)
    if why := behaviour.measurable(target):
        raise Refusal(f"{model.folder}/model.yaml: the test rows ({model.span('test')}) {why}; choose others.")
    runtime = scoring.session(model.onnx)
    values = scoring.scores(runtime, table)
    if not behaviour.in_range(values):
        may = f"{behaviour.field} outside {'0 to 1' if behaviour.bounds[1] else 'what its task may answer'}"
        raise Refusal(f"{model.onnx} gives {may} or not finite; fix {model.folder}/network.py.")
    counts = metrics.resamples(len(values))

    def measured(rows: Any) -> dict[str, Any]:
        given = target[rows], values[rows], counts[:, rows]
        return {name: metrics.interval(metric(*given)) for name, metric in behaviour.metrics.items()}

    train, edges = samples.rows(model, "train"), scoring.note(runtime, "edges")
    fitted, times = scoring.scores(runtime, train), drift.Times.of(model, train)
    known = drift.reference(behaviour.bins(fitted, edges), BINS, 0, times)
    return {
        "onnx": sha256(model.onnx),
        "rows": len(values),
        "level": behaviour.level(target),
        "spread": metrics.rounded(target.std()),
        "trivial": metrics.rounded(behaviour.trivial(target)),
        "metrics": measured(slice(None)),
        "slices": [
            {"column": column, "slice": name, "rows": int(rows.sum()), "level": behaviour.level(target[rows])}
            | measured(rows)
            for column, name, rows in samples.slices(model, table)
        ],
        "alone": alone.strongest(model, table, target),
        "importance": importance.measure(behaviour, runtime, table, target, values),
        "answers": {"rows": train.height, "fall": fall(behaviour, behaviour.target(train), fitted, times)} | known,
    } | behaviour.figures(target, values, counts)


def fall(behaviour: task.Task, target: Any, values: Any, times: drift.Times) -> float | None:
    """How much worse the main metric was in training's worst seven days than in all of it; None without such windows.

    Rows of a day succeed and fail together, so weeks differ by more than an interval of independent rows says.
    """
    name = behaviour.main

    def measured(rows: Any) -> float:
        found = behaviour.metrics[name](target[rows], values[rows], np.ones((1, len(target[rows])), np.float32))
        return behaviour.sign(name) * float(found[0])

    windows = [] if "7d" in times.silent else [rows for rows in times.rows("7d") if len(rows) >= LABELS]
    lows = [low for low in map(measured, windows) if np.isfinite(low)]
    return metrics.rounded(max(0.0, measured(slice(None)) - min(lows))) if lows else None
