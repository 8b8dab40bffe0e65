"""Fixtures of the data tests; what they are made of is in examples.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from data_schemas import ingest
from tests.conftest import Once
from tests.data_schemas.examples import lay_out, make_trips, run_ingest, source
from tests.support import trees
from tests.support.specimens import DATASET_NAME


@pytest.fixture(scope="session")
def bare() -> Path:
    """The tree in which the tests run: the whole engine, for a verb in a process of its own."""
    return Path.cwd()


@pytest.fixture
def trips() -> pl.DataFrame:
    return make_trips()


@pytest.fixture
def tree(once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the specimen's dataset, without its rows, as current directory."""
    monkeypatch.chdir(trees.copy(once("data", lay_out), tmp_path / "tree"))
    return Path()


@pytest.fixture
def inside(once: Once, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with all twelve months, which DVC has recorded. Shared: change nothing in it but its build folder."""

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(lay_out(root))
            assert run_ingest() == 0

    root = once("whole-data", make)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Spare the second that DVC takes; the list holds the datasets that would have been recorded."""
    datasets: list[str] = []
    monkeypatch.setattr(ingest, "record", datasets.append)
    return datasets


@pytest.fixture
def source_gives(monkeypatch: pytest.MonkeyPatch, recorded: list[str]) -> Callable[..., None]:
    """Replace the dataset's source by the given months: `source_gives(m01=…, m02=…)`; `recorded` stands in for DVC."""
    assert recorded == []

    def give(**months: pl.DataFrame) -> None:
        given = [(name.replace("m", "2013-"), table) for name, table in months.items()]
        monkeypatch.setattr(source, "months", lambda: iter(given))

    return give


@pytest.fixture
def importable(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tree, where what a test writes into a new folder of data_schemas/ can be imported, until the test ends."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    yield tree
    for name in set(sys.modules) - before:
        if name.startswith("data_schemas.specimen_") and DATASET_NAME not in name:
            del sys.modules[name]
