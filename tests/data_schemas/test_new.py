"""A stranger's table becomes a dataset that passes every test before anybody edits it, or nothing is left of it."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_schemas import new as verb_new
from data_schemas.lib import datasets
from serving.lib import derivation
from serving.runtime import request
from tests.data_schemas import test_every_dataset as rules
from tests.data_schemas.examples import verb
from tests.support.repository import ROOT, git

pytestmark = pytest.mark.usefixtures("importable", "recorded", "handlers_kept")
ROWS = 300


def orders() -> pl.DataFrame:
    """Names that Python, the linter or pandera would not take, and a column of each type."""
    day, number = datetime.date(2024, 1, 1), range(ROWS)
    return pl.DataFrame(
        {
            "Order ID": [f"A-{each:04d}" for each in number],
            "ordered-at": [day + datetime.timedelta(days=each // 2) for each in number],
            "2nd.price": [each / 8 for each in number],
            "count": [each % 7 for each in number],
            "class": ["ab", "c"] * 150,
            "Größe \u2013 цена": ["groß", "it's", 'x"y'] * 100,
            "orderTotal": [None if each % 9 == 0 else 5 * each for each in number],
            "zip": [f"0{1000 + each}" for each in number],
            "paid": [each % 3 == 0 for each in number],
            "a long question of a survey, " * 5: [1e300] * ROWS,
            "at": [datetime.datetime(2024, 1, 1, each % 24, 30) for each in number],
        }
    )


def put(content: str | bytes | pl.DataFrame) -> str:
    """A file of this content; its name."""
    if isinstance(content, pl.DataFrame):
        content.write_parquet("table.parquet")
        return "table.parquet"
    Path("table.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return "table.csv"


def draft(content: str | bytes | pl.DataFrame, name: str = "specimen_orders") -> tuple[Any, pl.DataFrame]:
    """Draft a dataset from a file of this content; its schema, and the rows that were pinned."""
    assert verb("new", name, "--from", put(content)) == 0
    return datasets.schema(name).to_schema(), datasets.read_all(name)


def test_a_draft_passes_what_every_dataset_passes() -> None:
    schema, rows = draft(orders().write_csv())
    rules.test_the_contract_is_one_that_a_service_can_keep(schema)
    assert datasets.about("specimen_orders") == dict.fromkeys(datasets.ABOUT, "") | {"personal": []}
    folder = Path("data_schemas/specimen_orders")
    Path("data_schemas/lib").mkdir()
    Path("data_schemas/lib/tables.py").touch()  # by which the linter knows what is ours
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    there = {line.split()[-1] for line in git("status", "--short", "-uall").splitlines() if "orders" in line}
    assert there == {f"{folder}/{name}" for name in ("data.dvc", "schema.py", "source.py", "table.csv")}
    assert rows.equals(orders().with_columns(pl.col("orderTotal").cast(pl.Float64)))
    assert datasets.months("specimen_orders") == ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"]


def test_a_draft_can_be_served_by_the_names_of_the_file() -> None:
    schema, rows = draft(orders())
    known = {*rows.columns[:9]} - {"ordered-at", "paid"}
    features = [derivation._feature("specimen_orders", name, schema.columns[name]) for name in sorted(known)]
    row = {feature["name"]: feature["example"] for feature in features}
    decoded = request.decoder({"features": features, "max_rows": 1})(json.dumps({"rows": [row]}).encode())
    assert decoded == [tuple(row.values())]
    assert schema.columns["Order ID"].metadata["key"] is True
    assert schema.columns["orderTotal"].nullable


@pytest.mark.parametrize(
    "written",
    [
        orders().write_csv(separator=";"),
        "\ufeff" + orders().write_csv(separator="\t"),
        orders().write_csv().replace("\n", "\r\n"),
        orders().write_csv().encode("utf-16"),
        orders().write_csv().replace("True", "TRUE").replace("цена", "prix").encode("cp1252"),
        orders(),
    ],
    ids=["semicolon", "mark and tab", "crlf", "utf-16", "cp1252", "parquet"],
)
def test_the_same_rows_are_read_however_they_are_written(written: Any) -> None:
    _, rows = draft(written)
    assert rows.rows() == orders().rows()


def test_words_for_null_and_a_column_without_a_name_are_as_pandas_means_them() -> None:
    _, rows = draft("," + "a,b,c,none\n" + "".join(f"{each},{each % 2 or 'NA'},x,2.5,\n" for each in range(20)))
    assert rows.columns == ["unnamed", "a", "b", "c", "none"]
    assert rows["a"].to_list() == [None, 1.0] * 10
    assert 'nulls=["", "NA"]' in Path("data_schemas/specimen_orders/source.py").read_text()
    assert datasets.parts("specimen_orders") == ["all"]


def test_text_that_only_looks_like_a_number_stays_text() -> None:
    long, codes = [str(10**19 + each) for each in range(9)], ["12", "13", "14"] * 3
    _, rows = draft(pl.DataFrame({"long": long, "plz": [f"0{code}" for code in codes]}).write_csv())
    assert rows.dtypes == [pl.String, pl.String]
    _, rows = draft(pl.DataFrame({"code": codes, "day": ["2024-01-31"] * 9}), "specimen_codes")
    assert rows.dtypes == [pl.String, pl.Date]  # a Parquet file says that its codes are text


def test_what_a_table_of_text_is_is_found() -> None:
    """A separator among many commas, a key of several columns, and moments with an offset."""
    _, rows = draft('note;amount\n"a; b";1.5\nc, d, e;2\n' + "x" * 200_000 + ";3\n", "specimen_notes")
    assert (rows.columns, rows["note"].head(2).to_list()) == (["note", "amount"], ["a; b", "c, d, e"])
    lines = [f"{day},{shop},{day * shop % 3}" for day in range(20) for shop in range(5)]
    schema, _ = draft("day,shop,sold\n" + "\n".join(lines), "specimen_sales")
    assert [check.title for check in schema.checks] == ["day, shop"]
    _, rows = draft("at\n2024-01-01T10:00:00+02:00\n2024-01-02T10:00:00Z\n", "specimen_moments")
    assert rows["at"].dt.hour().to_list() == [8, 10]


@pytest.mark.parametrize(("personal", "day"), [("born", "ordered-at"), ("born,ordered-at", None)])
def test_a_personal_date_divides_no_rows(personal: str, day: str | None) -> None:
    table = orders().select(pl.col("ordered-at").alias("born"), "Order ID", "ordered-at")
    assert verb("new", "specimen_orders", "--from", put(table), "--personal", personal) == 0
    source = Path("data_schemas/specimen_orders/source.py").read_text()
    assert (f'day = "{day}"' in source, "months()" in source) == ((True, True) if day else (False, False))
    assert (datasets.parts("specimen_orders") == ["all"]) is (day is None)


def test_a_table_too_large_for_git_is_ignored_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb_new, "LARGEST", 100)
    draft(orders())
    assert "orders/table.parquet" not in git("status", "--short", "-uall")
    assert "`dvc push`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a;b\n1,5;2\n2,5;3\n", "a: its numbers have a decimal comma"),
        ("a,a\n1,2\n", "'a' is there twice"),
        ("a,b\n", "holds no rows"),
        ("", "cannot be read (empty CSV)"),
        ("a,b\n1,2\n1,2,3\n", "cannot be read (found more fields"),
        ("*,b\n1,2\n", "'*' has a name that pandera or polars need"),
        ("^a$,b\n1,2\n", "reads as a pattern"),
        ("a\x1b[2J,b\n1,2\n", "cannot be shown"),
        (pl.DataFrame({"a": [[1]]}), "a: its type is List"),
        (pl.DataFrame({"a": [float("inf")]}), "a: it holds infinity"),
    ],
)
def test_what_cannot_be_a_dataset_is_one_sentence_and_nothing_is_left(
    content: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb("new", "specimen_orders", "--from", put(content)) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert (len(printed.strip().splitlines()), "data_schemas/specimen_orders" in printed) == (1, False)
    assert not Path("data_schemas/specimen_orders").exists()


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("specimen_trips", "t.csv", "is there already"),
        ("ingest", "t.csv", "is there already"),
        ("Orders", "t.csv", "cannot name a dataset"),
        ("class", "t.csv", "cannot name a dataset"),
        ("specimen_orders", "nowhere.csv", "nowhere.csv is not a file"),
        ("specimen_orders", "t.xlsx", "neither .csv nor .parquet"),
    ],
)
def test_a_name_or_a_file_that_cannot_be_taken_is_refused(
    name: str, file: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.csv").write_text("a\n1\n")
    Path("t.xlsx").write_text("")
    before = git("status", "--short", "-uall")
    assert verb("new", name, "--from", file) == 2
    assert words in capsys.readouterr().err
    assert git("status", "--short", "-uall") == before
