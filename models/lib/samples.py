"""The rows of a window as the network gets them, and the slices that figures are given for."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.lib import config
from models.lib.tasks import task
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import polars as pl


def rows(model: config.Model, part: str) -> pl.DataFrame:
    """The raw rows of a part (train, valid or test) that have an outcome, in the data's order."""
    import polars as pl

    from data_schemas.lib import datasets

    parts, where = model.parts, f"{model.folder}/model.yaml: {model.parts.setting}"
    months = parts.months(part)
    if months is None:
        found = datasets.read_all(model.dataset)
    else:
        there = datasets.months(model.dataset)  # refuses a dataset that has none
        ends = (months[0], months[-1])  # refused where they are not there; a month between them may be one without rows
        found = datasets.read(model.dataset, [each for each in months if each in there or each in ends])
    if names := [name for each in parts.columns.values() for name in each]:
        nowhere = found.select(pl.all_horizontal(pl.col(name).is_null() for name in names)).to_series().sum()
        if nowhere:
            raise Refusal(
                f"{where}: {nowhere:,} rows of {model.dataset} have no {', '.join(names)}, so nothing says which part "
                "they are in; leave them out in source.py, or split by another column."
            )
    outcome = pl.col(model.target.column)
    known = outcome.is_not_null() & (outcome.is_not_nan() if found[model.target.column].dtype.is_float() else True)
    chosen = parts.select(found, part).filter(known)  # a row without one teaches nothing and judges nothing
    if not chosen.height:
        raise Refusal(f"{where}.{part}: holds no rows ({parts.span(part)}); choose some that the data has.")
    return chosen


def table(model: config.Model, part: str) -> pl.DataFrame:
    """The raw feature columns and `target`, as the task has it, of a part's rows, in the data's order."""
    found = rows(model, part).select(*model.features, task.of(model).column())
    if nulls := found["target"].null_count():
        wrong = f"{model.folder}/model.yaml: target: {nulls:,} rows of {model.span(part)} have no outcome that it names"
        raise Refusal(f"{wrong}; leave them out in source.py, or name what they have.")
    return found


def slices(model: config.Model, table: pl.DataFrame) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """(column, name, membership [rows]) of every slice of model.yaml that has rows; every row is in one per column."""
    found: list[tuple[str, str, pl.Series]] = []
    for column, edges in model.slices.items():
        values = table[column]
        if edges == "categories":
            found += [(column, str(name), values == name) for name in values.unique().sort().drop_nulls()]
        else:
            bins = [(f"{low:g} to {high:g}", (values >= low) & (values < high)) for low, high in pairwise(edges)]
            bins.append(("outside", (values < edges[0]) | (values >= edges[-1])))
            found += [(column, name, rows) for name, rows in bins]
        found.append((column, "null", values.is_null()))
    members = ((column, name, rows.fill_null(False).to_numpy()) for column, name, rows in found)
    return [each for each in members if each[2].any()]
