"""schema.py and source.py of a table, as a person would begin them: formatted, typed, with a comment at each guess."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from data_schemas.lib.draft import guess

WIDTH = 120  # of a line, as the linter has it
CATEGORIES, LONGEST = 30, 60  # values of a column, and letters of one, that are listed as the only ones
EXAMPLE = 50  # letters of an example
ANNOTATIONS = {pl.String: "str", pl.Int64: "int", pl.Float64: "float", pl.Boolean: "bool"}
Lines = list[str]


def schema(name: str, table: pl.DataFrame) -> str:
    """The contract of a table whose columns have their types."""
    names, key = guess.attributes(table.columns), guess.key(table)
    fields, lists = Lines(), Lines()
    for column in table:
        attribute = names[column.name]
        values = _categories(column)
        if values:
            lists += [f"{attribute.upper()}_VALUES = [", *(f"    {_literal(value)}," for value in values), "]"]
        fields += _field(column, attribute, values, key)
    needs_polars = key or any(type(column.dtype) not in ANNOTATIONS for column in table)
    lines = [
        '"""The contract of a row, drafted from a table: every comment with `guess` is yours to confirm or correct.',
        "",
        "Describe each column, and give its unit, for those who call a model: both are in the API's documentation.",
        '"""',
        *["", "from __future__ import annotations", ""],
        *(["from typing import Annotated", ""] if any("Annotated[" in line for line in fields) else []),
        "import pandera.polars as pa",
        *(["import polars as pl"] if needs_polars else []),
        *(["from pandera.api.polars.types import PolarsData"] if key else []),
        *(["", *lists] if lists else []),
        *["", "", f"class {''.join(part.capitalize() for part in name.split('_'))}(pa.DataFrameModel):"],
        '    """One row of the table. Every number has both limits: only an upper one rejects NaN."""',
        *["", *fields, "", "    class Config:", "        strict = True", "        ordered = True"],
        *(_rule(key) if key else ["", "    # No column, and no two or three together, tell the rows apart."]),
    ]
    return _joined(lines)


def source(name: str, table: pl.DataFrame, file: str, separator: str | None, nulls: Sequence[str]) -> str:
    """Where the rows come from: the file beside it. `separator` is of a CSV file only."""
    month = guess.month_column(table)
    given = [] if separator in (None, ",") else [f"separator={json.dumps(separator)}"]
    given += [f"nulls={json.dumps(nulls)}"] if separator and len(nulls) > 1 else []
    rows = f"tables.read({', '.join(['FILE', 'COLUMNS', *given])})"
    note = "  # guess: these words are nulls, in every column" if len(nulls) > 1 and separator else ""
    lines = [
        f'"""Where the rows of {name} come from: {file} beside this file."""',
        *["", "from __future__ import annotations", ""],
        *(["from collections.abc import Iterator"] if month else []),
        *["from pathlib import Path", "", "import polars as pl", "", "from data_schemas.lib import tables", ""],
        f'FILE = Path(__file__).with_name("{file}")',
        *["COLUMNS = {", *(f"    {_literal(column.name)}: {_dtype(column.dtype)}," for column in table), "}", "", ""],
    ]
    if month:
        lines += [
            "def months() -> Iterator[tuple[str, pl.DataFrame]]:",
            f'    """Each month\'s name ("2013-01") and its rows, by {guess.attributes([month])[month]}."""',
            f"    rows = {rows}{note}",
            f"    day = {_literal(month)}  # guess: what a row is of, so that later months are later data",
            '    for (month,), part in rows.group_by(pl.col(day).dt.strftime("%Y-%m"), maintain_order=True):',
            "        yield month, part",
        ]
    else:
        lines += [
            "def table() -> pl.DataFrame:",
            '    """All rows, in the order of the file."""',
            f"    return {rows}{note}",
        ]
    return _joined(lines)


def _field(column: pl.Series, attribute: str, values: list[str], key: list[str]) -> Lines:
    present, dtype = column.drop_nulls(), column.dtype
    facts: dict[str, Any] = {"unit": "unknown"}
    annotation = ANNOTATIONS.get(type(dtype)) or f"pl.{type(dtype).__name__}"
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        annotation = f'Annotated[pl.Datetime, "us", {_literal(dtype.time_zone)}]'
    lines = [f"    {attribute}: {annotation} = pa.Field("]
    if attribute != column.name:
        lines.append(f"        alias={_literal(column.name)},")
    if dtype.is_numeric():
        low, high = _limits(present)
        high = 1000 * max(high, 1) if key == [column.name] and high < 2**53 else high  # names go on
        found = f"{present.min()!r} to {present.max()!r}" if len(present) else "no value"
        lines.append(f"        in_range=({_literal(low)}, {_literal(high)}),  # guess: the file holds {found}")
    if values:
        lines.append(f"        isin={attribute.upper()}_VALUES,  # guess: no other will come")
    if column.null_count():
        missing = f"{column.null_count():,} of {len(column):,} are missing"
        lines.append(f"        nullable=True,  # guess: {missing}")
    if len(present) and not values and type(dtype) in (pl.String, pl.Int64, pl.Float64):
        example = next((value for value in present.head(1000) if len(_literal(value)) <= EXAMPLE), None)
        facts |= {"example": example} if example is not None else {}
    facts |= {"key": True} if key == [column.name] else {}
    told = ", ".join(f'"{name}": {_literal(value)}' for name, value in facts.items())
    comment = "  # guess: it names the row, so it is no feature" if "key" in facts else ""
    return [*lines, '        description="To be described",', f"        metadata={{{told}}},{comment}", "    )"]


def _categories(column: pl.Series) -> list[str]:
    """The values of a column of few, which a row may hold; none where they are many, long or seen too rarely."""
    if column.dtype != pl.String or not 0 < (many := column.drop_nulls().n_unique()) <= CATEGORIES:
        return []
    values = column.drop_nulls().unique().sort().to_list()
    return values if 3 * many <= len(column) and all(len(value) <= LONGEST for value in values) else []


def _limits(present: pl.Series) -> tuple[float, float]:
    """The range of a column, a quarter of it to spare on either side, in round numbers; not below 0 where none is."""
    whole = present.dtype.is_integer()
    low, high = (present.min(), present.max()) if len(present) else (0, 1)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    span = (high - low) or abs(high) or 1
    step = 10.0 ** max(math.floor(math.log10(span)) - 1, 0 if whole else -300) if math.isfinite(span) else math.inf
    if step > 1e17:  # round numbers there are no longer exact
        return low, high
    lowest = math.floor((low - span / 4) / step) * step
    highest = math.ceil((high + span / 4) / step) * step
    lowest, highest = (float(f"{limit:.12g}") for limit in (max(lowest, 0) if low >= 0 else lowest, highest))
    lowest, highest = min(lowest, low), max(highest, high)
    return (int(lowest), int(highest)) if whole else (float(lowest), float(highest))


def _rule(key: list[str]) -> Lines:
    guessed = "  # guess: no two rows of the file are alike in it"
    return [
        *["", "    @pa.dataframe_check(", f"        title={_literal(', '.join(key))},{guessed}"],
        *['        description="a row occurs once",', "    )", "    @classmethod"],
        "    def row_occurs_once(cls, data: PolarsData) -> pl.LazyFrame:",
        *["        key = [", *(f"            {_literal(name)}," for name in key), "        ]"],
        "        return data.lazyframe.select(pl.struct(key).is_unique())",
    ]


def _dtype(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return f'pl.Datetime("us", {_literal(dtype.time_zone)})' if dtype.time_zone else 'pl.Datetime("us")'
    return f"pl.{type(dtype).__name__}"


def _literal(value: Any) -> str:
    """A value in Python, as the formatter writes it; of other alphabets only letters that look like no other."""
    if not isinstance(value, str):
        return repr(value).replace("e+", "e")
    quote = "'" if value.count('"') > value.count("'") else '"'
    text = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return (
        quote
        + re.sub(r"[^ -~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u3040-\u30ff\u4e00-\u9fff]", _escaped, text)
        + quote
    )


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def _joined(lines: Lines) -> str:
    """A name that makes its line too long is no fault."""
    return "".join(f"{line}  # noqa: E501\n" if len(line) > WIDTH else f"{line}\n" for line in lines)
