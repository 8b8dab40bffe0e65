"""What each feature gives away of the target by itself, on rows that it was not learnt from.

A feature that scores alone as a model does is the target in other clothes: known only afterwards, or made from it.
Numbers are cut into quantiles of the training rows, coarse and fine, text into its values; each answers its
mean outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from data_schemas.lib import bins
from models.lib import config, metrics, samples
from models.lib.tasks import task

if TYPE_CHECKING:
    import polars as pl

BINS = 50  # quantiles of a number
FEW = 2  # rows in the finest ones: of a target with a long tail the last of 50 would hide a copy
MOST = 5  # features that are reported
ROWS = 200_000  # of the training rows, the last ones


def strongest(model: config.Model, rows: pl.DataFrame, target: metrics.Floats) -> list[dict[str, Any]]:
    """The features that score highest alone, by `scale` of the task; `rows` and `target` are those of the test part."""
    behaviour, train = task.of(model), samples.table(model, "train").tail(ROWS)
    known = train["target"].to_numpy().astype(np.float64)
    once = np.ones((1, len(target)), np.float32)
    found: list[dict[str, Any]] = []
    for name in model.features:
        numbers = train[name].dtype.is_numeric()
        cuts = [bins.choose(train[name], many) for many in ((BINS, len(known) // FEW) if numbers else (None,))]
        coded = ((bins.places(train[name], each), bins.places(rows[name], each)) for each in cuts)
        values = (behaviour.alone(codes, known, fresh) for codes, fresh in coded)
        scores = [float(behaviour.metrics[behaviour.scale](target, each, once)[0]) for each in values]
        if np.isfinite(scores).any():
            found.append({"feature": name, "value": round(float(np.nanmax(scores)), 4)})
    return sorted(found, key=lambda each: float(each["value"]), reverse=True)[:MOST]
