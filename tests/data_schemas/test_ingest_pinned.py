"""`ingest --pinned`: the pinned version, wherever it can be had; a source that has gone on turns nothing red."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_schemas import ingest
from data_schemas.lib import datasets, pointer
from repo.lib.refusal import Refusal
from tests.data_schemas.examples import make_trips, run_ingest
from tests.support.specimens import DATASET_NAME as DATASET

Give = Callable[..., None]


def bring() -> int:
    return ingest.main(argparse.Namespace(dataset=DATASET, accept=False, pinned=True))


@pytest.fixture
def pinned(tree: Path, source_gives: Give, monkeypatch: pytest.MonkeyPatch) -> pointer.Version:
    """Two months are pinned and here; DVC has got neither."""
    assert tree.is_dir()
    source_gives(m01=make_trips(1), m02=make_trips(2))
    assert run_ingest() == 0
    monkeypatch.setattr(ingest, "pull", lambda _: "DVC has not got it")
    monkeypatch.delenv("STRANGER", raising=False)
    return pointer.measure(datasets.data(DATASET))


def lose() -> None:
    shutil.rmtree(datasets.data(DATASET))


def test_what_is_here_is_not_asked_for_again(pinned: pointer.Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "pull", lambda _: pytest.fail("DVC was asked"))
    assert bring() == 0
    assert pointer.measure(datasets.data(DATASET)) == pinned


def test_a_source_that_still_gives_it_is_enough(pinned: pointer.Version) -> None:
    before = pointer.path(DATASET).read_bytes()
    lose()
    assert bring() == 0
    assert pointer.measure(datasets.data(DATASET)) == pinned
    assert pointer.path(DATASET).read_bytes() == before


def test_a_month_that_the_source_has_gained_turns_nothing_red(pinned: pointer.Version, source_gives: Give) -> None:
    lose()
    source_gives(m01=make_trips(1), m02=make_trips(2), m03=make_trips(3))
    assert bring() == 0
    assert pointer.measure(datasets.data(DATASET)) == pinned
    assert run_ingest() == 1, "`ingest` itself still says that there is a new version"


def test_other_rows_in_a_month_that_is_pinned_cannot_stand_for_it(pinned: pointer.Version, source_gives: Give) -> None:
    lose()
    source_gives(m01=make_trips(1, rows=30), m02=make_trips(2))
    with pytest.raises(
        Refusal, match=rf"the pinned data {pinned.short} of {DATASET} cannot be brought: DVC has not got"
    ):
        bring()
    assert not datasets.data(DATASET).exists()


def test_a_fork_says_that_it_has_no_credentials(
    pinned: pointer.Version, source_gives: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pinned
    lose()
    source_gives(m01=make_trips(1, rows=30))
    monkeypatch.setenv("STRANGER", "yes")
    with pytest.raises(Refusal, match=r"a pull request of a fork gets no credentials, so nothing is proven here"):
        bring()


@pytest.mark.usefixtures("tree")
def test_without_a_pin_there_is_nothing_to_bring() -> None:
    with pytest.raises(Refusal, match=r"data\.dvc is missing; pin the data with `python -m data_schemas ingest"):
        bring()


@pytest.mark.usefixtures("tree")
def test_the_remote_has_it_where_the_source_has_gone_on(source_gives: Give) -> None:
    """By the real DVC, into whose folder remote another machine has pushed."""
    source_gives(m01=make_trips(1))
    assert run_ingest() == 0
    version = pointer.measure(datasets.data(DATASET))
    for words in (["commit", "--quiet", str(pointer.path(DATASET))], ["push", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True)
    lose()
    shutil.rmtree(".dvc/cache")
    source_gives(m01=make_trips(1, rows=30))
    assert bring() == 0
    assert pointer.measure(datasets.data(DATASET)) == version
