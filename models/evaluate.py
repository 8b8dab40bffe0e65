"""Measure the ONNX file, the thing that ships, on the test window: metrics with intervals, slices and curves."""

import argparse
from typing import Any

import numpy as np

from models.lib import alone, config, metrics, samples, scoring
from models.lib.tasks import task
from repo.lib.command import working
from repo.lib.files import sha256, write_json
from repo.lib.refusal import Refusal

KEYS = ("onnx", "rows", "level", "metrics", "slices", "reliability", "charts")


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    with working(f"evaluating {model.name}"):
        result = evaluate(model)
    write_json(model.build / "evaluation.json", result)
    behaviour = task.of(model)
    found = result["metrics"][behaviour.main]
    print(f"evaluate {model.name}: {behaviour.titles[behaviour.main]} {found['value']:.4f} ", end="")
    print(f"[{found['low']:.4f}, {found['high']:.4f}] on {result['rows']:,} rows of {model.span('test')}")
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
        may = "0 to 1" if behaviour.answer(None)["maximum"] == 1 else "what its task may answer"
        raise Refusal(
            f"{model.onnx} gives {behaviour.field} outside {may} or not finite; fix {model.folder}/network.py."
        )
    counts = metrics.resamples(len(values))
    every = behaviour.metrics.items()

    def measured(rows: Any) -> dict[str, Any]:
        return {name: metrics.interval(metric(target[rows], values[rows], counts[:, rows])) for name, metric in every}

    return {
        "onnx": sha256(model.onnx),
        "rows": len(values),
        "level": behaviour.level(target),
        "spread": round(float(target.std()), metrics.DIGITS),
        "trivial": round(behaviour.trivial(target), metrics.DIGITS),
        "metrics": measured(slice(None)),
        "slices": [
            {"column": column, "slice": name, "rows": int(rows.sum()), "level": behaviour.level(target[rows])}
            | measured(rows)
            for column, name, rows in samples.slices(model, table)
        ],
        "alone": alone.strongest(model, table, target),
    } | behaviour.figures(target, values, counts)
