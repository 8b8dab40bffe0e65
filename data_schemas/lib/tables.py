"""Tables that somebody else wrote: CSV or Parquet, as columns of given types."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from repo.lib.refusal import Refusal

SEPARATORS, LINES = ",;\t|", 100  # by which lines a separator is found
NULLS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None")  # much as pandas has them
UNNAMED = "unnamed"  # a column without a name, as pandas writes its index
READ = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)


def read(path: Path, columns: Mapping[str, Any], separator: str = ",", nulls: Iterable[str] = ("",)) -> pl.DataFrame:
    """The file with these columns (name -> type) in this order. A cell that is not of its type is refused by its place.

    `separator` and `nulls`, the words that mean a null in any column, are of a CSV file, which is UTF-8.
    """
    table = cells(path, separator, nulls)
    if lacking := [name for name in columns if name not in table.columns]:
        raise Refusal(f"{path}: there is no column {lacking[0]!r}; correct the file, or COLUMNS in source.py.")
    return pl.DataFrame([_typed(path, table[name], kind) for name, kind in columns.items()])


def cells(path: Path, separator: str = ",", nulls: Iterable[str] = ("",)) -> pl.DataFrame:
    """A CSV file as text, or a Parquet file as it is; Refusal where it cannot be read."""
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        table = pl.read_csv(path, separator=separator, infer_schema=False, null_values=list(nulls) or None, glob=False)
        return table.rename({"": UNNAMED}) if "" in table.columns else table
    except READ as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        reason = "".join(letter for letter in reason[:200] if letter.isprintable())
        raise Refusal(f"{path} cannot be read ({reason}); correct the file.") from None


def decode(content: bytes) -> str:
    """Text of a CSV file: UTF-8 with or without a mark, UTF-16 with one, or else Western European."""
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode(encoding).replace("\r\n", "\n")
    return content.decode("latin-1").replace("\r\n", "\n")


def sniff(text: str) -> tuple[str, list[str]]:
    """Separator of a CSV file, by its first lines, and the names in its first one."""
    lines = list(islice(io.StringIO(text[:1_000_000], newline=""), LINES))
    found: dict[str, tuple[bool, bool, int]] = {}
    names: dict[str, list[str]] = {}
    for mark in SEPARATORS:
        rows: list[list[str]] = []
        with contextlib.suppress(csv.Error):  # a cell of more than 128 KB: what comes before it is enough
            rows.extend(row for row in csv.reader(lines, delimiter=mark) if row)
        if len(lines) == LINES:
            rows = rows[:-1] or rows  # the last one may be cut off
        names[mark] = rows[0] if rows else []
        found[mark] = (len(names[mark]) > 1, len({len(row) for row in rows}) == 1, len(names[mark]))
    mark = max(SEPARATORS, key=found.__getitem__)
    return mark, names[mark]


def _typed(path: Path, found: pl.Series, kind: Any) -> pl.Series:
    if found.dtype.is_float():
        found = found.fill_nan(None)  # pandas writes what is missing as NaN
    text = found.dtype == pl.String and kind != pl.String
    typed = parse(found, kind) if text else found.cast(kind, strict=False)
    if (wrong := (typed.is_null() & found.is_not_null()).arg_true()).len():
        raise Refusal(
            f"{path}: {found.name}: what row {wrong[0]} (from 0) holds is not of type {kind}; correct the file, or the "
            "type in source.py and schema.py."
        )
    return typed


def parse(cells: pl.Series, expected: pl.DataType) -> pl.Series:
    """Text as values of a type; null where a cell is not one. Nothing is guessed, shifted or cut off.

    Dates are 2013-01-31, times 10:30 or 10:30:00.5, moments both with a blank or a T between. An offset (+02:00, Z) is
    only for a column with a time zone; a moment without one is of that zone.
    """
    digits = {"ms": 3, "us": 6}.get(getattr(expected, "time_unit", "ns"), 9)  # of a second
    clock = rf"\d\d:\d\d(:\d\d(\.\d{{1,{digits}}}0*)?)?"
    date, offset = r"\d{4}-\d\d-\d\d", r"(Z|[+-]\d\d:\d\d)"
    try:
        if expected == pl.Date:
            return _only(cells, date).str.to_date("%Y-%m-%d", strict=False)
        if expected == pl.Time:
            return _whole(_only(cells, clock)).str.to_time("%H:%M:%S%.f", strict=False)
        if isinstance(expected, pl.Datetime):
            text = _whole(_only(cells.str.replace("T", " "), f"{date} {clock}{offset}?"))
            form, unit, zone = "%Y-%m-%d %H:%M:%S%.f", expected.time_unit, expected.time_zone
            local = text.str.to_datetime(form, time_unit=unit, time_zone=zone, strict=False, ambiguous="null")
            if zone is None:
                return local
            text = text.str.replace("Z$", "+00:00")
            shifted = text.str.to_datetime(f"{form}%:z", time_unit=unit, time_zone="UTC", strict=False)
            return local.fill_null(shifted.dt.convert_time_zone(zone))
        if expected == pl.Boolean:
            words = {"true": True, "false": False}
            return cells.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
        if isinstance(expected, pl.Decimal):
            cells = _only(cells, rf"[+-]?\d+(\.\d{{0,{expected.scale}}}0*)?")
        return cells.cast(expected, strict=False)
    except pl.exceptions.PolarsError:  # text that cannot be of this type at all
        return pl.Series(cells.name, [None], dtype=expected).new_from_index(0, len(cells))


def _only(cells: pl.Series, form: str) -> pl.Series:
    """The cells of this form, the others null: polars also takes blanks, signs and years of two digits."""
    return cells.zip_with(cells.str.contains(f"^(?:{form})$").fill_null(False), pl.Series([None], dtype=pl.String))


def _whole(clock: pl.Series) -> pl.Series:
    """Times of day with seconds, whatever stands before or after them."""
    return clock.str.replace(r"^((?:.* )?\d\d:\d\d)($|Z|[+-])", "${1}:00${2}")
