"""Rows by time, by a column and by a hash: which part each is in, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from models.lib import config, samples
from models.lib.split import PARTS, UNITS, ByColumn, ByHash, ByTime, Window, Windows
from repo.lib.files import read_json, read_yaml
from repo.lib.refusal import Refusal
from tests.support import trees
from tests.support.process import Answer
from tests.support.specimens import MODEL, NAME

FILE = MODEL / "model.yaml"
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}
HASH = {"by": "hash", "key": ["flight"], "shares": SHARES}
COLUMN = {"by": "column", "column": "flight_date"}
CUSTOMERS = pl.DataFrame({"customer": [f"c{number % 1000}" for number in range(3000)], "order": range(3000)})
DRAWN = {"train": ["c0", "c1", "c11", "c3", "c4", "c5", "c7", "c8", "c9"], "valid": ["c10", "c6"], "test": ["c2"]}


def by_hash(**more: Any) -> ByHash:
    return ByHash(**{"by": "hash", "key": ["customer"], "shares": SHARES, **more})


def windows(*limits: str) -> dict[str, Any]:
    """Of each part the first and the last."""
    return {
        part: dict(zip(("first", "last"), each.split(), strict=True)) for part, each in zip(PARTS, limits, strict=True)
    }


def test_a_key_is_in_one_part_and_stays_there_when_other_rows_come() -> None:
    split, more = by_hash(), pl.DataFrame({"customer": ["new", "c7", "newer"] * 50, "order": range(3000, 3150)})
    found = {part: split.select(CUSTOMERS, part) for part in PARTS}
    keys = [set(rows["customer"]) for rows in found.values()]
    assert sum(map(len, keys)) == len(set.union(*keys)) == 1000
    assert [len(each) / 1000 for each in keys] == pytest.approx([0.7, 0.15, 0.15], abs=0.04)
    assert sum(map(len, found.values())) == 3000
    mixed = pl.concat([CUSTOMERS, more]).sample(fraction=1, shuffle=True, seed=1)
    for part, before in found.items():
        assert before["order"].is_sorted()
        assert set(split.select(mixed, part)["order"]) - set(before["order"]) <= set(more["order"])


def test_a_key_of_several_columns_of_any_type_has_a_part_of_its_own_nulls_included() -> None:
    rows = pl.DataFrame({"a": ["x", "x", None], "b": [date(2024, 1, 1), None, None], "c": [1.5, float("nan"), 0.1]})
    split = by_hash(key=["a", "b", "c"])
    assert sum(split.select(rows, part).height for part in PARTS) == 3


def test_the_draw_is_the_same_in_each_process_and_another_salt_is_another_one() -> None:
    """Python's own hash of a text is not."""
    few, first, second = CUSTOMERS.head(12), by_hash(), by_hash(salt="1")
    assert {part: sorted(first.select(few, part)["customer"]) for part in PARTS} == DRAWN
    assert not first.select(CUSTOMERS, "test").equals(second.select(CUSTOMERS, "test"))
    assert [each.span("test").removeprefix("15 % by a hash of ") for each in (first, *first.others(2))] == [
        "customer",
        "customer, salt 1",
        "customer, salt 2",
    ]


@pytest.mark.parametrize("values", [["train", "valid", "test", "later", None], [1, 2, 3, 4, None], [True, False]])
def test_values_of_a_column_choose_the_rows_and_others_are_in_no_part(values: list[Any]) -> None:
    rows = pl.DataFrame({"part": values * 2})
    parts = {"train": values[:1], "valid": values[1:2], "test": values[2:3] or ["unused"]}
    split = ByColumn(by="column", column="part", **({} if values[0] == "train" else parts))
    for part, value in zip(PARTS, values, strict=False):
        assert split.select(rows, part)["part"].to_list() == [value] * 2
    assert split.span("train") == f"part {values[0]}"
    assert list(split.others(3)) == []


DAYS = pl.DataFrame({"day": pl.date_range(date(2023, 12, 1), date(2024, 3, 31), "1d", eager=True)})


@pytest.mark.parametrize(
    ("unit", "limits", "days"),
    [
        (
            "day",
            windows("2023-12-30 2024-01-02", "2024-01-03 2024-01-03", "2024-01-05 2024-01-06"),
            ["2023-12-30 2024-01-02", "2024-01-03 2024-01-03", "2024-01-05 2024-01-06"],
        ),
        (
            "week",
            windows("2023-W52 2024-W01", "2024-W02 2024-W02", "2024-W03 2024-W04"),
            ["2023-12-25 2024-01-07", "2024-01-08 2024-01-14", "2024-01-15 2024-01-28"],
        ),
        (
            "month",
            windows("2023-12 2024-01", "2024-02 2024-02", "2024-03 2024-03"),
            ["2023-12-01 2024-01-31", "2024-02-01 2024-02-29", "2024-03-01 2024-03-31"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["date", "time of day", "time zone"])
def test_a_window_has_its_days_both_ends_included(kind: str, unit: str, limits: Any, days: list[str]) -> None:
    split, rows = ByTime.model_validate({"by": "time", "column": "day", "unit": unit} | limits), DAYS
    if kind != "date":
        zone = "America/New_York" if kind == "time zone" else None  # there late in the evening UTC is the next day
        late = pl.col("day").cast(pl.Datetime).dt.offset_by("23h59m")
        rows = DAYS.with_columns(late.dt.replace_time_zone(zone))
    found = [split.select(rows, part)["day"].dt.date() for part in PARTS]
    assert [[str(each.min()), str(each.max())] for each in found] == [each.split() for each in days]


def test_a_date_without_quotes_is_a_date_to_pyyaml_and_the_same_window() -> None:
    quoted, plain = yaml.safe_load('[{first: "2024-03-01", last: "2024-03-02"}, {first: 2024-03-01, last: 2024-03-02}]')
    assert isinstance(plain["first"], date)
    assert Window(**quoted) == Window(**plain)
    assert str(Window(**plain)) == "2024-03-01 to 2024-03-02"


@pytest.mark.parametrize(
    "name", ["2024-3", "2024-13", "20240301", "2024-W54", "2024-W1", "2024", 2024, datetime(2024, 3, 1, tzinfo=UTC), ""]
)
def test_what_is_no_day_week_or_month_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="is not a day, week or month; write it as 2024-03-01, 2024-W09 or 2024-03"):
        Window(first=name, last="2024-03")


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_finds_each_of_its_names_again(unit: str) -> None:
    first = UNITS[unit].number(date(2019, 12, 1))
    names = [UNITS[unit].name(number) for number in range(first, first + 800)]
    assert [UNITS[unit].read(name) for name in names] == list(range(first, first + 800))
    assert names == sorted(names)


def test_windows_go_back_by_the_length_of_the_test_window() -> None:
    months = Windows.model_validate(windows("2023-11 2024-01", "2024-02 2024-02", "2024-03 2024-04"))
    assert [[each.span(part) for part in PARTS] for each in months.others(2)] == [
        ["2023-09 to 2023-11", "2023-12", "2024-01 to 2024-02"],
        ["2023-07 to 2023-09", "2023-10", "2023-11 to 2023-12"],
    ]
    assert months.months("train") == ["2023-11", "2023-12", "2024-01"]


def time(unit: str = "month", **changed: str) -> dict[str, Any]:
    limits = {"train": "2013-01 2013-06", "valid": "2013-07 2013-07", "test": "2013-08 2013-08"} | changed
    return {"by": "time", "column": "flight_date", "unit": unit} | windows(*limits.values())


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    # split, the field that is named, the message
    (time(valid="2013-08 2013-07"), "split.valid", "first (2013-08) lies after last (2013-07)"),
    (time(valid="2013-W28 2013-W28"), "split", "train window (2013-01 to 2013-06) is in months, valid in weeks"),
    (time("week"), "split", "the windows are in months, and `unit` is week"),
    (time() | {"column": "carrier"}, "split.column", "'carrier' is String, not a date"),
    (time() | {"column": "nothing"}, "split.column", "'nothing' is not a column of specimen_trips"),
    (COLUMN | {"column": "origin"}, "split.column", "'origin' is a feature"),
    (COLUMN | {"column": "arr_delay"}, "split.column", "'arr_delay' is the target"),
    (COLUMN | {"column": "flight"}, "split.train", "'train' is not a value of 'flight', which is Int64"),
    (COLUMN | {"train": ["a", "b"], "test": ["b"]}, "split", "'b' is listed twice, and a row is in one part"),
    (HASH | {"key": ["nothing"]}, "split.key", "'nothing' is not a column of specimen_trips"),
    (HASH | {"key": []}, "split.key", "at least 1 item"),
    (HASH | {"shares": SHARES | {"test": 0.2}}, "split.shares", "they sum to 1.05, not to 1"),
]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("split", "field", "words"), FAULTS)
def test_a_fault_is_one_sentence_that_names_file_and_field(split: Any, field: str, words: str) -> None:
    trees.configure(Path(), {"windows": None, "split": split})
    with pytest.raises(Refusal) as refused:
        config.load(NAME)
    assert str(refused.value).startswith(f"{FILE}: {field}: ")
    assert words in str(refused.value)


@pytest.mark.usefixtures("tree")
def test_windows_and_a_split_are_one_too_many_and_neither_too_few() -> None:
    trees.configure(Path(), {"split": HASH})
    for change in ({}, {"windows": None, "split": None}):
        trees.configure(Path(), change)
        with pytest.raises(Refusal, match=rf"^{FILE}: the file: give either `windows` or `split`"):
            config.load(NAME)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            time(test="2014-08 2014-08"),
            "split.test: holds no rows (2014-08); choose some that the data has.",
        ),
        (
            HASH | {"key": ["temp"]},
            "split: 60 rows of specimen_trips have no temp, so nothing says which part they are in; leave them out "
            "in source.py, or split by another column.",
        ),
    ],
)
def test_a_part_without_rows_and_rows_without_a_part_are_refused(split: dict[str, Any], message: str) -> None:
    trees.configure(Path(), {"windows": None, "split": split})
    with pytest.raises(Refusal) as refused:
        samples.rows(config.load(NAME), "test")
    assert str(refused.value) == f"{FILE}: {message}"


@pytest.mark.usefixtures("tree")
def test_by_time_and_by_months_are_the_same_rows() -> None:
    before = {part: samples.rows(config.load(NAME), part) for part in PARTS}
    trees.configure(Path(), {"windows": None, "split": time()})
    model = config.load(NAME)
    assert all(samples.rows(model, part).equals(before[part]) for part in PARTS)
    assert model.span("train") == "2013-01 to 2013-06"


def test_months_of_a_dataset_that_has_none_are_refused(tree: Path) -> None:
    data = tree / "data_schemas/specimen_trips/data"
    (data / "2013-01.parquet").rename(data / "all.parquet")
    for path in data.glob("2013-*.parquet"):
        path.unlink()
    with pytest.raises(Refusal, match=r"specimen_trips has no months: its source gives one table\(\)"):
        samples.rows(config.load(NAME), "test")
    trees.configure(tree, {"windows": None, "split": HASH})
    assert sum(samples.rows(config.load(NAME), part).height for part in PARTS) == 200


@pytest.mark.slow
def test_a_model_by_a_hash_runs_from_data_to_verdict_over_several_draws(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Answer]
) -> None:
    monkeypatch.chdir(trees.copy(shop, tmp_path / "shop"))
    trees.configure(Path(), {"windows": None, "split": HASH})
    answer = verb("run", NAME, "--windows", "3")
    assert answer.code in (0, 1), answer.error  # its gates are for another division
    assert "run specimen_delay: window 2 of 3, 15 % by a hash of flight, salt 1: ROC AUC 0." in answer.out
    assert answer.out.count("training") == 0
    record = read_yaml(MODEL / "build/passport.yaml", "")
    found = read_json(MODEL / "build/windows.json", "")
    assert record["dataset"]["window"] == "15 % by a hash of flight"
    assert [each["test"] for each in found["windows"]][1:] == [
        "15 % by a hash of flight, salt 1",
        "15 % by a hash of flight, salt 2",
    ]
    assert found["windows"][0]["metrics"]["roc_auc"] == record["metrics"]["roc_auc"]["value"]
    assert found["sentence"] in (MODEL / "build/report.md").read_text()
    assert verb("run", NAME, "--check").code == 0
    assert "nothing changed" in verb("run", NAME).out
    trees.configure(Path(), {"split.salt": "b"})
    checked = verb("run", NAME, "--check")
    assert (checked.code, "train: split of models/specimen_delay/model.yaml changed" in checked.out) == (1, True)
