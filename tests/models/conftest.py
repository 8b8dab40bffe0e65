"""Fixtures of the model tests; what they are made of is in trees.py."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_schemas import landing
from data_schemas.files import read_json
from models import config, gates, renew
from models.__main__ import main
from tests.github.hub import Hub
from tests.models import trees
from tests.models.trees import MODEL, OPTIONS, Answer


@pytest.fixture(scope="session")
def model() -> config.Model:
    return config.load("flight_delay")


@pytest.fixture(scope="session")
def evidence(built: Path, model: config.Model) -> gates.Evidence:
    """What the pipeline measured, with the gates of the tests' settings and figures that pass them.

    A fork changes limits and models, and a busy machine must not fail a test.
    """
    found: dict[str, Any] = {name: read_json(built / f"{name}.json", "") for name in ("evaluation", "measured")}
    good = {"roc_auc": 0.75, "log_loss": 0.5, "brier": 0.16, "calibration_error": 0.04}
    figures = {name: {"value": value, "low": value - 0.01, "high": value + 0.01} for name, value in good.items()}
    found["evaluation"] |= {"metrics": figures, "base_log_loss": 0.55}
    for each in found["evaluation"]["slices"]:
        each["roc_auc"] = dict(figures["roc_auc"])
    found["measured"]["latency"] = {"one_row": {"p99_ms": 0.1}, "hundred_rows": {"p99_ms": 0.3}}
    settings = config.Gates(**yaml.safe_load(trees.SETTINGS.read_text())["gates"])
    model = model.model_copy(update={"gates": settings})
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
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = main(arguments)
        return Answer(code, *capfd.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.fork(tmp_path_factory.mktemp("fork") / "repository")


@pytest.fixture
def branch(fork: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fork on a branch of main, as current directory; whatever a test does to it is undone."""
    monkeypatch.chdir(fork)
    for name, value in trees.GIT.items():
        monkeypatch.setenv(name, value)
    trees.git("checkout", "--quiet", "-B", "change", "main")
    yield fork
    trees.git("reset", "--quiet", "--hard", "main", root=fork)
    trees.git("clean", "--quiet", "-fd", root=fork)


@pytest.fixture
def plan(verb: Callable[..., Answer]) -> Callable[..., dict[str, Any]]:
    """What `python -m models affected` answers, which workflows read as one line with always the same keys."""

    def ask(*arguments: str) -> dict[str, Any]:
        answer = verb("affected", *arguments)
        assert (answer.code, answer.error, answer.out.count("\n")) == (0, "", 1)
        found: dict[str, Any] = json.loads(answer.out)
        assert list(found) == ["since", "changed", "datasets", "models", "code", "tests", "manifests", "nothing"]
        return found

    return ask


@pytest.fixture
def remote(fork: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of `origin`, which stands in for GitHub, and of `here`, its clone on main, as current directory.

    `hub` is GitHub, where strangers have proposed branches of the names that these verbs use.
    """
    for name in [name for name in os.environ if name.startswith(("GH_", "GITHUB_", "DISPATCH"))]:
        monkeypatch.delenv(name)
    for name, value in trees.GIT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(landing, "LONGEST_PAUSE", 0)
    trees.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "origin"))
    trees.git("push", "--quiet", str(tmp_path / "origin"), "main", "main:work", root=fork)
    trees.git("clone", "--quiet", str(tmp_path / "origin"), str(tmp_path / "here"))
    hub = Hub(tmp_path / "hub")
    hub.strangers("retrain/flight_delay", "retrain/taxi_tip", "work")
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path
    hub.demand_untouched()


class Verbs:
    """The children of renew and retrain, replaced: `codes` are what they end with, `effects` what they do first."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.shared: list[Path] = []  # the clones whose cache a tree uses
        self.codes: dict[str, int] = {}
        self.effects: dict[str, Callable[[], object]] = {}

    def __call__(self, *words: str) -> int:
        line = " ".join(words)
        self.called.append(line)
        self.effects.get(line, lambda: None)()
        return self.codes.get(line, 0)


@pytest.fixture
def verbs(remote: Path, monkeypatch: pytest.MonkeyPatch) -> Verbs:
    assert remote.is_dir()
    stand_in = Verbs()
    monkeypatch.setattr(renew, "verb", stand_in)
    monkeypatch.setattr(renew, "share_cache", stand_in.shared.append)
    return stand_in
