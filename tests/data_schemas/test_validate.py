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
from data_schemas.lib.violations import Violation, check
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


def run(table: Path | None = None, report: Path | None = None) -> int:
    options = {"dataset": DATASET_NAME, "table": table and str(table), "report": report and str(report)}
    return validate.main(argparse.Namespace(**options))


def store(**months: pl.DataFrame) -> None:
    """Put months in place as ingest would, pinned."""
    DATA.mkdir(parents=True)
    for name, table in months.items():
        table.write_parquet(DATA / f"{name.replace('m', '2013-')}.parquet")
    pointer.pin(DATASET_NAME, pointer.measure(DATA))


def named(violations: list[Violation]) -> list[tuple[str, str, int, list[int]]]:
    return [(v.column, v.rule, v.count, [case.row for case in v.cases]) for v in violations]


def test_of_bad_rows_no_more_are_copied_than_are_shown(trips: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the schema says: without a limit pandera makes Python objects of them all."""
    copied: list[int] = []
    translate = violations._translate

    def counting(errors: Any, *rest: Any) -> Any:
        copied.extend(len(error.failure_cases) for error in errors)
        return translate(errors, *rest)

    monkeypatch.setattr(violations, "_translate", counting)
    table = trips.with_columns(distance=pl.lit(-1, trips.schema["distance"]), dest="origin")
    assert {violation.count for violation in check(DATASET_NAME, table)} == {trips.height}
    assert max(copied) == violations.CASES


def test_rows_that_hold_the_contract_pass(trips: pl.DataFrame) -> None:
    assert check(DATASET_NAME, trips) == []


# Planted fault -> the one violation that must be found: column, words of the rule, rows, shown value of the first.
PLANTED: list[tuple[Plant, str, str, list[int], str]] = [
    (put("distance", -1), "distance", "in_range(50", [5], "-1"),
    (put("sched_dep_minute", 1440), "sched_dep_minute", "in_range(0, 1439)", [5], "1440"),
    (put("temp", float("nan")), "temp", "in_range", [5], "nan"),
    (put("temp", float("inf")), "temp", "in_range", [5], "inf"),
    (put("carrier", "ZZ"), "carrier", "isin", [5], "'ZZ'"),
    (put("origin", "BOS"), "origin", "isin", [5], "'BOS'"),
    (put("dest", "Miami"), "dest", "str_matches", [5], "'Miami'"),
    (put("dest", "MIA\n"), "dest", "str_matches", [5], "'MIA\\n'"),
    (put("arr_delay", None), "arr_delay", "not null", [5], "null"),
    (put("carrier", None), "carrier", "not null", [5], "null"),
    (put("weekday", 7, row=0), "flight_date, weekday", "weekday is that of flight_date", [0], "2013-01-01, 7"),
    (put("dest", "JFK"), "origin, dest", "origin differs from dest", [5], "'JFK', 'JFK'"),
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


def test_a_short_trip_from_laguardia_is_within_the_perimeter(trips: pl.DataFrame) -> None:
    assert check(DATASET_NAME, put("origin", "LGA", row=1)(trips)) == []


def test_every_missing_and_extra_column_is_named(trips: pl.DataFrame) -> None:
    table = trips.drop("humid", "weekday").with_columns(tail=pl.lit("N1"), gate=1)
    assert named(check(DATASET_NAME, table)) == [
        ("weekday", "column is missing", 1, []),
        ("humid", "column is missing", 1, []),
        ("tail", "column is not in the schema", 1, []),
        ("gate", "column is not in the schema", 1, []),
    ]


def test_columns_in_another_order_are_a_violation(trips: pl.DataFrame) -> None:
    (found,) = check(DATASET_NAME, trips.select(reversed(trips.columns)))
    assert "columns in the order flight_date, carrier" in found.rule


def test_a_wrong_type_is_named_once_and_hides_no_other_fault(trips: pl.DataFrame) -> None:
    table = put("distance", -1)(trips).with_columns(pl.col("flight").cast(pl.Int32), pl.col("weekday").cast(str))
    found = {violation.column: violation for violation in check(DATASET_NAME, table)}
    assert set(found) == {"flight", "weekday", "distance"}
    assert (found["flight"].rule, found["flight"].count) == ("type Int64, not Int32", 40)
    assert found["weekday"].rule == "type Int64, not String"


def test_an_empty_table_is_a_violation(trips: pl.DataFrame) -> None:
    assert named(check(DATASET_NAME, trips.clear())) == [("", "at least one row", 1, [])]


def test_cases_are_capped_and_counts_are_not(trips: pl.DataFrame) -> None:
    bad = pl.concat([trips] * 50).with_columns(carrier=pl.lit("Z" * 500), arr_delay=pl.lit(None, dtype=pl.Int64))
    found = check(DATASET_NAME, bad)
    assert {violation.column for violation in found} >= {"carrier", "arr_delay"}
    assert all(violation.count == 2000 and len(violation.cases) == 5 for violation in found)
    assert all(len(case.value) < 200 for violation in found for case in violation.cases)


@pytest.mark.parametrize(
    "off", [{"validation_enabled": False}, {"validation_depth": ValidationDepth.SCHEMA_ONLY}], ids=["off", "no data"]
)
def test_a_switched_off_validation_is_refused(trips: pl.DataFrame, off: dict[str, object]) -> None:
    with config_context(**off), pytest.raises(Refusal, match="switched off"):  # type: ignore[arg-type]
        check(DATASET_NAME, put("distance", -1)(trips))


def test_the_environment_cannot_switch_validation_off(tmp_path: Path, bare: Path, trips: pl.DataFrame) -> None:
    put("distance", -1)(trips).write_parquet(tmp_path / "bad.parquet")
    words = ("data_schemas", "validate", DATASET_NAME, "--table", str(tmp_path / "bad.parquet"))
    answer = process.run(*words, root=bare, PANDERA_VALIDATION_ENABLED="False")
    assert answer.code == 2
    assert "PANDERA_VALIDATION_ENABLED" in answer.error
    assert "Traceback" not in answer.error


def test_the_whole_dataset_passes_with_the_same_report_each_time(inside: Path, capsys: Capture) -> None:
    assert run() == 0
    first = (inside / REPORT).read_bytes()
    assert run() == 0
    assert (inside / REPORT).read_bytes() == first
    report = json.loads(first)
    assert (report["verdict"], report["rows"], len(report["files"])) == ("pass", 2_400, 12)
    assert "hold the contract" in capsys.readouterr().out


def test_a_violation_is_printed_reported_and_fails(trips: pl.DataFrame, capsys: Capture) -> None:
    put("distance", -1)(trips).write_parquet("march.parquet")
    assert run(Path("march.parquet"), Path("out/report.json")) == 1
    report = json.loads(Path("out/report.json").read_text())
    assert report["verdict"] == "fail"
    (violation,) = report["violations"]
    assert violation["cases"] == [{"row": 5, "value": "-1", "file": ""}]
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("distance", "in_range(50, 6000)", "-1", "5", "out/report.json"))


def test_another_table_leaves_the_report_of_the_dataset_alone(trips: pl.DataFrame) -> None:
    trips.write_parquet("march.parquet")
    assert run(Path("march.parquet")) == 0
    assert not REPORT.exists()
    assert REPORT.with_name("validation-march.json").exists()


def test_rows_are_located_in_the_file_they_came_from() -> None:
    store(m01=make_trips(1), m02=put("distance", -1, row=9)(make_trips(2)))
    assert run() == 1
    (violation,) = json.loads(REPORT.read_text())["violations"]
    assert violation["cases"] == [{"row": 9, "value": "-1", "file": "2013-02.parquet"}]


def test_a_month_stored_twice_is_found() -> None:
    store(m01=make_trips(1), m02=make_trips(1))
    assert run() == 1
    (violation,) = json.loads(REPORT.read_text())["violations"]
    assert (violation["rule"], violation["count"]) == ("a trip occurs once", 80)


def test_files_that_differ_in_shape_are_each_named() -> None:
    store(m01=make_trips(1), m02=make_trips(2).drop("visib"), m03=make_trips(3).clear())
    (DATA / "2013-04.parquet").write_bytes(b"PAR1 but no more")
    assert run() == 1
    rules = [violation["rule"] for violation in json.loads(REPORT.read_text())["violations"]]
    assert any("2013-04.parquet cannot be read" in rule for rule in rules)
    assert "column is missing (2013-02.parquet)" in rules
    assert "at least one row (2013-03.parquet)" in rules


def test_data_that_is_not_the_pinned_version_fails() -> None:
    store(m01=make_trips(1))
    assert run() == 0
    make_trips(2).write_parquet(DATA / "2013-02.parquet")  # rows that hold the contract, put there by hand
    assert run() == 1
    (violation,) = json.loads(REPORT.read_text())["violations"]
    assert "as data.dvc pins it" in violation["rule"]


def test_csv_holds_the_same_contract(trips: pl.DataFrame) -> None:
    table = Path("trips.csv")
    trips.write_csv(table)
    assert validate.read(DATASET_NAME, table).equals(trips)
    trips.write_csv(table, separator=";")
    assert validate.read(DATASET_NAME, table).equals(trips)
    put("distance", -1)(trips).write_csv(table)
    assert named(validate.inspect(DATASET_NAME, [table]).violations) == [("distance", "in_range(50, 6000)", 1, [5])]


@pytest.mark.parametrize(
    ("column", "cell", "type_"),
    [
        ("distance", "far", "Int64"),
        ("distance", "1.5", "Int64"),
        ("temp", "warm", "Float64"),
        ("flight_date", "x", "Date"),
    ],
)
def test_a_csv_cell_of_the_wrong_type_is_located(trips: pl.DataFrame, column: str, cell: str, type_: str) -> None:
    put(column, cell)(trips.with_columns(pl.col(column).cast(pl.String))).write_csv("trips.csv")
    (found,) = validate.inspect(DATASET_NAME, [Path("trips.csv")]).violations
    assert (found.column, found.rule, found.count) == (column, f"type {type_}", 1)
    assert (found.cases[0].row, found.cases[0].value) == (5, f"'{cell}'")


US, BERLIN = pl.Datetime("us"), pl.Datetime("us", "Europe/Berlin")


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("2013-01-31", pl.Date(), date(2013, 1, 31)),
        ("13-01-01", pl.Date(), None),
        (" 2013-01-01", pl.Date(), None),
        ("+2013-01-01", pl.Date(), None),
        ("2013-02-30", pl.Date(), None),
        ("2013-01-02 10:00", US, datetime(2013, 1, 2, 10)),
        ("2013-01-02T10:00:00.25", US, datetime(2013, 1, 2, 10, 0, 0, 250_000)),
        ("2013-01-02T10:00:00.0000001", US, None),
        ("01/02/2013 10:00:00", US, None),
        ("2013-01-02T10:00:00Z", US, None),
        ("2013-01-02T10:00:00Z", BERLIN, datetime(2013, 1, 2, 11, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("2013-01-02 10:00:00", BERLIN, datetime(2013, 1, 2, 10, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("10:30", pl.Time(), time(10, 30)),
        ("10:30:00.000000000", pl.Time(), time(10, 30)),
        ("25:00:00", pl.Time(), None),
        ("True", pl.Boolean(), True),
        ("false", pl.Boolean(), False),
        ("yes", pl.Boolean(), None),
        ("2.340", pl.Decimal(10, 2), Decimal("2.34")),
        ("2.345", pl.Decimal(10, 2), None),
        ("1.5", pl.Int64(), None),
    ],
)
def test_text_is_the_value_that_it_says_or_none(cell: str, kind: pl.DataType, value: object) -> None:
    assert tables.parse(pl.Series([cell, None]), kind).to_list() == [value, None]


@pytest.mark.parametrize("name", ["trips.csv", "trips.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x81" * 500, b"PAR1" + b"\0" * 300 + b"PAR1"])
def test_an_unreadable_file_is_a_violation(name: str, content: bytes, capsys: Capture) -> None:
    Path(name).write_bytes(content)
    assert run(Path(name)) == 1
    assert "violate the contract" in capsys.readouterr().out


def test_a_truncated_parquet_file_is_a_violation(trips: pl.DataFrame) -> None:
    trips.write_parquet("trips.parquet")
    whole = Path("trips.parquet").read_bytes()
    for size in (len(whole) // 2, len(whole) - 3):
        Path("trips.parquet").write_bytes(whole[:size])
        assert run(Path("trips.parquet")) == 1


def test_what_a_row_holds_cannot_act_on_the_terminal(trips: pl.DataFrame, capsys: Capture) -> None:
    bad = put("carrier", "\x1b[31m[bold]")(trips).with_columns(pl.lit(1).alias("x\x1b[2J"))
    bad.write_parquet("trips.parquet")
    assert run(Path("trips.parquet")) == 1
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]" in printed


def test_a_wrong_name_or_a_missing_file_is_refused() -> None:
    with pytest.raises(Refusal, match=r"no dataset 'specimen_trains'.*datasets: specimen_trips"):
        validate.main(argparse.Namespace(dataset="specimen_trains", table=None, report=None))
    with pytest.raises(Refusal, match=f"python -m data_schemas ingest {DATASET_NAME}"):
        run()
    with pytest.raises(Refusal, match=r"nowhere\.csv is not a file"):
        run(Path("nowhere.csv"))
    with pytest.raises(Refusal, match="is not a file"):
        run(Path("data_schemas"))
    Path("trips.xlsx").write_text("")
    with pytest.raises(Refusal, match=r"neither \.csv nor \.parquet"):
        run(Path("trips.xlsx"))


def test_a_date_is_a_date_and_not_a_moment(trips: pl.DataFrame) -> None:
    table = trips.with_columns(pl.col("flight_date").cast(pl.Datetime))
    assert [violation.column for violation in check(DATASET_NAME, table)] == ["flight_date"]
