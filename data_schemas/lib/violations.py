"""What of a table violates its dataset's contract; `python -m data_schemas validate flights` prints it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
from pandera.config import ValidationDepth, get_config_context
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors
from pandera.polars import Column

from data_schemas.lib import datasets
from data_schemas.lib.tables import parse
from repo.lib.refusal import Refusal

CASES = 5  # shown of each violation
WIDTH = 60  # characters shown of a value
PERSONAL = "(personal)"  # in its place
STRUCTURE = {  # found by `_structure`, which names every column where pandera stops at the first
    SchemaErrorReason.COLUMN_NOT_IN_SCHEMA,
    SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME,
    SchemaErrorReason.COLUMN_NOT_ORDERED,
}


@dataclass(frozen=True)
class Case:
    """One row that violates a rule; the first row of a table is 0."""

    row: int
    value: str
    file: str = ""  # set when a table was read from several


@dataclass(frozen=True)
class Violation:
    """One rule that does not hold: in how many rows, and the first of them. A rule of the whole table counts 1."""

    column: str  # several, comma-separated, for a rule across columns; empty for the table as a whole
    rule: str
    count: int
    cases: tuple[Case, ...] = ()


Found = tuple[Violation, pl.Series | None]  # and which rows of the table break it, True for each


def check(dataset: str, table: pl.DataFrame) -> list[Violation]:
    """Hold a table against the dataset's schema; an empty list is a pass."""
    return [violation for violation, _ in find(dataset, table)]


def find(dataset: str, table: pl.DataFrame) -> list[Found]:
    """Every violation, and for a rule of rows which of them break it (all of them, where a violation shows a few).

    Refuses to answer while pandera's validation is switched off: silence would read as a pass.
    """
    model, hidden = datasets.schema(dataset), datasets.personal(dataset)
    context = get_config_context(validation_depth_default=ValidationDepth.SCHEMA_AND_DATA)
    if not context.validation_enabled or context.validation_depth is not ValidationDepth.SCHEMA_AND_DATA:
        raise Refusal(
            "pandera's validation is switched off, so nothing can be checked; "
            "unset PANDERA_VALIDATION_ENABLED and PANDERA_VALIDATION_DEPTH and run again."
        )
    found: list[Found] = [(each, None) for each in _structure(datasets.columns(dataset), table, bool(hidden))]
    schema = model.to_schema()
    for each in (*schema.checks, *(check for column in schema.columns.values() for check in column.checks)):
        each.n_failure_cases = CASES  # without a limit bad data costs 40 times the time and gigabytes of memory
    try:
        schema.validate(table, lazy=True)
    except SchemaErrors as errors:
        found += _translate(errors.schema_errors, table, bool(found), hidden)
        if not found:  # an answer that is not understood is not a pass
            why = PERSONAL if hidden else errors.schema_errors[0]
            found.append((Violation("", f"the schema: {why}", 1), None))
    return found


def _structure(expected: list[str], table: pl.DataFrame, hidden: bool) -> Iterator[Violation]:
    """`hidden`: a name that nobody expects is not told, since it is a row's where a file has no head."""
    if table.height == 0:
        yield Violation("", "at least one row", 1)
    for column in expected:
        if column not in table.columns:
            yield Violation(column, "column is missing", 1)
    for place, column in enumerate(table.columns):
        if column not in expected:
            name = f"number {place}, from 0" if hidden else _text(column, quoted=False)
            yield Violation(name, "column is not in the schema", 1)
    present = [column for column in table.columns if column in expected]
    if present != [column for column in expected if column in present]:
        yield Violation("", f"columns in the order {', '.join(expected)}", 1)


def _translate(
    errors: Iterable[SchemaError], table: pl.DataFrame, misshapen: bool, hidden: set[str]
) -> Iterator[Found]:
    """Pandera's errors as violations, without those that only follow from a missing or mistyped column."""
    errors = [error for error in errors if error.reason_code not in STRUCTURE]
    mistyped = {error.schema.name for error in errors if error.reason_code is SchemaErrorReason.WRONG_DATATYPE}
    for error in errors:
        of_column = isinstance(error.schema, Column)
        column = error.schema.name if of_column else str(getattr(error.check, "title", None) or "")
        if error.reason_code is SchemaErrorReason.WRONG_DATATYPE:
            yield _mistyped(column, error.schema.dtype.type, table, hidden), None
        elif isinstance(error.check_output, pl.DataFrame):
            held = error.check_output["check_output"]
            if len(held) == table.height:
                yield _violation(column, _rule(error), ~held, table, hidden), ~held
            else:  # a check that answers once is about the table
                yield Violation(column, _rule(error), 1), None
        elif not (column in mistyped if of_column else misshapen or mistyped):
            why = PERSONAL if hidden else error.failure_cases
            yield Violation(column, f"{_rule(error)}: cannot be checked ({why})"[: 5 * WIDTH], 1), None


def _rule(error: SchemaError) -> str:
    if error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS:
        return "not null"
    names = [getattr(error.check, name, None) for name in ("description", "error", "name")]
    if names[2] == "isin":
        names[1] = f"isin({datasets.listed(error.check.statistics['allowed_values'])})"
    return str(next(filter(None, names), error.check))


def _mistyped(column: str, expected: pl.DataType, table: pl.DataFrame, hidden: set[str]) -> Violation:
    """A column of another type; of text (every CSV file), only the rows that cannot be read as the type count."""
    cells = table[column]
    rule = f"type {expected}, not {cells.dtype}"
    failed = pl.Series([True]).new_from_index(0, table.height)
    if cells.dtype == pl.String:
        unreadable = cells.is_not_null() & parse(cells, expected).is_null()
        if unreadable.any():
            failed, rule = unreadable, f"type {expected}"
    return _violation(column, rule, failed, table, hidden)


def _violation(column: str, rule: str, failed: pl.Series, table: pl.DataFrame, hidden: set[str]) -> Violation:
    rows = failed.arg_true().head(CASES).to_list()
    shown = [name for name in column.split(", ") if name in table.columns]
    values = ([PERSONAL if name in hidden else _text(table.item(row, name)) for name in shown] for row in rows)
    cases = (Case(row, ", ".join(each)) for row, each in zip(rows, values, strict=True))
    return Violation(column, rule, int(failed.sum()), tuple(cases))


def _text(value: Any, quoted: bool = True) -> str:
    """A cell on one line; escapes keep what it holds from acting on a terminal."""
    if value is None:
        return "null"
    if isinstance(value, str) and (quoted or not value.isprintable()):
        value = repr(value[:WIDTH] + "…" * (len(value) > WIDTH))
    return str(value)[: WIDTH + 3]
