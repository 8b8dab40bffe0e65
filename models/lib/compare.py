"""Candidate against champion on the same rows: every metric, and ROC AUC of every slice, with paired intervals.

`python -m models gates flight_delay` writes it to build/comparison.json.
"""

from typing import Any

import numpy as np

from models.lib import config, metrics, samples, scoring
from repo.lib.refusal import Refusal

KEYS = ("champion", "fault", "metrics", "slices", "shift")
NONE: dict[str, Any] = {key: {} if key == "metrics" else [] if key == "slices" else None for key in KEYS}  # no champion
MOST, LEAST_ROWS = 5, 200  # slices that a table of changes names, and the rows of each at least


def compare(model: config.Model, champion: bytes, threshold: float | None = None) -> dict[str, Any]:
    """The champion's figures, and the candidate's minus them with the 95 % interval of a paired bootstrap.

    The champion reads its own inputs from the dataset, so the two may have different features. `threshold` is the one
    by which it labels (default: the candidate's).
    """
    from data_schemas.lib import datasets

    table = datasets.read(model.dataset, model.windows.test.months())
    target = samples.target(model, table)
    counts = metrics.resamples(table.height)
    ours, theirs = (scoring.scores(scoring.session(source), table) for source in (model.onnx, champion))
    if not np.isfinite(theirs).all() or theirs.min() < 0 or theirs.max() > 1:  # evaluate has looked at the candidate's
        raise Refusal(
            "the champion gives scores outside 0 to 1 or not finite on the test window; choose another window, or say "
            "in model.yaml why gates.champion is off."
        )

    def figures(name: str, rows: Any = slice(None)) -> dict[str, Any]:
        drawn = counts[:, rows]
        candidate, before = (metrics.METRICS[name](target[rows], score[rows], drawn) for score in (ours, theirs))
        return {"champion": metrics.interval(before)["value"], "difference": metrics.interval(candidate - before)}

    return {
        "size_mb": round(len(champion) / 1e6, 4),
        "metrics": {name: figures(name) for name in metrics.METRICS},
        "slices": [
            {"column": column, "slice": name} | figures("roc_auc", rows)
            for column, name, rows in samples.slices(model, table)
        ],
        "shift": shift(model, table, theirs, ours, threshold),
    }


def shift(
    model: config.Model, table: Any, before: metrics.Floats, now: metrics.Floats, threshold: float | None
) -> dict[str, Any]:
    """What callers will notice: labels that change, labels positive, scores by tenth, the slices that change most."""
    ours = model.serving.threshold
    old, new = before >= (ours if threshold is None else threshold), now >= ours

    def rates(rows: Any) -> dict[str, Any]:
        changed, positive = (old != new)[rows].mean(), [old[rows].mean(), new[rows].mean()]
        digits = metrics.DIGITS
        return {
            "labels": round(float(changed), digits),
            "positive": [round(float(share), digits) for share in positive],
        }

    listed: list[dict[str, Any]] = [
        {"column": column, "slice": name, "rows": int(rows.sum())} | rates(rows)
        for column, name, rows in samples.slices(model, table)
        if rows.sum() >= LEAST_ROWS
    ]
    bins = [np.bincount(metrics.score_bin(scores), minlength=metrics.BINS).tolist() for scores in (before, now)]
    most = sorted(listed, key=lambda each: -each["labels"])[:MOST]
    return rates(slice(None)) | {"bins": bins, "slices": most}
