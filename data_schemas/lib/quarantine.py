"""Rows that break the contract, set aside instead of stopping all others.

`QUARANTINE = 0.001` in a schema.py is the share of rows that may be left out; without it one row stops an ingest. What
is wrong with a file or a column as a whole, such as a missing column or another type, always does.
"""

from __future__ import annotations

from pathlib import Path

from data_schemas.lib import datasets
from repo.lib.refusal import Refusal

FILE = "quarantine.parquet"  # in the dataset's build folder


def share(dataset: str) -> float:
    """The share of rows that may be left out; 0 where the schema names none."""
    found = getattr(datasets.module(dataset, "schema"), "QUARANTINE", 0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1:
        path = datasets.folder(dataset) / "schema.py"
        raise Refusal(f"{path}: QUARANTINE is a share of rows, from 0 to below 1, not {found!r}; correct it.")
    return found


def sift(dataset: str, staged: Path) -> int:
    """Take the rows that break a rule out of the files of a folder, and say how many they are.

    Nothing is taken where something else is wrong, or where they are more than the share. They are written, with
    file, row, column and rule but without personal columns, to build/quarantine.parquet either way.
    """
    import polars as pl

    from data_schemas.lib import violations

    allowed, aside = share(dataset), datasets.build(dataset) / FILE
    aside.unlink(missing_ok=True)
    parts = {path: pl.read_parquet(path, glob=False) for path in sorted(staged.glob("*.parquet"))}
    if not allowed or len({tuple(part.schema.items()) for part in parts.values()}) != 1:
        return 0
    table = pl.concat(parts.values())
    found = list(violations.find(dataset, table))
    masks = [(each, failed) for each, failed in found if failed is not None]
    if not masks:
        return 0
    broken = pl.select(pl.any_horizontal([failed for _, failed in masks]).alias("broken"))["broken"]
    names = pl.Series([path.name for path, part in parts.items() for _ in range(part.height)], dtype=pl.String)
    reasons = {
        f"quarantine.{about}": pl.concat_str(
            [pl.when(failed).then(pl.lit(getattr(each, about))) for each, failed in masks],
            separator="; ",
            ignore_nulls=True,
        )
        for about in ("column", "rule")
    }
    numbers = pl.int_range(pl.len()).over("quarantine.file")  # from 0
    table = table.with_columns(names.alias("quarantine.file")).with_columns(numbers.alias("quarantine.row"), **reasons)
    table.filter(broken).drop(datasets.personal(dataset)).write_parquet(aside)
    if len(masks) < len(found) or broken.sum() > allowed * table.height:
        return 0
    kept = table.filter(~broken)
    for path, part in parts.items():
        rows = kept.filter(pl.col("quarantine.file") == path.name).select(part.columns)
        if rows.height < part.height:
            datasets.write(rows, path)
    return int(broken.sum())
