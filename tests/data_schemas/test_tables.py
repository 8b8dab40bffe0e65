"""Datasets as other stages see them: discovered by folder, read in the schema's order, refused with the mend."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from data_schemas import tables
from data_schemas.command import Refusal
from tests.data_schemas.examples import REPOSITORY, make_flights, make_tree

DATA = Path("data_schemas/flights/data")


@pytest.mark.usefixtures("tree")
def test_months_are_read_as_one_table_in_the_order_of_the_schema() -> None:
    DATA.mkdir()
    make_flights(2).select(reversed(make_flights().columns)).write_parquet(DATA / "2013-02.parquet")
    make_flights(1).write_parquet(DATA / "2013-01.parquet")
    table = tables.read("flights", ["2013-01", "2013-02"])
    assert table.equals(pl.concat([make_flights(1), make_flights(2)]))
    assert table.columns == tables.columns("flights")
    assert tables.months("flights") == ["2013-01", "2013-02"]


@pytest.mark.usefixtures("tree")
def test_a_missing_or_broken_month_names_file_and_mend() -> None:
    DATA.mkdir()
    with pytest.raises(Refusal, match=r"2013-01\.parquet is missing.*python -m data_schemas ingest flights"):
        tables.read("flights", ["2013-01"])
    (DATA / "2013-01.parquet").write_bytes(b"no table")
    with pytest.raises(Refusal, match=r"2013-01\.parquet cannot be read.*python -m data_schemas ingest flights"):
        tables.read("flights", ["2013-01"])
    make_flights().drop("temp").write_parquet(DATA / "2013-01.parquet")
    with pytest.raises(Refusal, match=r"2013-01\.parquet cannot be read.*temp"):
        tables.read("flights", ["2013-01"])
    with pytest.raises(Refusal, match="name at least one"):
        tables.read("flights", [])


@pytest.mark.parametrize("name", ["trains", "", "..", "flights/../flights"])
def test_a_name_that_is_no_dataset_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="no dataset"):
        tables.schema(name)


def broken_dataset(root: Path, schema: str) -> subprocess.CompletedProcess[str]:
    """`validate` of a dataset with this schema.py, in a repository of its own."""
    make_repository(root)
    folder = root / "data_schemas" / "weather"
    folder.mkdir()
    (folder / "schema.py").write_text(schema)
    return verb(root, "validate", "weather", "--table", "data_schemas/__main__.py")


def make_repository(root: Path) -> None:
    make_tree(root)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    for path in (REPOSITORY / "data_schemas").glob("*.py"):
        shutil.copy(path, root / "data_schemas")


def verb(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data_schemas", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("import nowhere\n", "cannot be loaded (ModuleNotFoundError: No module named 'nowhere')"),
        ("import sys\nsys.exit(0)\n", "cannot be loaded (SystemExit: 0)"),
        ("raise ValueError('two\\nlines')\n", "cannot be loaded (ValueError: two lines)"),
        ("ROWS = 1\n", "must define one pandera DataFrameModel, not 0"),
        ("import pandera.polars as pa\nclass W(pa.DataFrameModel):\n    x: 'nothing'\n", "schema.py"),
    ],
)
def test_a_broken_contract_is_one_sentence(tmp_path: Path, schema: str, words: str) -> None:
    done = broken_dataset(tmp_path / "tree", schema)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_team_adds_a_dataset_by_one_folder(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make_repository(root)
    folder = root / "data_schemas" / "weather"
    folder.mkdir()
    (folder / "schema.py").write_text(
        "import pandera.polars as pa\n\n\n"
        "class Weather(pa.DataFrameModel):\n"
        "    temp: float = pa.Field(in_range=(-40, 130), n_failure_cases=5)\n\n"
        "    class Config:\n        strict = True\n"
    )
    (folder / "source.py").write_text(
        "import polars as pl\n\n\n"
        'def months():\n    for month in ("2020-01", "2020-02"):\n'
        '        yield month, pl.DataFrame({"temp": [1.0, 2.0]})\n'
    )
    ingested = verb(root, "ingest", "weather")
    assert ingested.returncode == 0, ingested.stderr
    assert "4 rows, 2020-01 to 2020-02" in ingested.stdout
    assert verb(root, "validate", "weather").returncode == 0
    status = subprocess.run(["git", "status", "--short", "-uall"], cwd=root, capture_output=True, text=True, check=True)
    there = {line.split()[-1] for line in status.stdout.splitlines() if "weather" in line}
    assert there == {f"data_schemas/weather/{name}" for name in ("schema.py", "source.py", "data.dvc")}
