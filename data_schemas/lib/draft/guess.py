"""What the cells of a stranger's table are: the type of each column, its name in Python, a key, a date."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import polars as pl

from data_schemas.lib.tables import NULLS, parse
from repo.lib.refusal import Refusal

# Text that is meant as a number. Not with a zero in front (a postcode), nor longer than a float can tell apart.
WHOLE = r"^[+-]?(0|[1-9]\d{0,17})$"
NUMBER = r"^[+-]?((0|[1-9]\d{0,15})(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
COMMA = r"^[+-]?\d[\d.' ]*,\d+$"
TAKEN = ("check_output", "_duplicated", "*")  # what pandera and polars mean something by
IDENTIFIER = re.compile(r"(^|_)(id|key|code|no|nr|num|number|uuid|guid|index|unnamed|level_0)$")
SAMPLE, CANDIDATES = 20_000, 12  # rows and columns among which a key of several columns is looked for
MONTHS, ROWS = (4, 240), 10  # fewer or more months, or fewer rows a month, are no data by month


def refuse_names(file: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        words = {
            "is there twice": name in seen,
            "has a name that pandera or polars need themselves": name in TAKEN or name.startswith("quarantine."),
            "has a name that polars reads as a pattern": name.startswith("^") and name.endswith("$"),
            "has letters in its name that cannot be shown": not name.isprintable(),
        }
        if why := next((text for text, wrong in words.items() if wrong), None):
            raise Refusal(f"{file}: the column {name!r} {why}; rename it in the file, and run again.")
        seen.add(name)


def null_words(table: pl.DataFrame) -> list[str]:
    """Which of the words that mean a null stand in a table of text."""
    return [word for word in NULLS if not word or any((column == word).any() for column in table)]


def kind(file: str, found: pl.Series, declared: bool) -> Any:
    """The polars type that a column is read as; integers that may be missing are floats, which the service can take.

    Text of a file that declares its types is meant as text, unless it is a date or a moment.
    """
    present, dtype = found.drop_nulls(), found.dtype
    if dtype == pl.String:
        dtype = _of_text(file, present, declared)
    elif dtype == pl.Null or isinstance(dtype, pl.Categorical | pl.Enum):
        dtype = pl.String()
    elif dtype.is_numeric():
        dtype = pl.Int64() if dtype.is_integer() else pl.Float64()
    elif isinstance(dtype, pl.Datetime):
        dtype = pl.Datetime("us", dtype.time_zone)
    elif not isinstance(dtype, pl.Boolean | pl.Date | pl.Time):
        raise Refusal(
            f"{file}: {found.name}: its type is {dtype}; write it as text, numbers, true and false or dates, or leave "
            "it out, and run again."
        )
    if dtype == pl.Int64 and len(present) < len(found):
        exact = present.cast(pl.Int64).is_between(-(2**53), 2**53).all()
        dtype = pl.Float64() if exact else pl.String()
    if found.dtype.is_float() and present.is_infinite().any():
        raise Refusal(f"{file}: {found.name}: it holds infinity; write what is not known as a null, and run again.")
    return dtype


def _of_text(file: str, present: pl.Series, declared: bool) -> pl.DataType:
    if not len(present):
        return pl.String()
    kinds: list[pl.DataType] = [pl.Date(), pl.Datetime("us"), pl.Datetime("us", "UTC")]
    if not declared:
        for kind, form in ((pl.Int64(), WHOLE), (pl.Float64(), NUMBER)):
            if present.str.contains(form).all():
                return kind
        if present.str.contains(COMMA).all():
            raise Refusal(
                f"{file}: {present.name}: its numbers have a decimal comma; write numbers with a decimal point and "
                "nothing between thousands, and run again."
            )
        kinds = [pl.Boolean(), *kinds, pl.Time()]
    return next((kind for kind in kinds if not parse(present, kind).null_count()), pl.String())


def attributes(names: Iterable[str]) -> dict[str, str]:
    """A name of Python for each column, in the style of the house and taken by nothing else in a schema."""
    import pandera.polars as pa

    taken = {*dir(pa.DataFrameModel), *dir(builtins), *keyword.kwlist, "l", "pa", "pl", "row_occurs_once"}
    found = {}
    for number, name in enumerate(names):
        text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
        text = re.sub(r"[^a-z0-9]+", "_", text)[:40].strip("_")
        if not text or text[0].isdigit():
            text = f"column_{text or number}"
        while text in taken:
            text += "_"
        taken.add(text)
        found[name] = text
    return found


def key(table: pl.DataFrame) -> list[str]:
    """The column, or two or three of them, in which no two rows are alike; none where there is no such."""
    names = [
        column.name
        for column in table
        if not column.null_count() and not column.dtype.is_float() and column.dtype != pl.Boolean
        if ", " not in column.name  # by which the title of a rule lists columns
    ]
    sizes = {name: table[name].n_unique() for name in names}
    alone = [name for name in names if sizes[name] == table.height and _identifies(table[name])]
    if alone or table.height < 2:
        return alone[:1]
    several = [name for name in names if 1 < sizes[name] < table.height][:CANDIDATES]
    head = table.head(SAMPLE)
    for many in (2, 3):
        for found in map(list, combinations(several, many)):
            if not head.select(found).is_duplicated().any() and not table.select(found).is_duplicated().any():
                return found
    return []


def _identifies(column: pl.Series) -> bool:
    """Not a measure of which no two happen to be alike: numbers without a gap, or a name that says so."""
    if not column.dtype.is_integer():
        return True
    low: Any = column.min()
    gapless = column.max() == low + len(column) - 1
    return gapless or bool(IDENTIFIER.search(attributes([column.name])[column.name]))


def month_column(table: pl.DataFrame) -> str | None:
    """The first date or moment without nulls by which the rows fall into months."""
    for column in table:
        if isinstance(column.dtype, pl.Date | pl.Datetime) and not column.null_count():
            months = column.dt.strftime("%Y-%m").n_unique()
            usual = column.dt.year().is_between(1000, 9999).all()
            if usual and MONTHS[0] <= months <= MONTHS[1] and table.height >= ROWS * months:
                return column.name
    return None
