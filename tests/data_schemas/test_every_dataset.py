"""What holds for every folder of data_schemas/: a new dataset is tested for free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from data_schemas import pointer, tables

NAMES = tables.names()


@pytest.fixture(params=NAMES)
def schema(request: pytest.FixtureRequest) -> Any:
    return tables.schema(request.param).to_schema()


def checks(schema: Any) -> Iterator[tuple[str, Any]]:
    yield from ((name, check) for name, column in schema.columns.items() for check in column.checks)
    yield from (("the table", check) for check in schema.checks)


def test_there_is_a_dataset() -> None:
    assert "flights" in NAMES


def test_every_check_caps_its_failure_cases(schema: Any) -> None:
    assert [f"{column}: {check}" for column, check in checks(schema) if check.n_failure_cases is None] == []
    assert schema.unique is None, "pandera copies every duplicate row; write a dataframe_check (see flights)"


def test_the_contract_is_strict_ordered_and_never_coerces(schema: Any) -> None:
    assert (schema.strict, schema.ordered, schema.coerce) == (True, True, False)
    assert not any(column.coerce for column in schema.columns.values())
    assert not any(check.raise_warning for _, check in checks(schema))


def test_every_column_says_what_it_means_and_in_which_unit(schema: Any) -> None:
    for name, column in schema.columns.items():
        assert column.title, name
        assert column.description, name
        assert (column.metadata or {}).get("unit"), name


def test_every_number_has_both_limits(schema: Any) -> None:
    """Without an upper limit NaN passes: polars orders it above all numbers."""
    for name, column in schema.columns.items():
        if pl.Series([], dtype=column.dtype.type).dtype.is_numeric():
            assert "in_range" in [check.name for check in column.checks], name


def test_every_rule_across_columns_names_them(schema: Any) -> None:
    for check in schema.checks:
        assert check.description, check
        assert set((check.title or "").split(", ")) <= set(schema.columns), check


@pytest.mark.parametrize("name", NAMES)
def test_a_source_and_a_pinned_version_belong_to_every_dataset(name: str) -> None:
    assert callable(tables.module(name, "source").months)
    assert pointer.pinned(name) is not None
