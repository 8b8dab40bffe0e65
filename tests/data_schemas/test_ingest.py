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
Capture = pytest.CaptureFixture[str]


def everything() -> dict[str, bytes]:
    """Every file of the tree that is not Git's, DVC's or a lock."""
    return {
        str(path): path.read_bytes()
        for path in sorted(Path().rglob("*"))
        if path.is_file() and path.parts[0] not in (".git", ".dvc") and path.suffix != ".lock"
    }


@pytest.fixture
def ingested(tree: Path, source_gives: Give) -> dict[str, bytes]:
    """Two months are pinned and here; all files."""
    assert tree.is_dir()
    source_gives(m01=make_trips(1), m02=make_trips(2))
    assert run_ingest() == 0
    return everything()


def test_dvc_has_recorded_the_version_and_writes_the_very_pointer(inside: Path, tmp_path: Path) -> None:
    parts = [pl.read_parquet(DATA / f"2013-{month:02d}.parquet") for month in range(1, 13)]
    assert (len(list(DATA.iterdir())), sum(part.height for part in parts)) == (12, 12 * source.ROWS)
    version = pointer.measure(DATA)
    assert (inside / ".dvc/cache/files/md5" / version.hash[:2] / version.hash[2:]).is_file()
    root = trees.copy(inside, tmp_path / "copy")
    ours = (root / POINTER).read_bytes()
    script = "import sys; from dvc.cli import main; sys.exit(main(sys.argv[1].split()) or main(sys.argv[2].split()))"
    words = [f"status --json {POINTER}", f"add --quiet {DATA}"]  # one process: DVC takes a second to start
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{}"
    assert (root / POINTER).read_bytes() == ours
    config = Path(".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


def test_ingesting_again_changes_no_byte(ingested: dict[str, bytes], recorded: list[str]) -> None:
    assert run_ingest() == 0
    assert everything() == ingested
    assert recorded == [DATASET_NAME] * 2


def test_a_new_version_is_reported_and_nothing_is_changed_until_it_is_accepted(
    ingested: dict[str, bytes], source_gives: Give, capsys: Capture
) -> None:
    old = pointer.demand(DATASET_NAME)
    capsys.readouterr()
    source_gives(m01=make_trips(1), m02=make_trips(2, rows=30), m03=make_trips(3))
    assert run_ingest() == 1
    assert everything() == ingested
    printed = capsys.readouterr().out
    assert all(word in printed for word in (old.short, "--accept", "40 → 30 rows", "added"))
    assert "2013-01" not in printed
    source_gives(m01=make_trips(1, rows=30))
    assert run_ingest(accept=True) == 0
    assert pointer.pinned(DATASET_NAME) == pointer.measure(DATA) != old
    assert [path.name for path in DATA.iterdir()] == ["2013-01.parquet"]


@pytest.mark.usefixtures("ingested")
def test_equal_rows_in_other_bytes_are_named_as_such(capsys: Capture) -> None:
    make_trips().write_parquet(DATA / "2013-01.parquet", compression="snappy")
    pointer.pin(DATASET_NAME, pointer.measure(DATA))
    assert run_ingest() == 1
    assert "equal rows" in capsys.readouterr().out


def test_without_the_pinned_data_a_new_version_is_still_refused(source_gives: Give, capsys: Capture) -> None:
    pointer.pin(DATASET_NAME, pointer.Version("0" * 32 + ".dir", 1, 1))
    source_gives(m01=make_trips())
    assert run_ingest() == 1
    assert not DATA.exists()
    assert "dvc pull" in capsys.readouterr().out


@pytest.mark.parametrize("second", [make_trips(2).with_columns(distance=pl.lit(-1, dtype=pl.Int64)), make_trips(1)])
def test_rows_that_violate_the_contract_are_not_taken(
    source_gives: Give, capsys: Capture, second: pl.DataFrame
) -> None:
    """One by itself, or one that repeats in another month."""
    source_gives(m01=make_trips(1), m02=second)
    before = everything()
    assert run_ingest(accept=True) == 1
    assert everything() == before
    assert "nothing was changed" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["data missing", "data older than the pointer", "leftover of a kill"])
def test_running_again_fixes_what_a_kill_left(ingested: dict[str, bytes], state: str) -> None:
    build = datasets.build(DATASET_NAME)
    if state == "data missing":
        DATA.rename(build / "previous")
    elif state == "data older than the pointer":
        make_trips(3).write_parquet(DATA / "2013-01.parquet")
    else:
        trees.append(build / "ingest/2013-09.parquet", "half")
    assert run_ingest() == 0
    assert everything() == ingested


def test_what_is_half_written_lies_beside_the_data_and_an_interrupt_leaves_none_of_it(
    ingested: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []

    def interrupted() -> Iterator[tuple[str, pl.DataFrame]]:
        (staged,) = (folder for folder in datasets.build(DATASET_NAME).iterdir() if folder.is_dir())
        devices.append(staged.stat().st_dev)
        yield "2013-01", make_trips(rows=20)
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "months", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_ingest()
    assert (everything(), devices) == (ingested, [DATA.stat().st_dev])


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


@pytest.mark.parametrize(
    ("months", "words"),
    [
        (["2013-13"], "not a month or not new"),
        (["2013-01", "2013-01"], "not a month or not new"),
        (["../2013-01"], "not a month or not new"),
        ([], "yields no month"),
        (None, r"neither months\(\) nor table\(\)"),
    ],
)
def test_a_source_must_name_each_month_once(
    monkeypatch: pytest.MonkeyPatch, months: list[str] | None, words: str
) -> None:
    monkeypatch.setattr(source, "months", lambda: iter([(month, make_trips()) for month in months or []]))
    if months is None:
        monkeypatch.delattr(source, "months")
        monkeypatch.delattr(source, "table")
    with pytest.raises(Refusal, match=words):
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


@pytest.mark.usefixtures("handlers_kept", "recorded")
def test_a_source_without_months_gives_one_table(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.delattr(source, "months")
    monkeypatch.setattr(source, "table", make_trips, raising=False)
    assert run_ingest() == 0
    assert [path.name for path in DATA.iterdir()] == ["all.parquet"]
    assert verb("validate", DATASET_NAME) == 0
    assert "40 rows, one table" in capsys.readouterr().out
    monkeypatch.setattr(source, "table", lambda: make_trips(rows=30))
    assert run_ingest() == 1
    assert "40 → 30 rows" in capsys.readouterr().out
    shutil.rmtree(DATA)
    monkeypatch.setattr(source, "table", make_trips)
    assert verb("ingest", DATASET_NAME, "--pinned") == 0
    assert datasets.read_all(DATASET_NAME).height == 40
