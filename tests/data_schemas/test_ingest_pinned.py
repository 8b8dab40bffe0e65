"""`ingest --pinned`: the pinned version, wherever it can be had; a source that has gone on turns nothing red."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from data_schemas import ingest
from data_schemas.lib import pointer
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import DATA, POINTER, make_trips, run_ingest
from tests.support.specimens import DATASET_NAME as DATASET

Give = Callable[..., None]
pytestmark = pytest.mark.usefixtures("tree")


@pytest.fixture
def pinned(source_gives: Give, monkeypatch: pytest.MonkeyPatch) -> pointer.Version:
    """Two months are pinned and gone; DVC has got neither."""
    source_gives(m01=make_trips(1), m02=make_trips(2))
    assert run_ingest() == 0
    monkeypatch.setattr(ingest, "pull", lambda _: "DVC has not got it")
    monkeypatch.delenv("STRANGER", raising=False)
    version = pointer.measure(DATA)
    shutil.rmtree(DATA)
    return version


def test_a_source_that_still_gives_it_is_enough(
    pinned: pointer.Version, source_gives: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = POINTER.read_bytes()
    source_gives(m01=make_trips(1), m02=make_trips(2), m03=make_trips(3))
    assert run_ingest(pinned=True) == 0
    assert (pointer.measure(DATA), POINTER.read_bytes()) == (pinned, before)
    assert run_ingest() == 1, "`ingest` itself still says that there is a new version"
    monkeypatch.setattr(ingest, "pull", lambda _: pytest.fail("DVC was asked for what is here"))
    assert run_ingest(pinned=True) == 0


def test_other_rows_in_a_month_that_is_pinned_cannot_stand_for_it(
    pinned: pointer.Version, source_gives: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_gives(m01=make_trips(1, rows=30), m02=make_trips(2))
    with pytest.raises(
        Refusal, match=rf"the pinned data {pinned.short} of {DATASET} cannot be brought: DVC has not got"
    ):
        run_ingest(pinned=True)
    monkeypatch.setenv("STRANGER", "yes")
    with pytest.raises(Refusal, match=r"a pull request of a fork gets no credentials, so nothing is proven here"):
        run_ingest(pinned=True)
    assert not DATA.exists()


def test_without_a_pin_there_is_nothing_to_bring() -> None:
    with pytest.raises(Refusal, match=r"data\.dvc is missing; pin the data with `python -m data_schemas ingest"):
        run_ingest(pinned=True)


@pytest.mark.slow
def test_the_remote_has_it_where_the_source_has_gone_on(source_gives: Give) -> None:
    """By the real DVC, into whose folder remote another machine has pushed."""
    source_gives(m01=make_trips(1))
    assert run_ingest() == 0
    version = pointer.measure(DATA)
    for words in (["commit", "--quiet", str(POINTER)], ["push", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True)
    shutil.rmtree(DATA)
    shutil.rmtree(".dvc/cache")
    source_gives(m01=make_trips(1, rows=30))
    assert run_ingest(pinned=True) == 0
    assert pointer.measure(DATA) == version
