"""schema.py and source.py of a table, as a person would begin them: formatted, typed, with a comment at each guess."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from data_schemas.lib import datasets
from data_schemas.lib.draft import guess
from repo.lib.templates import template

WIDTH = 120  # of a line, as the linter has it
CATEGORIES, LONGEST = 30, 60  # values of a column, and letters of one, that are listed as the only ones
EXAMPLE = 50  # letters of an example
ANNOTATIONS = {pl.String: "str", pl.Int64: "int", pl.Float64: "float", pl.Boolean: "bool"}
# All but plain letters: of other alphabets only those that look like no other.
UNUSUAL = re.compile(r"[^ -~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u3040-\u30ff\u4e00-\u9fff]")


def schema(name: str, table: pl.DataFrame, hidden: set[str]) -> str:
    """The contract of a table whose columns have their types; of the `hidden` ones, which are personal, no value."""
    names, key = guess.attributes(table.columns), guess.key(table)
    model = "".join(part.capitalize() for part in name.split("_"))
    fields = [_field(column, names[column.name], key, column.name in hidden) for column in table]
    return _rendered("schema.py.jinja", model=model, fields=fields, key=key)


def source(
    name: str,
    table: pl.DataFrame,
    kinds: Mapping[str, Any],
    file: str,
    separator: str | None,
    nulls: Sequence[str],
    hidden: set[str],
) -> str:
    """Where the rows come from: the file beside it, read as `kinds`. `separator` is of a CSV file only.

    A `hidden` column, which is personal, divides no rows: the names of files would tell its values.
    """
    month = guess.month_column(table.drop(hidden))
    options = [f"separator={json.dumps(separator)}"] if separator not in (None, ",") else []
    options += [f"nulls={json.dumps(nulls)}"] if separator and len(nulls) > 1 else []
    return _rendered(
        "source.py.jinja",
        name=name,
        file=file,
        options=options,
        columns=[(column, f"pl.{dtype!r}".replace("'", '"')) for column, dtype in kinds.items()],
        flags=[(column, f"pl.{table[column].dtype}") for column, dtype in kinds.items() if dtype == pl.Boolean],
        month=month,
        month_attribute=month and guess.attributes([month])[month],
    )


def _rendered(name: str, /, **values: Any) -> str:
    """A name that makes its line too long is no fault."""
    text = template(Path(__file__).with_name(name), literal=_literal).render(values)
    return re.sub(rf"(?m)^.{{{WIDTH + 1},}}$", r"\g<0>  # noqa: E501", text)


def _field(column: pl.Series, attribute: str, key: list[str], hidden: bool) -> dict[str, Any]:
    """What the template says of a column; each argument with what is guessed in it."""
    present, dtype, names_row = column.drop_nulls(), column.dtype, key == [column.name]
    allowed = [] if hidden else _categories(present, len(column))
    facts: dict[str, Any] = {"unit": datasets.UNKNOWN} | ({"personal": True} if hidden else {})
    arguments = [(f"alias={_literal(column.name)}", "")] if attribute != column.name else []
    if dtype.is_numeric():
        low, high = _limits(present)
        high = 1000 * max(high, 1) if names_row and high < 2**53 else high  # names go on
        if set(present.unique()) == {0, 1}:
            low, high = 0, 1
        found = f"the file holds {present.min()!r} to {present.max()!r}" if len(present) else "the file holds no value"
        arguments.append((f"in_range=({_literal(low)}, {_literal(high)})", "a rounded range" if hidden else found))
    if allowed:
        arguments.append((f"isin={attribute.upper()}_VALUES", "no other will come"))
    if column.null_count():
        arguments.append(("nullable=True", f"{column.null_count():,} of {len(column):,} are missing"))
    if not allowed and not hidden and dtype in (pl.String, pl.Int64, pl.Float64):
        short = [value for value in present.head(1000) if len(_literal(value)) <= EXAMPLE]
        facts |= {"example": short[0]} if short else {}
    facts |= {"key": True} if names_row else {}
    told = ", ".join(f'"{name}": {_literal(value)}' for name, value in facts.items())
    arguments.append(('description="To be described"', ""))
    arguments.append((f"metadata={{{told}}}", "it names the row, so it is no feature" if names_row else ""))
    annotation = ANNOTATIONS.get(type(dtype)) or f"pl.{type(dtype).__name__}"
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        annotation = f'Annotated[pl.Datetime, "us", {_literal(dtype.time_zone)}]'
    return {"attribute": attribute, "annotation": annotation, "arguments": arguments, "allowed": allowed}


def _categories(present: pl.Series, rows: int) -> list[str]:
    """The values of a column of few, which a row may hold; none where they are many, long or seen too rarely."""
    if present.dtype != pl.String or not 0 < present.n_unique() <= min(CATEGORIES, rows // 3):
        return []
    return present.unique().sort().to_list() if present.str.len_chars().max() <= LONGEST else []  # type: ignore[operator]


def _limits(present: pl.Series) -> tuple[float, float]:
    """The range of a column, a quarter of it to spare on either side, in round numbers; not below 0 where none is."""
    low: Any = present.min() if len(present) else 0
    high: Any = present.max() if len(present) else 1
    whole, span = present.dtype.is_integer(), float(high - low) or float(abs(high)) or 1.0
    if span > 1e18:  # round numbers there are no longer exact
        return low, high
    digits, spare = 1 - math.floor(math.log10(span)), max(span / 4, 0.51 * whole)
    lowest, highest = (round(limit, min(digits, 0) if whole else digits) for limit in (low - spare, high + spare))
    lowest, highest = min(max(lowest, 0.0) if low >= 0 else lowest, low), max(highest, high)
    return (int(lowest), int(highest)) if whole else (float(lowest), float(highest))


def _literal(value: Any) -> str:
    """A value in Python, as the formatter writes it."""
    if not isinstance(value, str):
        return repr(value).replace("e+", "e")
    quote = "'" if value.count('"') > value.count("'") else '"'
    text = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return quote + UNUSUAL.sub(lambda found: found[0].encode("unicode_escape").decode(), text) + quote
