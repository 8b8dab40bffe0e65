"""Fixtures of the model tests; what they are made of is in trees.py."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_schemas import command
from data_schemas.files import read_json
from models import config, gates
from models.__main__ import VERBS
from tests.models import trees
from tests.models.trees import MODEL, OPTIONS, Answer


@pytest.fixture(scope="session")
def model() -> config.Model:
    return config.load("flight_delay")


@pytest.fixture(scope="session")
def evidence(built: Path, model: config.Model) -> gates.Evidence:
    """What the pipeline measured of the shipped model; calm latencies, for a busy machine must not fail a test."""
    found: dict[str, Any] = {name: read_json(built / f"{name}.json", "") for name in ("evaluation", "measured")}
    found["measured"]["latency"] = {"one_row": {"p99_ms": 0.1}, "hundred_rows": {"p99_ms": 0.3}}
    return gates.Evidence(model, found["evaluation"], found["measured"], champion=None)


@pytest.fixture
def tree(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with data and build products, as current directory; verbs in this process work on it."""
    root = trees.plain(tmp_path / "tree")
    shutil.copytree(built, root / MODEL / "build", ignore=shutil.ignore_patterns("bento"))
    monkeypatch.chdir(root)
    for name, value in trees.GIT.items():
        monkeypatch.setenv(name, value)
    return root


@pytest.fixture(scope="session")
def small(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree where a worse model was trained on one month for one epoch, by the verbs train and export."""
    from models import export, train

    assert flights.is_dir()
    root = trees.plain(tmp_path_factory.mktemp("small") / "tree")
    trees.shrink(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert train.main(OPTIONS) == 0
        assert export.main(OPTIONS) == 0
    return root


@pytest.fixture(scope="session")
def cloned(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of the tree, once the pipeline is up to date. Copy it before you change it."""
    assert built.is_dir()
    return trees.clone(tmp_path_factory.mktemp("cloned") / "repository")


@pytest.fixture
def verb(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Answer]]:
    """Run `python -m models …` in this process and in the current directory."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = command.run("models", VERBS, arguments)
        return Answer(code, *capfd.readouterr())

    yield run
    signal.signal(signal.SIGTERM, handler)
