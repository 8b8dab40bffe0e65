"""Ingest: the same source gives the same bytes, and another version is reported, never silently taken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from data_schemas.lib import datasets, pointer
from repo.lib import files
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import DATA, POINTER, make_trips, run_ingest, source, verb
from tests.support import trees
from tests.support.process import program
from tests.support.specimens import DATASET_NAME

pytestmark = pytest.mark.usefixtures("tree")
Give = Callable[..., None]


def everything(folder: Path = Path()) -> dict[str, bytes]:
    """Every file of a tree that is not Git's, DVC's or a lock."""
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parts[0] not in (".git", ".dvc") and path.suffix != ".lock"
    }


def test_the_rows_of_the_source_are_in_place_month_by_month(whole: Path) -> None:
    names = [path.name for path in sorted((whole / DATA).iterdir())]
    assert names == [f"2013-{month:02d}.parquet" for month in range(1, 13)]
    assert sum(pl.read_parquet(path).height for path in (whole / DATA).iterdir()) == 12 * source.ROWS


def test_dvc_has_recorded_the_version_and_writes_the_very_pointer(whole: Path, tmp_path: Path) -> None:
    version = pointer.measure(whole / DATA)
    assert (whole / ".dvc/cache/files/md5" / version.hash[:2] / version.hash[2:]).is_file()
    root = trees.copy(whole, tmp_path / "copy")
    ours = (root / POINTER).read_bytes()
    script = "import sys; from dvc.cli import main; sys.exit(main(sys.argv[1].split()) or main(sys.argv[2].split()))"
    words = [f"status --json {POINTER}", f"add --quiet {DATA}"]  # one process: DVC takes a second to start
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{}"
    assert (root / POINTER).read_bytes() == ours


def test_what_was_taken_is_recorded(source_gives: Give, recorded: list[str]) -> None:
    source_gives(m01=make_trips())
    assert run_ingest() == 0
    assert recorded == [DATASET_NAME]


def test_ingesting_again_changes_no_byte(source_gives: Give) -> None:
    source_gives(m01=make_trips(1), m02=make_trips(2))
    assert run_ingest() == 0
    before = everything()
    assert run_ingest() == 0
    assert everything() == before


def test_a_new_version_is_reported_and_nothing_is_changed(
    source_gives: Give, capsys: pytest.CaptureFixture[str]
) -> None:
    source_gives(m01=make_trips(1), m02=make_trips(2))
    run_ingest()
    before, pinned = everything(), pointer.measure(DATA)
    capsys.readouterr()
    source_gives(m01=make_trips(1), m02=make_trips(2, rows=30), m03=make_trips(3))
    assert run_ingest() == 1
    assert everything() == before
    printed = capsys.readouterr().out
    assert pinned.short in printed
    assert "--accept" in printed
    assert "2013-01" not in printed
    assert "40 → 30 rows" in printed
    assert "added" in printed


def test_equal_rows_in_other_bytes_are_named_as_such(source_gives: Give, capsys: pytest.CaptureFixture[str]) -> None:
    source_gives(m01=make_trips())
    run_ingest()
    make_trips().write_parquet(DATA / "2013-01.parquet", compression="snappy")
    pointer.pin(DATASET_NAME, pointer.measure(DATA))
    assert run_ingest() == 1
    assert "equal rows" in capsys.readouterr().out


def test_a_new_version_is_taken_when_accepted(source_gives: Give) -> None:
    source_gives(m01=make_trips(1), m02=make_trips(2))
    run_ingest()
    old = pointer.pinned(DATASET_NAME)
    source_gives(m01=make_trips(1, rows=30))
    assert run_ingest(accept=True) == 0
    assert pointer.pinned(DATASET_NAME) == pointer.measure(DATA) != old
    assert [path.name for path in DATA.iterdir()] == ["2013-01.parquet"]


def test_without_the_pinned_data_a_new_version_is_still_refused(
    source_gives: Give, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer.pin(DATASET_NAME, pointer.Version("0" * 32 + ".dir", 1, 1))
    source_gives(m01=make_trips())
    assert run_ingest() == 1
    assert not DATA.exists()
    assert "dvc pull" in capsys.readouterr().out


def test_rows_that_violate_the_contract_are_not_taken(source_gives: Give, capsys: pytest.CaptureFixture[str]) -> None:
    source_gives(m01=make_trips(1), m02=make_trips(2).with_columns(distance=pl.lit(-1, dtype=pl.Int64)))
    before = everything()
    assert run_ingest(accept=True) == 1
    assert everything() == before
    assert "2013-02" in capsys.readouterr().out


def test_a_trip_that_repeats_in_another_month_is_not_taken(source_gives: Give) -> None:
    source_gives(m01=make_trips(1), m02=make_trips(1))
    assert run_ingest() == 1


@pytest.mark.parametrize("state", ["data missing", "data older than the pointer", "leftover of a kill"])
def test_running_again_fixes_what_a_kill_left(source_gives: Give, state: str) -> None:
    source_gives(m01=make_trips(1), m02=make_trips(2))
    run_ingest()
    before = everything()
    build = datasets.build(DATASET_NAME)
    if state == "data missing":
        DATA.rename(build / "previous")
    elif state == "data older than the pointer":
        make_trips(3).write_parquet(DATA / "2013-01.parquet")
    else:
        (build / "ingest").mkdir()
        (build / "ingest" / "2013-09.parquet").write_bytes(b"half")
    assert run_ingest() == 0
    assert everything() == before


def test_an_interrupt_leaves_nothing_half_written(source_gives: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    source_gives(m01=make_trips())
    run_ingest()
    before = everything()

    def interrupted() -> Iterator[tuple[str, pl.DataFrame]]:
        yield "2013-01", make_trips(rows=20)
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "months", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_ingest()
    assert everything() == before


def test_two_ingests_at_once_are_refused() -> None:
    lock = datasets.build(DATASET_NAME) / "ingest.lock"
    with files.exclusive(lock, f"ingest {DATASET_NAME}"), pytest.raises(Refusal, match="already running"):
        run_ingest()


@pytest.mark.parametrize("error", [FileNotFoundError("trips.csv.zip"), SystemExit("no trips.csv.zip")])
def test_a_source_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken() -> Iterator[tuple[str, pl.DataFrame]]:
        raise error
        yield

    monkeypatch.setattr(source, "months", broken)
    with pytest.raises(Refusal, match=r"source\.py failed .*trips\.csv\.zip.*fix the source"):
        run_ingest()


@pytest.mark.parametrize("months", [["2013-13"], ["2013-01", "2013-01"], ["../2013-01"]])
def test_a_source_must_name_each_month_once(monkeypatch: pytest.MonkeyPatch, months: list[str]) -> None:
    monkeypatch.setattr(source, "months", lambda: iter([(month, make_trips()) for month in months]))
    with pytest.raises(Refusal, match="not a month or not new"):
        run_ingest()


def test_a_source_without_rows_is_refused(source_gives: Give) -> None:
    source_gives()
    with pytest.raises(Refusal, match="yields no month"):
        run_ingest()


def test_a_broken_pointer_is_refused(source_gives: Give) -> None:
    source_gives(m01=make_trips())
    for content in ("outs: [", "outs: []", "- 1", "outs: [{md5: a}]"):
        POINTER.write_text(content)
        with pytest.raises(Refusal, match=r"data\.dvc.*git checkout"):
            run_ingest()


def test_data_that_dvc_cannot_record_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "months", lambda: iter([("2013-01", make_trips())]))
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "bin", "python", "echo 'ERROR: full' >&2; exit 1")))
    with pytest.raises(Refusal, match=r"is in place but DVC did not record it \(full\); fix that and run again"):
        run_ingest()
    assert pointer.pinned(DATASET_NAME) == pointer.measure(DATA)


def test_dvc_asks_nothing_of_the_network() -> None:
    config = Path(".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


def test_staging_lies_beside_the_data(monkeypatch: pytest.MonkeyPatch, recorded: list[str]) -> None:
    devices = []

    def months() -> Iterator[tuple[str, pl.DataFrame]]:
        (staged,) = (folder for folder in datasets.build(DATASET_NAME).iterdir() if folder.is_dir())
        devices.append(staged.stat().st_dev)
        yield "2013-01", make_trips()

    monkeypatch.setattr(source, "months", months)
    assert run_ingest() == 0
    assert (devices, recorded) == ([DATA.stat().st_dev], [DATASET_NAME])
    assert not [path for path in datasets.build(DATASET_NAME).iterdir() if path.is_dir()]


@pytest.mark.usefixtures("handlers_kept")
def test_a_source_without_months_gives_one_table(
    monkeypatch: pytest.MonkeyPatch, recorded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(source, "months")
    monkeypatch.setattr(source, "table", make_trips, raising=False)
    assert run_ingest() == 0
    assert [path.name for path in DATA.iterdir()] == ["all.parquet"]
    assert verb("validate", DATASET_NAME) == 0
    assert verb("describe", DATASET_NAME) == 0
    assert capsys.readouterr().out.count("40 rows, one table") == 2
    assert verb("describe", DATASET_NAME, "--last", "2013-01") == 2
    assert "has no months" in capsys.readouterr().err
    monkeypatch.setattr(source, "table", lambda: make_trips(rows=30))
    assert run_ingest() == 1
    assert "40 → 30 rows" in capsys.readouterr().out
    shutil.rmtree(DATA)
    monkeypatch.setattr(source, "table", make_trips)
    assert verb("ingest", DATASET_NAME, "--pinned") == 0
    assert (datasets.read_all(DATASET_NAME).height, recorded) == (40, [DATASET_NAME])


def test_a_source_must_define_one_of_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(source, "months")
    monkeypatch.delattr(source, "table", raising=False)
    with pytest.raises(Refusal, match=r"neither months\(\) nor table\(\)"):
        run_ingest()
