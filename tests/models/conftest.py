"""Fixtures of the model tests; what their trees are made of is in scene.py."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from models import measure
from models.__main__ import main
from models.lib import config, judges, worktree
from models.lib.report import charts
from repo.lib import origin
from repo.lib.files import read_json
from tests.models import scene
from tests.models import tiny as tiny_tree
from tests.support import forks, gh, specimens, trees
from tests.support.process import in_this_process
from tests.support.repository import git

if TYPE_CHECKING:
    from tests.conftest import Once

DRAW = charts.draw


@pytest.fixture(scope="session")
def model() -> config.Model:
    return config.load(specimens.NAME)


@pytest.fixture(autouse=True)
def _cheap(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs in this process time seldom and draw nothing: that is most of their cost, and few tests look at it.

    The workshop is made before, whoever asks for it, with all that is drawn.
    """
    assert workshop
    monkeypatch.setattr(measure, "BATCHES", {"one_row": (1, 30), "hundred_rows": (100, 10)})
    monkeypatch.setattr(measure, "ROUNDS", 2)
    monkeypatch.setattr(charts, "draw", lambda *_: {})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is drawn."""
    monkeypatch.setattr(charts, "draw", DRAW)


@pytest.fixture(scope="session")
def evidence(built: Path, model: config.Model) -> judges.Evidence:
    """What the pipeline measured of the specimen."""
    found: dict[str, Any] = {name: read_json(built / f"{name}.json", "") for name in ("evaluation", "measured")}
    return judges.Evidence(model, found["evaluation"], found["measured"], champion=None)


@pytest.fixture(scope="session")
def tinies(once: Once) -> tiny_tree.Tiny:
    """A small model of every task, by hand."""
    root = once("tiny", tiny_tree.make)
    sys.path.append(str(root))
    return tiny_tree.Tiny(root)


@pytest.fixture(scope="session")
def shop(once: Once, workshop: Path) -> Path:
    """Copy it before you change it."""
    return once("shop", lambda root: scene.make_shop(root, workshop))


@pytest.fixture(scope="session")
def plain(once: Once, workshop: Path) -> Path:
    return once("plain", lambda root: scene.make_plain(root, workshop))


@pytest.fixture
def tree(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with data and build products, as current directory; verbs in this process work on it."""
    monkeypatch.chdir(trees.copy(plain, tmp_path / "tree"))
    return tmp_path / "tree"


@pytest.fixture(scope="session")
def small(once: Once, plain: Path) -> Path:
    return once("small", lambda root: scene.make_small(root, plain))


@pytest.fixture(scope="session")
def cloned(once: Once, shop: Path) -> Path:
    """Copy it before you change it."""
    return once("cloned", lambda root: forks.make_clone(root, shop))


verb = in_this_process(main)


@pytest.fixture
def remote(once: Once, forked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of `origin`, which stands in for GitHub, and of `here`, its clone on main, as current directory.

    `hub` is GitHub, where strangers have proposed branches of the names that these verbs use.
    """
    made = once("exchange", lambda root: scene.make_exchange(root, forked))
    shutil.copytree(made / "origin", tmp_path / "origin")
    monkeypatch.chdir(trees.copy(made / "here", tmp_path / "here"))
    git("remote", "set-url", "origin", str(tmp_path / "origin"))
    monkeypatch.setattr(origin, "LONGEST_PAUSE", 0)
    hub = gh.install(tmp_path, monkeypatch)
    hub.strangers(f"retrain/{specimens.NAME}", f"retrain/{forks.SECOND.name}", "work")
    yield tmp_path
    hub.demand_untouched()


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> scene.Verbs:
    stand_in = scene.Verbs()
    monkeypatch.setattr(worktree, "verb", stand_in)
    monkeypatch.setattr(worktree, "share_cache", stand_in.shared.append)
    return stand_in
