"""Measure the ONNX file, the thing that ships, on the test window: metrics with intervals, slices and curves."""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.lib import config, metrics, samples, scoring
from repo.lib.command import working
from repo.lib.files import sha256, write_json
from repo.lib.refusal import Refusal

KEYS = ("onnx", "rows", "positive_rate", "metrics", "slices", "reliability", "roc", "histogram")


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    with working(f"evaluating {model.name}"):
        result = evaluate(model)
    write_json(model.build / "evaluation.json", result)
    auc = result["metrics"]["roc_auc"]
    print(f"evaluate {model.name}: ROC AUC {auc['value']:.4f} [{auc['low']:.4f}, {auc['high']:.4f}] ", end="")
    print(f"on {result['rows']:,} rows of {model.windows.test}")
    return 0


def evaluate(model: config.Model) -> dict[str, Any]:
    """Everything about the file's scores that is the same on every machine; timings are the verb `measure`'s."""
    from data_schemas.lib import datasets

    table = datasets.read(model.dataset, model.windows.test.months())
    if not table.height:
        raise Refusal(f"{model.folder}/model.yaml: windows.test: holds no rows; choose months that the data has.")
    target = samples.target(model, table)
    if target.min() == target.max():
        raise Refusal(f"{model.folder}/model.yaml: windows.test: has one outcome only, on which nothing is measured.")
    score = scoring.scores(scoring.session(model.onnx), samples.table(model, model.windows.test))
    if not np.isfinite(score).all() or score.min() < 0 or score.max() > 1:
        raise Refusal(f"{model.onnx} gives scores outside 0 to 1 or not finite; fix {model.folder}/network.py.")
    counts = metrics.resamples(len(score))
    return {
        "onnx": sha256(model.onnx),
        "rows": len(score),
        "positive_rate": round(float(target.mean()), metrics.DIGITS),
        "base_log_loss": round(_entropy(float(target.mean())), metrics.DIGITS),
        "metrics": _measure(target, score, counts),
        "slices": [
            {"column": column, "slice": name, "rows": int(rows.sum()), "positive_rate": _rate(target[rows])}
            | _measure(target[rows], score[rows], counts[:, rows])
            for column, name, rows in samples.slices(model, table)
        ],
        "labelled_positive": _rate((score >= model.serving.threshold).astype(np.float64)),
    } | _curves(target, score)


def _measure(target: metrics.Floats, score: metrics.Floats, counts: NDArray[np.float32]) -> dict[str, Any]:
    return {name: metrics.interval(metric(target, score, counts)) for name, metric in metrics.METRICS.items()}


def _curves(target: metrics.Floats, score: metrics.Floats) -> dict[str, Any]:
    """Reliability per bin, the ROC curve at 101 false positive rates and the score histogram per outcome."""
    bins = metrics.score_bin(score)
    order = np.argsort(-score, kind="stable")
    hits = np.r_[0, np.cumsum(target[order])] / max(target.sum(), 1)
    alarms = np.r_[0, np.cumsum(1 - target[order])] / max((1 - target).sum(), 1)
    grid = np.linspace(0, 1, 101)
    edges = np.linspace(0, 1, 41)
    return {
        "reliability": [
            {"bin": place, "rows": int((bins == place).sum()), "score": _rate(score[bins == place])}
            | {"outcome": _rate(target[bins == place])}
            for place in range(metrics.BINS)
        ],
        "roc": {
            "false_positive_rate": [round(float(each), 2) for each in grid],
            "true_positive_rate": [round(float(each), 4) for each in np.interp(grid, alarms, hits)],
        },
        "histogram": {
            "edges": [round(float(each), 3) for each in edges],
            "positive": np.histogram(score[target == 1], edges)[0].tolist(),
            "negative": np.histogram(score[target == 0], edges)[0].tolist(),
        },
    }


def _rate(values: metrics.Floats) -> float | None:
    return round(float(values.mean()), metrics.DIGITS) if len(values) else None


def _entropy(rate: float) -> float:
    """Log-loss in nats of always answering the base rate."""
    return -sum(p * float(np.log(p)) for p in (rate, 1 - rate) if p > 0)
