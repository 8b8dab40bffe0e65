"""What holds for every dataset: those of this repository, and the specimen. A new one is tested for free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_schemas import validate
from data_schemas.lib import datasets, pointer
from tests.support import found
from tests.support.process import run

pytestmark = pytest.mark.every_model


@pytest.fixture(params=found.parameters("data_schemas", "schema.py"))
def dataset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its name, with its repository as current directory."""
    monkeypatch.chdir(found.root(request))
    return str(request.param)


@pytest.fixture
def schema(dataset: str) -> Any:
    return datasets.schema(dataset).to_schema()


def checks(schema: Any) -> Iterator[tuple[str, Any]]:
    yield from ((name, check) for name, column in schema.columns.items() for check in column.checks)
    yield from (("the table", check) for check in schema.checks)


def test_duplicates_are_found_by_a_check(schema: Any) -> None:
    assert schema.unique is None, "pandera copies every duplicate row; write a dataframe_check"


def test_the_contract_is_strict_ordered_and_never_coerces(schema: Any) -> None:
    assert (schema.strict, schema.ordered, schema.coerce) == (True, True, False)
    assert not any(column.coerce for column in schema.columns.values())
    assert not any(check.raise_warning for _, check in checks(schema))


def test_every_column_says_what_it_means_and_in_which_unit(schema: Any) -> None:
    for name, column in schema.columns.items():
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


def test_a_source_and_a_pinned_version_belong_to_every_dataset(dataset: str) -> None:
    source = datasets.module(dataset, "source")
    assert callable(getattr(source, "months", None) or source.table)
    assert pointer.pinned(dataset) is not None


def test_every_pinned_row_holds_the_contract(dataset: str) -> None:
    """The data is brought where it is not there, as each pipeline does first."""
    if not datasets.data(dataset).is_dir():
        answer = run("data_schemas", "ingest", dataset, root=Path.cwd())
        assert answer.code == 0, answer.out + answer.error
    assert pointer.measure(datasets.data(dataset)) == pointer.pinned(dataset)
    inspection = validate.inspect(dataset, sorted(datasets.data(dataset).glob("*.parquet")))
    assert inspection.total
    assert not inspection.violations
