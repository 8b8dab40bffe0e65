"""Quarantine: rows that break a rule are left out, all of them, up to a share; what is left holds the contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

import polars as pl
import pytest

from data_schemas import validate
from data_schemas.lib import datasets, pointer
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import DATA, POINTER, make_trips, run_ingest, verb
from tests.support.repository import git
from tests.support.specimens import DATASET, DATASET_NAME

Take = Callable[..., int]
ASIDE = DATASET / "build/quarantine.parquet"
pytestmark = pytest.mark.usefixtures("tree", "handlers_kept")


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch, source_gives: Callable[..., None]) -> Take:
    """Ingest months by a schema that has this share."""

    def take(share: object, **months: pl.DataFrame) -> int:
        monkeypatch.setattr(datasets.module(DATASET_NAME, "schema"), "QUARANTINE", share, raising=False)
        source_gives(**months)
        return run_ingest()

    return take


def broken(month: int, rows: int) -> pl.DataFrame:
    """2,000 trips of which the first `rows` have no distance that can be, and the very first no carrier, too."""
    number = pl.int_range(pl.len())
    trips = pl.concat([make_trips(month).with_columns(flight=pl.lit(each + 1, pl.Int64)) for each in range(50)])
    return trips.with_columns(
        distance=pl.when(number < rows).then(pl.lit(-1, pl.Int64)).otherwise("distance"),
        carrier=pl.when(number == 0).then(pl.lit("??")).otherwise("carrier"),
    )


def test_every_bad_row_is_set_aside_with_column_and_rule(take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    assert take(0.01, m01=broken(1, 30), m02=broken(2, 0)) == 0
    assert "31 rows break the contract and are left out" in capsys.readouterr().out
    kept, aside = datasets.read_all(DATASET_NAME), pl.read_parquet(ASIDE)
    assert (kept.height, aside.height) == (4000 - 31, 31)
    first = aside.row(0, named=True)
    assert first["quarantine.column"] in ("distance; carrier", "carrier; distance")
    assert "in_range(50, 6000)" in first["quarantine.rule"]
    assert aside["quarantine.file"].to_list() == ["2013-01.parquet"] * 30 + ["2013-02.parquet"]
    assert verb("validate", DATASET_NAME) == 0
    assert "31 rows of its source break the contract" in capsys.readouterr().out


def test_the_count_travels_with_the_pinned_version_and_dvc_keeps_it(take: Take) -> None:
    assert take(0.01, m01=broken(1, 5)) == 0
    written = POINTER.read_bytes()
    assert pointer.demand(DATASET_NAME).quarantined == 5
    git("add", "--all")
    subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(DATA)], check=True)
    assert POINTER.read_bytes() == written
    shutil.rmtree(DATA)
    shutil.rmtree(".dvc/cache")
    assert verb("ingest", DATASET_NAME, "--pinned") == 0  # the source gives the bad rows again
    assert pointer.measure(DATA) == pointer.pinned(DATASET_NAME)


def test_above_the_share_nothing_is_taken(take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    assert take(0.001, m01=broken(1, 3)) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "QUARANTINE of its schema.py takes at most 0.100%" in printed
    assert "nothing was changed" in printed
    assert (pl.read_parquet(ASIDE).height, POINTER.exists()) == (3, False)


@pytest.mark.parametrize("columns", [pl.exclude("temp"), (pl.exclude("flight"), pl.col("flight").cast(pl.String))])
def test_what_is_wrong_with_a_column_is_no_matter_of_rows(take: Take, columns: object) -> None:
    assert take(0.9, m01=broken(1, 3).select(columns)) == 1  # type: ignore[arg-type]
    assert not DATA.exists()


def test_a_trip_that_repeats_in_another_month_is_left_out_of_both(take: Take) -> None:
    one = make_trips(1)
    assert take(0.5, m01=one, m02=pl.concat([make_trips(2), one.head(2)])) == 0
    assert datasets.read_all(DATASET_NAME).height == 78
    assert not validate.inspect(DATASET_NAME, sorted(DATA.iterdir())).violations


@pytest.mark.parametrize("share", [1, -0.1, True, "0.001"])
def test_a_share_that_is_none_is_refused(take: Take, share: object) -> None:
    with pytest.raises(Refusal, match=r"schema\.py: QUARANTINE is a share of rows"):
        take(share, m01=make_trips())
