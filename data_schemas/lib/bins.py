"""Bins of a column's values: quantiles of a number, the most frequent of anything else; and the bin of each value."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST, NAMES = 10, 30  # bins of numbers, and names that have a bin of their own


def choose(values: pl.Series, most: int | None = MOST) -> list[Any]:
    """Rising edges of at most so many bins, which hold above < value <= up_to; of text 30 names, most frequent first.

    `most`: None stands for every name of a text.
    """
    present = values.drop_nulls().alias("value")
    if values.dtype == pl.String:
        ranked = sorted(present.value_counts(name="rows").iter_rows(), key=lambda row: (-row[1], row[0]))
        return [name for name, _ in ranked[: NAMES if most else None]]
    ordered = (present.filter(present.is_finite()) if values.dtype.is_float() else present).sort()
    distinct = ordered.unique(maintain_order=True)
    if most is None or len(distinct) <= most:  # a bin for each: quantiles would hide a rare one beside its neighbour
        return distinct.to_list()[:-1]
    chosen = ordered.gather(np.arange(1, most) * len(ordered) // most - 1).unique(maintain_order=True)
    return chosen.filter(chosen < distinct[-1]).to_list()


def places(values: pl.Series, chosen: list[Any]) -> NDArray[np.int64]:
    """The bin of each value [rows], of len(chosen) + 2: the last is null or NaN, of text the one before any other."""
    if values.dtype == pl.String:
        names = values.cast(pl.Enum(chosen), strict=False).to_physical().cast(pl.Int64).fill_null(len(chosen))
        return np.where(values.is_null(), len(chosen) + 1, names)
    whole = values.dtype.is_integer() and not values.null_count()  # those above 2^53 are no float
    numbers = values.to_numpy() if whole else values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    found = np.searchsorted(np.asarray(chosen, numbers.dtype), numbers, side="left")
    return np.where(np.isnan(numbers), len(chosen) + 1, found)


def unknown(values: pl.Series) -> int:
    """How many bins at the end are of null or, of text, of other names."""
    return 2 if values.dtype == pl.String else 1
