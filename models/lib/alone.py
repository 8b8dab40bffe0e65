"""What each feature gives away of the target by itself, on rows that it was not learnt from.

A feature that scores alone as a model does is the target in other clothes: known only afterwards, or made from it.
Numbers are cut into quantile bins of the training rows, text into its values; each bin answers its own mean outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.lib import config, metrics, samples
from models.lib.tasks import task

if TYPE_CHECKING:
    import polars as pl

BINS = 50  # quantiles of a number
MOST = 5  # features that are reported
ROWS = 200_000  # of the training rows, the last ones


def strongest(model: config.Model, rows: pl.DataFrame, target: metrics.Floats) -> list[dict[str, Any]]:
    """The features that score highest alone, by `scale` of the task; `rows` and `target` are those of the test part."""
    behaviour, train = task.of(model), samples.table(model, "train").tail(ROWS)
    known = train["target"].to_numpy().astype(np.float64)
    once = np.ones((1, len(target)), np.float32)
    found: list[dict[str, Any]] = []
    for name in model.features:
        codes, fresh = _codes(train[name], rows[name])
        value = behaviour.metrics[behaviour.scale](target, behaviour.alone(codes, known, fresh), once)[0]
        if np.isfinite(value):
            found.append({"feature": name, "value": round(float(value), 4)})
    return sorted(found, key=lambda each: float(each["value"]), reverse=True)[:MOST]


def _codes(train: pl.Series, fresh: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bins 0..n of both; null has one of its own, and so has all that training has not seen."""
    import polars as pl

    if train.dtype.is_numeric():
        before, after = (each.cast(pl.Float64).fill_null(np.nan).to_numpy() for each in (train, fresh))
        present = before[np.isfinite(before)]
        edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS)) if len(present) else np.empty(0)
        return tuple(
            np.where(np.isnan(x), len(edges) + 1, np.searchsorted(edges, x, side="right")) for x in (before, after)
        )  # type: ignore[return-value]
    values = train.cast(pl.String).unique(maintain_order=True)
    places = pl.Series(range(len(values)), dtype=pl.Int64)
    before, after = (
        each.cast(pl.String).replace_strict(values, places, default=len(values), return_dtype=pl.Int64).to_numpy()
        for each in (train, fresh)
    )
    return before, after
