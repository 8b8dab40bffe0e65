"""Fixtures of the data tests; what they are made of is in examples.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from data_schemas import ingest
from data_schemas.flights import source
from tests.data_schemas.examples import REPOSITORY, make_flights, make_tree, run_ingest


@pytest.fixture
def flights() -> pl.DataFrame:
    return make_flights()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_tree(tmp_path / "tree"))
    return Path()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Spare the second that DVC takes; the list holds the datasets that would have been recorded."""
    datasets: list[str] = []
    monkeypatch.setattr(ingest, "_record", datasets.append)
    return datasets


@pytest.fixture
def source_gives(monkeypatch: pytest.MonkeyPatch, recorded: list[str]) -> Callable[..., None]:
    """Replace the flights source by the given months: `source_gives(m01=…, m02=…)`; `recorded` stands in for DVC."""
    assert recorded == []

    def give(**months: pl.DataFrame) -> None:
        def replacement() -> Iterator[tuple[str, pl.DataFrame]]:
            yield from ((name.replace("m", "2013-"), table) for name, table in months.items())

        monkeypatch.setattr(source, "months", replacement)

    return give


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole dataset, ingested from the real source against the committed pointer: the one costly fixture."""
    root = make_tree(tmp_path_factory.mktemp("real") / "tree")
    shutil.copy(REPOSITORY / "data_schemas" / "flights" / "data.dvc", root / "data_schemas" / "flights")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert run_ingest() == 0, "the source no longer reproduces the committed version"
    return root
