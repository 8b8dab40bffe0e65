"""What holds for every dataset: those of this repository, and the specimen. A new one is tested for free."""

from __future__ import annotations

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


def test_the_contract_is_one_that_a_service_can_keep(schema: Any) -> None:
    """Without an upper limit NaN passes: polars orders it above all numbers."""
    assert schema.unique is None, "pandera copies every duplicate row; write a dataframe_check"
    assert (schema.strict, schema.ordered) == (True, True)
    for name, column in schema.columns.items():
        assert column.description, name
        assert (column.metadata or {}).get("unit"), name
        if pl.Series([], dtype=column.dtype.type).dtype.is_numeric():
            assert "in_range" in [check.name for check in column.checks], name
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
