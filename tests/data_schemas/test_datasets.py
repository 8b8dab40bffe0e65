"""Datasets as other stages see them: discovered by folder, read in the schema's order, refused with the fix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from data_schemas.lib import datasets
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import DATA, make_trips, verb
from tests.support.repository import git
from tests.support.specimens import DATASET_NAME

pytestmark = pytest.mark.usefixtures("importable", "handlers_kept")
FIX = f"python -m data_schemas ingest {DATASET_NAME}"
WEATHER = Path("data_schemas/specimen_weather")
TEMP = "temp: float = pa.Field(in_range=(-40, 130){})"


def write_schema(field: str = TEMP.format(""), config: str = "strict = True") -> None:
    WEATHER.mkdir()
    (WEATHER / "schema.py").write_text(
        f"import pandera.polars as pa\n\n\nclass Weather(pa.DataFrameModel):\n    {field}\n\n"
        f"    class Config:\n        {config}\n"
    )


def test_rows_are_read_as_one_table_in_the_order_of_the_schema_with_months_and_without() -> None:
    DATA.mkdir()
    with pytest.raises(Refusal, match=FIX):
        datasets.read_all(DATASET_NAME)
    make_trips(2).select(reversed(make_trips().columns)).write_parquet(DATA / "2013-02.parquet")
    make_trips(1).write_parquet(DATA / "2013-01.parquet")
    assert datasets.months(DATASET_NAME) == ["2013-01", "2013-02"]
    assert datasets.read_all(DATASET_NAME).equals(pl.concat([make_trips(1), make_trips(2)]))
    for path in DATA.iterdir():
        path.unlink()
    make_trips().write_parquet(DATA / "all.parquet")
    assert datasets.read_all(DATASET_NAME).equals(make_trips())
    with pytest.raises(Refusal, match="has no months"):
        datasets.months(DATASET_NAME)


def test_a_missing_or_broken_month_names_file_and_fix() -> None:
    DATA.mkdir()
    with pytest.raises(Refusal, match=rf"2013-01\.parquet is missing.*{FIX}"):
        datasets.read(DATASET_NAME, ["2013-01"])
    (DATA / "2013-01.parquet").write_bytes(b"no table")
    with pytest.raises(Refusal, match=rf"2013-01\.parquet cannot be read.*{FIX}"):
        datasets.read(DATASET_NAME, ["2013-01"])
    make_trips().drop("temp").write_parquet(DATA / "2013-01.parquet")
    with pytest.raises(Refusal, match=r"2013-01\.parquet cannot be read.*temp"):
        datasets.read(DATASET_NAME, ["2013-01"])
    with pytest.raises(Refusal, match="name at least one"):
        datasets.read(DATASET_NAME, [])


@pytest.mark.parametrize("name", ["specimen_trains", "", "..", f"{DATASET_NAME}/../{DATASET_NAME}"])
def test_a_name_that_is_no_dataset_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="no dataset"):
        datasets.schema(name)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("import sys\nsys.exit(0)\n", "cannot be loaded (SystemExit: 0)"),
        ("raise ValueError('two\\nlines')\n", "cannot be loaded (ValueError: two lines)"),
        ("ROWS = 1\n", "must define one pandera DataFrameModel, not 0"),
        ("import pandera.polars as pa\nclass W(pa.DataFrameModel):\n    x: 'nothing'\n", "schema.py"),
    ],
)
def test_a_broken_contract_is_one_sentence(schema: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    WEATHER.mkdir()
    (WEATHER / "schema.py").write_text(schema)
    Path("t.csv").touch()
    assert verb("validate", WEATHER.name, "--table", "t.csv") == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert len(printed.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("field", "config", "option"),
    [
        ("", "drop_invalid_rows = True", "Config: the option drop_invalid_rows"),
        ("", "add_missing_columns = True", "Config: the option add_missing_columns"),
        (", coerce=True", "strict = True", "temp: the option coerce"),
        (", default=0", "strict = True", "temp: the option default"),
        (", raise_warning=True", "strict = True", "temp: the option raise_warning"),
    ],
)
def test_what_would_mend_or_excuse_rows_only_while_they_are_checked_is_refused(
    field: str, config: str, option: str
) -> None:
    write_schema(TEMP.format(field), config)
    with pytest.raises(Refusal, match=f"{WEATHER}/schema.py: {option}"):
        datasets.schema(WEATHER.name)


@pytest.mark.parametrize(
    ("field", "config", "words"),
    [
        ('{"personl": True}', "{}", "temp: metadata has no 'personl'; did you mean personal; write one of unit, "),
        ('{"Personal": True}', "{}", "temp: metadata has no 'Personal'; did you mean personal; "),
        ('{"colour": "red"}', "{}", "temp: metadata has no 'colour'; write one of unit, "),
        ("{}", '{"license": "MIT"}', "Config: metadata has no 'license'; did you mean licence; write one of owner, "),
    ],
)
def test_metadata_that_nobody_reads_is_refused_unless_it_is_marked_as_a_teams_own(
    field: str, config: str, words: str
) -> None:
    write_schema(TEMP.format(f", metadata={field}"), f"metadata = {config}")
    with pytest.raises(Refusal, match=f"{WEATHER}/schema.py: {words}"):
        datasets.schema(WEATHER.name)


def test_metadata_of_a_teams_own_is_taken() -> None:
    write_schema(TEMP.format(', metadata={"x-topic": "sky", "known": "after"}'), 'metadata = {"owner": "", "x-no": 1}')
    assert datasets.about(WEATHER.name)["owner"] == ""


@pytest.mark.slow
def test_a_set_of_allowed_values_gives_the_same_bytes_in_each_process(bare: Path) -> None:
    write_schema("sky: str = pa.Field(isin={'clear', 'cloudy', 'rain', 'snow'})")
    script = (
        "import json, sys; sys.path.append(sys.argv[1]); import polars as pl\n"
        "from data_schemas.lib import violations; table = pl.DataFrame({'sky': ['rain', 'fog']})\n"
        "print(violations.check('specimen_weather', table))"
    )
    command, found = [sys.executable, "-c", script, str(bare)], set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1
    assert "isin(['clear', 'cloudy', 'rain', 'snow'])" in found.pop()


def test_a_team_adds_a_dataset_by_one_folder(recorded: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_schema()
    (WEATHER / "source.py").write_text(
        "import polars as pl\n\n\n"
        'def months():\n    for month in ("2020-01", "2020-02"):\n'
        '        yield month, pl.DataFrame({"temp": [1.0, 2.0]})\n'
    )
    assert verb("ingest", WEATHER.name) == 0
    assert "4 rows, 2020-01 to 2020-02" in capsys.readouterr().out
    assert verb("validate", WEATHER.name) == 0
    there = {line.split()[-1] for line in git("status", "--short", "-uall").splitlines() if "weather" in line}
    assert there == {f"{WEATHER}/{name}" for name in ("schema.py", "source.py", "data.dvc")}
    assert recorded == [WEATHER.name]
