"""Bins of a column's values: quantiles of a number, the most frequent of anything else; and the bin of each value."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST, NAMES = 10, 30  # bins of numbers, and names that have a bin of their own


def choose(values: pl.Series) -> list[Any]:
    """At most nine rising edges, a bin holds above < value <= up_to; of text at most 30 names, most frequent first."""
    present = values.drop_nulls().alias("value")
    if values.dtype == pl.String:
        ranked = sorted(present.value_counts(name="rows").iter_rows(), key=lambda row: (-row[1], row[0]))
        return [name for name, _ in ranked[:NAMES]]
    ordered = (present.filter(present.is_finite()) if values.dtype.is_float() else present).sort()
    distinct, rows = ordered.unique(maintain_order=True), len(ordered)
    if len(distinct) <= MOST:  # a bin for each: quantiles would put a rare one together with its neighbour
        return distinct.to_list()[:-1]
    return sorted({ordered[place * rows // MOST - 1] for place in range(1, MOST)} - {distinct[-1]})


def places(values: pl.Series, chosen: list[Any]) -> NDArray[np.int64]:
    """The bin of each value [rows], of len(chosen) + 2: the last is null or NaN, of text the one before any other."""
    if values.dtype == pl.String:
        names = values.cast(pl.Enum(chosen), strict=False).to_physical().cast(pl.Int64).fill_null(len(chosen))
        return np.where(values.is_null(), len(chosen) + 1, names)
    whole = values.dtype.is_integer() and not values.null_count()  # those above 2^53 are no float
    numbers = values.to_numpy() if whole else values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    found = np.searchsorted(np.asarray(chosen, numbers.dtype), numbers, side="left")
    return np.where(np.isnan(numbers), len(chosen) + 1, found)
