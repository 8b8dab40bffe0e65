"""What each feature is worth to a model: how much worse its answers are once the feature's values are shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.lib import metrics, scoring
from models.lib.tasks.task import Floats, Task

if TYPE_CHECKING:
    import onnxruntime
    import polars as pl

ROWS = 20_000  # of the test rows, evenly spaced, where there are more
DRAWS = 101  # resamples: enough to say on which side of 0 an interval lies
MATTERS = 0.05  # of the largest loss


def measure(
    behaviour: Task, runtime: onnxruntime.InferenceSession, rows: pl.DataFrame, target: Floats, values: Floats
) -> dict[str, dict[str, float | None]]:
    """Feature -> loss of the main metric with its 95 % interval, the rows drawn alike with and without a permutation.

    One permutation a feature, the same on every machine (L. Breiman, Random Forests, 2001).
    """
    chosen = np.unique(np.linspace(0, len(target) - 1, min(len(target), ROWS)).astype(np.int64))
    rows, target = rows[chosen], target[chosen]
    metric, counts = behaviour.metrics[behaviour.main], metrics.resamples(len(chosen))[:DRAWS]
    before, sign, found = metric(target, values[chosen], counts), behaviour.sign(behaviour.main), {}
    for place, name in enumerate(behaviour.model.features):
        order = np.random.Generator(np.random.PCG64(place)).permutation(len(chosen))
        shuffled = scoring.scores(runtime, rows.with_columns(rows[name][order]))
        found[name] = metrics.interval(sign * (before - metric(target, shuffled, counts)), before[0])
    return found


def matters(found: dict[str, dict[str, float | None]]) -> list[str]:
    """The features whose interval lies above 0 and whose loss is no trifle beside the largest, the largest first."""
    losses = {name: each["value"] or 0.0 for name, each in found.items() if (each["low"] or 0.0) > 0}
    least = MATTERS * max(losses.values(), default=0.0)
    return sorted((name for name, loss in losses.items() if loss >= least), key=lambda name: -losses[name])
