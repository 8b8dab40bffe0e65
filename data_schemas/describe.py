"""What a dataset's columns hold, as counts by bin: `python -m data_schemas describe flights --last 2013-06`."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from data_schemas.lib import bins, datasets
from repo.lib import files


def main(options: argparse.Namespace) -> int:
    dataset = options.dataset
    asked = options.first or options.last
    parts = datasets.months(dataset, options.first, options.last) if asked else datasets.parts(dataset)
    span = {"dataset": dataset, "first": parts[0], "last": parts[-1]}
    profile = span | distributions(dataset, datasets.read(dataset, parts))
    output = Path(options.output or datasets.build(dataset) / "profile.json")
    files.write_json(output, profile)
    table = Table("column", "unit", *(Column(heading, justify="right") for heading in ("bins", "nulls")), "shape")
    for name, column in profile["columns"].items():
        shares = np.array(column["counts"]) / max(1, profile["rows"])
        bars = "".join("▁▂▃▄▅▆▇█"[min(7, int(share * 16))] for share in shares[:-1])
        table.add_row(name, column["unit"] or "", str(len(bars)), f"{shares[-1]:.1%}", bars)
    console = Console()
    console.print(table)
    months = "one table" if parts == [datasets.WHOLE] else " to ".join(dict.fromkeys((parts[0], parts[-1])))
    console.print(f"{dataset}: {profile['rows']:,} rows, {months}.")
    console.print(Text(f"profile: {output}", style="dim"), soft_wrap=True)
    return 0


def distributions(dataset: str, table: pl.DataFrame) -> dict[str, Any]:
    """Bins (lib/bins.py) and counts of each column but dates; of a personal one there are none. The last count is of
    nulls, of text the one before of all names that have no bin."""
    columns, hidden = dict[str, dict[str, Any]](), datasets.personal(dataset)
    for name, column in datasets.schema(dataset).to_schema().columns.items():
        values = table[name]
        if not values.dtype.is_temporal():
            numbers = values.dtype.is_integer() or values.dtype.is_float()
            values = values if numbers else values.cast(pl.String)
            chosen = [] if name in hidden else bins.choose(values)
            counts = np.bincount(bins.places(values, chosen), minlength=len(chosen) + 2).tolist()
            columns[name] = {"bins": chosen, "counts": counts, "unit": (column.metadata or {}).get("unit")}
    return {"rows": table.height, "columns": columns}
