"""A model asked with rows that keep its dataset's contract, for tests that hold whatever its accuracy is.

`python -m models new` writes such tests into a model's folder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from data_schemas.lib import datasets
from models.lib import config, scoring
from models.lib.tasks import task

ROWS = 64


class Asked:
    """The file of a model and its features: all of them, those of text, and those that may be null."""

    def __init__(self, name: str) -> None:
        self.model = config.load(name)
        columns = datasets.schema(self.model.dataset).to_schema().columns
        self.columns = {feature: columns[feature] for feature in self.model.features}
        self.texts = [name for name, column in self.columns.items() if _kind(column) == pl.String]
        self.nullable = [name for name, column in self.columns.items() if column.nullable]
        self._runtime = scoring.session(self.model.onnx)

    def rows(self, many: int = ROWS) -> pl.DataFrame:
        """Rows drawn from the allowed values and ranges of the schema; the same ones every time."""
        dice = np.random.default_rng(0)
        drawn = {name: _values(column, dice, many) for name, column in self.columns.items()}
        return pl.DataFrame(drawn, {name: _kind(column) for name, column in self.columns.items()}, strict=False)

    def answer(self, rows: pl.DataFrame) -> task.Floats:
        """float64 [rows], or [rows, classes]; AssertionError for what the task may not answer."""
        values = scoring.scores(self._runtime, rows)
        assert len(values) == rows.height
        assert task.of(self.model).in_range(values), "an answer is not finite, or not one of the task"
        return values


def _kind(column: Any) -> Any:
    return getattr(column.dtype, "type", column.dtype)


def _values(column: Any, dice: np.random.Generator, many: int) -> list[Any]:
    """What the checks of a column allow; its example where they cannot be drawn from."""
    found: dict[str, Any] = {key: value for check in column.checks for key, value in (check.statistics or {}).items()}
    if "allowed_values" in found:
        allowed = list(found["allowed_values"])
        return [allowed[place] for place in dice.integers(0, len(allowed), many)]
    example = (column.metadata or {}).get("example")
    if _kind(column) == pl.String:
        return [example or "text"] * many
    low, high = found.get("min_value", example or 0), found.get("max_value", example or 1)
    values = dice.uniform(min(low, high), max(low, high), many)
    return [round(value) for value in values] if _kind(column).is_integer() else values.tolist()
