"""The raw columns of a model, and the tensors that a network is given of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from repo.lib.files import read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

Kind = Literal["string", "integer", "number"]


@dataclass(frozen=True)
class Columns:
    """Every feature in the order of the file's inputs, and the names in its text columns that training saw.

    A name's id is its place in `vocabulary`, from 1; every other name, null and the empty text have id 0.
    Tables are of polars or pandas.
    """

    kinds: dict[str, Kind]
    vocabulary: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Any) -> Columns:
        """Those of a table of training: all but `target`, text with its names in order."""
        table = to_polars(table)
        kinds = {name: _kind(kind) for name, kind in table.schema.items() if name != "target"}
        seen = {name: table[name].drop_nulls().unique().sort().to_list() for name in kinds if kinds[name] == "string"}
        return cls(kinds, {name: [each for each in names if each] for name, names in seen.items()})

    @property
    def numbers(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind != "string"]

    @property
    def sizes(self) -> list[int]:
        """How many ids each text column has, the one for unknown names included."""
        return [len(known) + 1 for known in self.vocabulary.values()]

    def ids(self, table: Any) -> NDArray[np.int64]:
        """int64 [rows, text columns]."""
        import numpy as np
        import polars as pl

        table, ids = to_polars(table), np.zeros((len(table), len(self.vocabulary)), dtype=np.int64)
        for place, (name, known) in enumerate(self.vocabulary.items()):
            places = {value: number for number, value in enumerate(known, 1)}
            if known:  # otherwise nothing is known
                ids[:, place] = table[name].replace_strict(places, default=0, return_dtype=pl.Int64).to_numpy()
        return ids

    def floats(self, table: Any) -> NDArray[np.float32]:
        """float32 [rows, numbers], row by row in memory, NaN for null."""
        import numpy as np
        import polars as pl

        numbers = to_polars(table).select(pl.col(self.numbers).cast(pl.Float32).fill_null(math.nan))
        return np.ascontiguousarray(numbers.to_numpy() if self.numbers else np.zeros((len(table), 0)), dtype=np.float32)

    def matrix(self, table: Any) -> NDArray[np.float32]:
        """float32 [rows, columns]: ids, then numbers; the input of boosters."""
        import numpy as np

        return np.hstack([self.ids(table).astype(np.float32), self.floats(table)])

    def save(self, folder: Path, **more: Any) -> None:
        """Write `model.json`, with whatever else describes the model."""
        described = {"columns": list(self.kinds.items()), "vocabulary": list(self.vocabulary.items())}
        write_json(folder / "model.json", described | more)  # lists: sorted keys would lose the order

    @classmethod
    def load(cls, folder: Path) -> tuple[Columns, dict[str, Any]]:
        """What `save` wrote: the columns, and what else describes the model."""
        described = read_json(folder / "model.json", f"python -m models run {folder.parent.name}")
        return cls(dict(described.pop("columns")), dict(described.pop("vocabulary"))), described


def _kind(kind: pl.DataType) -> Kind:
    import polars as pl

    if kind == pl.String:
        return "string"
    return "integer" if kind.is_integer() else "number"


def outputs(table: Any) -> int:
    """How many values a row's answer has, by the target of a table: classes; 1 for a yes or no, 0 for an amount."""
    target = to_polars(table)["target"]
    if not target.dtype.is_integer():
        return 0
    most = int(target.to_numpy().max(initial=1))
    return most + 1 if most > 1 else 1


def to_polars(table: Any) -> pl.DataFrame:
    """A table of polars as it is, one of pandas column by column, without pyarrow."""
    import polars as pl

    if isinstance(table, pl.DataFrame):
        return table
    columns = {}
    for name in table.columns:
        values = table[name].to_numpy()
        if values.dtype.kind in "fiub":
            columns[name] = pl.Series(name, values, nan_to_null=True)
        else:
            texts = [value if isinstance(value, str) else None for value in values]
            columns[name] = pl.Series(name, texts, dtype=pl.String)
    return pl.DataFrame(columns)


def to_pandas(table: Any) -> Any:
    """A table of pandas as it is, one of polars made without pyarrow.

    Text is `object`, NaN where null or empty, between which the file knows no difference: imputers and encoders of
    scikit-learn take NaN for missing, but None for a name. A column of whole numbers is int64, every other number
    float64 of the float32 that the file is given, NaN where null.
    """
    import pandas as pd
    import polars as pl

    if isinstance(table, pd.DataFrame):
        return table
    columns: dict[str, Any] = {}
    for name, kind in table.schema.items():
        column = table[name]
        if kind == pl.String:
            columns[name] = pd.Series([value or math.nan for value in column], dtype=object)
        elif kind.is_integer() and not column.null_count():
            columns[name] = column.cast(pl.Int64).to_numpy()
        elif name == "target":
            columns[name] = column.cast(pl.Float64).to_numpy()
        else:
            columns[name] = column.cast(pl.Float32).cast(pl.Float64).fill_null(math.nan).to_numpy()
    return pd.DataFrame(columns, copy=True)


FRAMES: dict[str, Callable[[Any], Any]] = {"polars": to_polars, "pandas": to_pandas}  # `frame:` of model.yaml
