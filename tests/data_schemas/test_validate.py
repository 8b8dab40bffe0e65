"""Validate: each violation is planted, found, counted and located; nothing that cannot be checked passes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from pandera.config import ValidationDepth, config_context

from data_schemas import validate
from data_schemas.lib import pointer, tables, violations
from data_schemas.lib.violations import check
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import DATA, make_trips
from tests.support import process
from tests.support.specimens import DATASET, DATASET_NAME

pytestmark = pytest.mark.usefixtures("tree")
ROW = pl.int_range(pl.len())
REPORT = DATASET / "build/validation.json"
Capture = pytest.CaptureFixture[str]
Plant = Callable[[pl.DataFrame], pl.DataFrame]


def put(column: str, value: object, row: int = 5) -> Plant:
    """Plant a value in one cell, keeping the column's type."""

    def plant(table: pl.DataFrame) -> pl.DataFrame:
        planted = pl.lit(value, dtype=table.schema[column])
        return table.with_columns(pl.when(row == ROW).then(planted).otherwise(column).alias(column))

    return plant


def run(table: str | None = None, report: str | None = None) -> int:
    return validate.main(argparse.Namespace(dataset=DATASET_NAME, table=table, report=report))


def stored(**months: pl.DataFrame) -> list[dict[str, Any]]:
    """Put months in place as ingest would, pinned; what `validate` finds in them."""
    DATA.mkdir(parents=True)
    for name, table in months.items():
        table.write_parquet(DATA / f"{name.replace('m', '2013-')}.parquet")
    pointer.pin(DATASET_NAME, pointer.measure(DATA))
    return reported()


def reported(table: str | None = None) -> list[dict[str, Any]]:
    """The violations of the report, with which the exit code agrees."""
    code, name = run(table), f"validation-{Path(table).stem}.json" if table else "validation.json"
    found: list[dict[str, Any]] = json.loads((DATASET / "build" / name).read_text())["violations"]
    assert code == bool(found)
    return found


def found_in(table: pl.DataFrame) -> list[tuple[str, str, int, list[int]]]:
    return [(v.column, v.rule, v.count, [case.row for case in v.cases]) for v in check(DATASET_NAME, table)]


# Planted fault -> the one violation that must be found: column, words of the rule, rows, shown value of the first.
PLANTED: list[tuple[Plant, str, str, list[int], str]] = [
    (put("temp", float("nan")), "temp", "in_range", [5], "nan"),
    (put("carrier", "ZZ"), "carrier", "isin", [5], "'ZZ'"),
    (put("dest", "MIA\n"), "dest", "str_matches", [5], "'MIA\\n'"),
    (put("arr_delay", None), "arr_delay", "not null", [5], "null"),
    (put("weekday", 7, row=0), "flight_date, weekday", "weekday is that of flight_date", [0], "2013-01-01, 7"),
    (
        lambda table: put("distance", 2475, row=1)(put("origin", "LGA", row=1)(table)),
        "origin, dest, distance",
        "from LGA at most 1,500 miles",
        [1],
        "'LGA', 'MIA', 2475",
    ),
    (
        lambda table: pl.concat([table, table.slice(7, 1)]),
        "flight_date, carrier, flight, origin, sched_dep_minute",
        "a trip occurs once",
        [7, 40],
        "2013-01-08, 'AA', 107, 'JFK', 370",
    ),
]


@pytest.mark.parametrize(("plant", "column", "rule", "rows", "value"), PLANTED)
def test_a_planted_fault_is_the_one_violation(
    trips: pl.DataFrame, plant: Plant, column: str, rule: str, rows: list[int], value: str
) -> None:
    found = check(DATASET_NAME, plant(trips))
    assert [violation.column for violation in found] == [column]
    assert rule in found[0].rule
    assert [case.row for case in found[0].cases] == rows
    assert (found[0].count, found[0].cases[0].value) == (len(rows), value)


def test_what_holds_the_contract_passes(trips: pl.DataFrame) -> None:
    """A short trip from LaGuardia is within its perimeter."""
    assert found_in(trips) == found_in(put("origin", "LGA", row=1)(trips)) == []


def test_what_is_wrong_with_the_columns_is_named(trips: pl.DataFrame) -> None:
    assert found_in(trips.drop("humid", "weekday").with_columns(tail=pl.lit("N1"), gate=1)) == [
        ("weekday", "column is missing", 1, []),
        ("humid", "column is missing", 1, []),
        ("tail", "column is not in the schema", 1, []),
        ("gate", "column is not in the schema", 1, []),
    ]
    assert found_in(trips.clear()) == [("", "at least one row", 1, [])]
    ((_, rule, *_),) = found_in(trips.select(reversed(trips.columns)))
    assert "columns in the order flight_date, carrier" in rule


def test_a_wrong_type_is_named_once_and_hides_no_other_fault(trips: pl.DataFrame) -> None:
    """A moment is no date."""
    types = {"flight": pl.Int32, "weekday": pl.String, "flight_date": pl.Datetime}
    found = found_in(put("distance", -1)(trips).cast(types))  # type: ignore[arg-type]
    assert {column: (rule, count) for column, rule, count, _ in found} == {
        "flight": ("type Int64, not Int32", 40),
        "weekday": ("type Int64, not String", 40),
        "flight_date": ("type Date, not Datetime(time_unit='us', time_zone=None)", 40),
        "distance": ("in_range(50, 6000)", 1),
    }


def test_cases_are_capped_and_counts_are_not(trips: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the schema says: without a limit pandera makes Python objects of all bad rows."""
    copied: list[int] = []
    translate = violations._translate

    def counting(errors: Any, *rest: Any) -> Any:
        copied.extend(len(error.failure_cases) for error in errors)
        return translate(errors, *rest)

    monkeypatch.setattr(violations, "_translate", counting)
    bad = pl.concat([trips] * 50).with_columns(carrier=pl.lit("Z" * 500), distance=pl.lit(-1, dtype=pl.Int64))
    found = check(DATASET_NAME, bad)
    assert {violation.column for violation in found} >= {"carrier", "distance"}
    assert all(violation.count == 2000 and len(violation.cases) == 5 for violation in found)
    assert all(len(case.value) < 200 for violation in found for case in violation.cases)
    assert max(copied) == violations.CASES


def test_validation_cannot_be_switched_off(tmp_path: Path, bare: Path, trips: pl.DataFrame) -> None:
    put("distance", -1)(trips).write_parquet(tmp_path / "bad.parquet")
    words = ("data_schemas", "validate", DATASET_NAME, "--table", str(tmp_path / "bad.parquet"))
    answer = process.run(*words, root=bare, PANDERA_VALIDATION_ENABLED="False")
    assert answer.code == 2
    assert "PANDERA_VALIDATION_ENABLED" in answer.error
    assert "Traceback" not in answer.error
    with (
        config_context(validation_depth=ValidationDepth.SCHEMA_ONLY),
        pytest.raises(Refusal, match="switched off"),
    ):
        check(DATASET_NAME, trips)


def test_the_whole_dataset_passes_with_the_same_report_each_time(inside: Path, capsys: Capture) -> None:
    assert run() == 0
    first = (inside / REPORT).read_bytes()
    assert run() == 0
    assert (inside / REPORT).read_bytes() == first
    report = json.loads(first)
    assert (report["verdict"], report["rows"], len(report["files"])) == ("pass", 2_400, 12)
    assert "hold the contract" in capsys.readouterr().out


def test_a_violation_is_printed_reported_and_fails(trips: pl.DataFrame, capsys: Capture) -> None:
    """Another table leaves the report of the dataset alone, and what a row holds cannot act on the terminal."""
    bad = put("carrier", "\x1b[31m[bold]")(put("distance", -1)(trips)).with_columns(pl.lit(1).alias("x\x1b[2J"))
    bad.write_parquet("march.parquet")
    distance = next(each for each in reported("march.parquet") if each["column"] == "distance")
    assert distance["cases"] == [{"row": 5, "value": "-1", "file": ""}]
    assert not REPORT.exists()
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("distance", "in_range", "-1", "5", "[bold]", "validation-march.json"))
    assert "\x1b" not in printed
    assert run("march.parquet", "out/report.json") == 1
    assert json.loads(Path("out/report.json").read_text())["verdict"] == "fail"


def test_rows_are_located_in_the_file_they_came_from() -> None:
    (found,) = stored(m01=make_trips(1), m02=put("distance", -1, row=9)(make_trips(2)))
    assert found["cases"] == [{"row": 9, "value": "-1", "file": "2013-02.parquet"}]


def test_a_month_stored_twice_is_found() -> None:
    (found,) = stored(m01=make_trips(1), m02=make_trips(1))
    assert (found["rule"], found["count"]) == ("a trip occurs once", 80)


def test_files_that_differ_in_shape_are_each_named() -> None:
    stored(m01=make_trips(1), m02=make_trips(2).drop("visib"), m03=make_trips(3).clear())
    (DATA / "2013-04.parquet").write_bytes(b"PAR1 but no more")
    rules = " ".join(found["rule"] for found in reported())
    for words in ("2013-04.parquet cannot be read", "missing (2013-02.parquet)", "one row (2013-03.parquet)"):
        assert words in rules


def test_data_that_is_not_the_pinned_version_fails() -> None:
    assert stored(m01=make_trips(1)) == []
    make_trips(2).write_parquet(DATA / "2013-02.parquet")  # rows that hold the contract, put there by hand
    assert ["as data.dvc pins it" in found["rule"] for found in reported()] == [True]


def test_csv_holds_the_same_contract(trips: pl.DataFrame) -> None:
    table = Path("trips.csv")
    for separator in ",;":
        trips.write_csv(table, separator=separator)
        assert validate.read(DATASET_NAME, table).equals(trips)
    put("distance", -1)(trips).write_csv(table)
    (found,) = reported("trips.csv")
    assert (found["column"], found["rule"], found["count"]) == ("distance", "in_range(50, 6000)", 1)


@pytest.mark.parametrize(("column", "cell", "kind"), [("distance", "1.5", "Int64"), ("flight_date", "x", "Date")])
def test_a_csv_cell_of_the_wrong_type_is_located(trips: pl.DataFrame, column: str, cell: str, kind: str) -> None:
    put(column, cell)(trips.with_columns(pl.col(column).cast(pl.String))).write_csv("trips.csv")
    (found,) = reported("trips.csv")
    assert (found["column"], found["rule"], found["count"]) == (column, f"type {kind}", 1)
    assert found["cases"] == [{"row": 5, "value": f"'{cell}'", "file": ""}]


US, BERLIN = pl.Datetime("us"), pl.Datetime("us", "Europe/Berlin")


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("2013-01-31", pl.Date(), date(2013, 1, 31)),
        ("13-01-01", pl.Date(), None),
        ("+2013-01-01", pl.Date(), None),
        ("2013-02-30", pl.Date(), None),
        ("2013-01-02 10:00", US, datetime(2013, 1, 2, 10)),
        ("2013-01-02T10:00:00.25", US, datetime(2013, 1, 2, 10, 0, 0, 250_000)),
        ("2013-01-02T10:00:00.0000001", US, None),
        ("2013-01-02T10:00:00Z", US, None),
        ("2013-01-02T10:00:00Z", BERLIN, datetime(2013, 1, 2, 11, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("2013-01-02 10:00:00", BERLIN, datetime(2013, 1, 2, 10, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("10:30", pl.Time(), time(10, 30)),
        ("10:30:00.000000000", pl.Time(), time(10, 30)),
        ("True", pl.Boolean(), True),
        ("yes", pl.Boolean(), None),
        ("2.340", pl.Decimal(10, 2), Decimal("2.34")),
        ("2.345", pl.Decimal(10, 2), None),
        ("1.5", pl.Int64(), None),
    ],
)
def test_text_is_the_value_that_it_says_or_none(cell: str, kind: pl.DataType, value: object) -> None:
    assert tables.parse(pl.Series([cell, None]), kind).to_list() == [value, None]


@pytest.mark.parametrize("name", ["trips.csv", "trips.parquet"])
def test_an_unreadable_file_is_a_violation(trips: pl.DataFrame, name: str) -> None:
    contents = [b"", b"\xff\xfe\x00\x81" * 500, b"PAR1" + b"\0" * 300 + b"PAR1"]
    if name.endswith(".parquet"):
        trips.write_parquet(name)
        contents += [Path(name).read_bytes()[:size] for size in (5_000, -3)]
    for content in contents:
        Path(name).write_bytes(content)
        assert reported(name)
