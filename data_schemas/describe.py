"""Reference distributions that drift is measured against: `python -m data_schemas describe flights --last 2013-06`."""

import argparse
import itertools
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from data_schemas.lib import datasets
from repo.lib import files

BINS = 10  # of a number, fewer where quantiles coincide
CATEGORIES = 20  # of a free text column, the most frequent; an allowed set is listed whole
OTHER = "other"


def main(options: argparse.Namespace) -> int:
    dataset = options.dataset
    asked = options.first or options.last
    parts = datasets.months(dataset, options.first, options.last) if asked else datasets.parts(dataset)
    profile = {
        "dataset": dataset,
        "window": {"first": parts[0], "last": parts[-1]} if parts != [datasets.WHOLE] else None,
        **distributions(dataset, datasets.read(dataset, parts)),
    }
    output = Path(options.output or datasets.build(dataset) / "profile.json")
    files.write_json(output, profile)
    console = Console()
    _show(profile, console)
    console.print(Text(f"profile: {output}", style="dim"), soft_wrap=True)
    return 0


def distributions(dataset: str, table: pl.DataFrame) -> dict[str, Any]:
    """The distribution of each column except dates, which drift by nature.

    Counts sum to the column's samples and ratios to 1; nulls stand apart as `null_rate`. A bin holds
    `above < value <= up_to`, null where it is open; NaN falls into the last.
    """
    schema = datasets.schema(dataset).to_schema()
    columns: dict[str, dict[str, Any]] = {}
    for name, column in schema.columns.items():
        if not table[name].dtype.is_temporal():
            sets = (each.statistics["allowed_values"] for each in column.checks if each.name == "isin")
            columns[name] = _column(table[name], next(map(datasets.listed, sets), None))
            columns[name]["unit"] = (column.metadata or {}).get("unit")
    return {"rows": table.height, "columns": columns}


def _column(values: pl.Series, allowed: list[Any] | None) -> dict[str, Any]:
    present = values.drop_nulls()
    if allowed is None and values.dtype.is_numeric():
        kind, parts = "number", _bins(present)
    else:
        kind, parts = "category", _categories(present.cast(pl.String), allowed)
    for part in parts:
        part["ratio"] = part["count"] / len(present) if len(present) else 0.0
    null_rate = values.null_count() / len(values) if len(values) else 0.0
    return {"kind": kind, "samples": len(present), "null_rate": null_rate, "bins": parts}


def _bins(present: pl.Series) -> list[dict[str, Any]]:
    """Quantile bins with open ends. Edges that coincide are one, and none leaves the last bin empty."""
    quantiles = (present.quantile(step / BINS, interpolation="lower") for step in range(1, BINS))
    edges = sorted({edge for edge in quantiles if edge not in (None, present.max())})
    bins: list[dict[str, Any]] = []
    for above, up_to in itertools.pairwise([None, *edges, None]):
        below = len(present) if up_to is None else int((present <= up_to).sum())
        bins.append({"above": above, "up_to": up_to, "count": below - sum(each["count"] for each in bins)})
    return bins


def _categories(present: pl.Series, allowed: list[Any] | None) -> list[dict[str, Any]]:
    """The categories, most frequent first (ties by name), and a bin for every other value, seen or not."""
    ranked = sorted(present.value_counts().iter_rows(), key=lambda row: (-row[1], row[0]))
    counts = dict(ranked if allowed is not None else ranked[:CATEGORIES])
    if allowed is not None:
        counts = {value: counts.get(value, 0) for value in map(str, allowed)}
    listed = [{"value": value, "count": count} for value, count in counts.items()]
    return [*listed, {"value": OTHER, "count": len(present) - sum(counts.values())}]


def _show(profile: dict[str, Any], console: Console) -> None:
    """One line a column: its bins as a strip of bars, tallest where most rows are."""
    numbers = (Column(heading, justify="right") for heading in ("bins", "nulls", "samples"))
    table = Table("column", "unit", *numbers, "shape")
    for name, column in profile["columns"].items():
        bars = "".join("▁▂▃▄▅▆▇█"[min(7, int(part["ratio"] * 16))] for part in column["bins"])
        nulls, samples = f"{column['null_rate']:.1%}", f"{column['samples']:,}"
        table.add_row(name, column["unit"] or "", str(len(column["bins"])), nulls, samples, bars)
    console.print(table)
    window = profile["window"]
    span = f"{window['first']} to {window['last']}" if window else "one table"
    console.print(f"{profile['dataset']}: {profile['rows']:,} rows, {span}.", soft_wrap=True)
