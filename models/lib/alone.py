"""What each feature gives away of the target by itself, on rows that it was not learnt from.

A feature that scores alone as a model does is the target in other clothes: known only afterwards, or made from it.
Numbers are cut into quantiles of the training rows, coarse and fine, text into its values; each answers its
mean outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.lib import config, metrics, samples
from models.lib.tasks import task

if TYPE_CHECKING:
    import polars as pl

Codes = tuple[NDArray[np.int64], NDArray[np.int64]]  # groups of training rows, and of those that are judged
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
        cuts = (BINS, len(known) // FEW) if numbers else ()
        coded = [_bins(train[name], rows[name], many) for many in cuts] or [_names(train[name], rows[name])]
        values = (behaviour.alone(codes, known, fresh) for codes, fresh in coded)
        scores = [float(behaviour.metrics[behaviour.scale](target, each, once)[0]) for each in values]
        if np.isfinite(scores).any():
            found.append({"feature": name, "value": round(float(np.nanmax(scores)), 4)})
    return sorted(found, key=lambda each: float(each["value"]), reverse=True)[:MOST]


def _bins(train: pl.Series, fresh: pl.Series, many: int) -> Codes:
    """The quantile of training that a number is in, 0 to `many` - 1; null has a bin of its own."""
    import polars as pl

    before, after = (each.cast(pl.Float64).fill_null(np.nan).to_numpy() for each in (train, fresh))
    ranked = np.sort(before[np.isfinite(before)])  # np.quantile takes minutes for half as many quantiles as rows
    edges = np.unique(ranked[np.arange(1, many) * len(ranked) // many]) if len(ranked) else np.empty(0)
    before, after = (
        np.where(np.isnan(each), len(edges) + 1, np.searchsorted(edges, each, side="right")) for each in (before, after)
    )
    return before, after


def _names(train: pl.Series, fresh: pl.Series) -> Codes:
    """A number for each value; of one that training has not seen no row is known."""
    import polars as pl

    places = pl.concat([train, fresh]).cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return places[: len(train)], places[len(train) :]
