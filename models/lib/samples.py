"""The rows of a window as the network gets them, and the slices that figures are given for."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.lib import config

if TYPE_CHECKING:
    import polars as pl


def table(model: config.Model, window: config.Window) -> pl.DataFrame:
    """The raw feature columns and `target` (0 or 1) of a window's rows, in the data's order."""
    import polars as pl

    from data_schemas.lib import datasets

    rows = datasets.read(model.dataset, window.months())
    above = (pl.col(model.target.column) > model.target.above).cast(pl.Int8).alias("target")
    return rows.select(*model.features, above)


def target(model: config.Model, rows: pl.DataFrame) -> NDArray[np.float64]:
    """0 or 1 of every row [rows]."""
    return (rows[model.target.column] > model.target.above).to_numpy().astype(np.float64)


def slices(model: config.Model, table: pl.DataFrame) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """(column, name, membership [rows]) of every slice of model.yaml that has rows; every row is in one per column."""
    found = []
    for column, edges in model.slices.items():
        values = table[column]
        if edges == "categories":
            names = values.unique().sort().drop_nulls()
            found += [(column, str(name), (values == name).fill_null(False).to_numpy()) for name in names]
        else:
            for low, high in pairwise(edges):
                rows = ((values >= low) & (values < high)).fill_null(False).to_numpy()
                found.append((column, f"{low:g} to {high:g}", rows))
            outside = ((values < edges[0]) | (values >= edges[-1])).fill_null(False).to_numpy()
            found.append((column, "outside", outside))
        if values.null_count():
            found.append((column, "null", values.is_null().to_numpy()))
    return [each for each in found if each[2].any()]
