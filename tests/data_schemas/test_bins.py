"""Bins: few, by the values there are, and every value in exactly one."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from data_schemas.lib import bins


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        (pl.Series(range(100)), [9, 19, 29, 39, 49, 59, 69, 79, 89]),
        (pl.Series([0.0] * 95 + [1.0 + place for place in range(20)]), [0.0, 8.0]),  # quantiles that coincide are one
        (pl.Series([1] + [7] * 99), [1]),  # of few values each has its bin, however rare
        (pl.Series([2.5] * 9), []),
        (pl.Series([None, math.nan, math.inf], dtype=pl.Float64), []),
        (pl.Series([2**60 + place for place in range(3)]), [2**60, 2**60 + 1]),  # which no float tells apart
        (pl.Series(["b", "a", "a", "c", "b", None]), ["a", "b", "c"]),  # ties by name
        (pl.Series([f"{place:02}" for place in range(40)]), [f"{place:02}" for place in range(30)]),
        (pl.Series([None, None], dtype=pl.String), []),
    ],
)
def test_the_bins_of_a_column_follow_its_values(values: pl.Series, chosen: list[Any]) -> None:
    assert bins.choose(values) == chosen
    assert set(bins.places(values, chosen)) <= set(range(len(chosen) + 2))


def test_every_value_has_one_bin_and_the_last_is_null() -> None:
    numbers = pl.Series([-1.0, 0.0, 0.5, 1.0, 1.5, math.nan, None])
    assert bins.places(numbers, [0.0, 1.0]).tolist() == [0, 0, 1, 1, 2, 3, 3]
    big = pl.Series([2**60, 2**60 + 1, 2**60 + 2])
    assert bins.places(big, [2**60, 2**60 + 1]).tolist() == [0, 1, 2]
    assert bins.places(pl.Series(["b", "", "a", None]), ["a", "b"]).tolist() == [1, 2, 0, 3]
    assert bins.places(pl.Series(["b", None]), []).tolist() == [0, 1]
