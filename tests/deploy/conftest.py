"""The fixture `tree`: the real manifests, one model with fabricated bytes and passport, and Git."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from deploy.manifests import check
from tests.deploy.tree import GIT, MODEL, Tree

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed starting point, without a release."""
    root = tmp_path_factory.mktemp("original") / "repository"
    for name in ("deploy/base", "deploy/environments"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("pyproject.toml", ".gitignore", "deploy/__main__.py", "models/config.py", "requirements/training.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / MODEL).mkdir()
    for name in ("model.yaml", "resources.yaml"):
        shutil.copy(ROOT / MODEL / name, root / MODEL / name)
    fabricated: dict[Path | str, str] = {
        MODEL / "network.py": "layers = 1\n",
        MODEL / "model.onnx": "none",
        MODEL / "weights/weights.safetensors": "none",
        MODEL / "dvc.lock": "schema: '2.0'\n",
        "data_schemas/flights/schema.py": "columns = 1\n",
        "data_schemas/flights/data.dvc": "outs: [{md5: 0123.dir}]\n",
        "deploy/releases/aborted.yaml": "# a comment\n[]\n",
    }
    for path, text in fabricated.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with patch.dict(os.environ, GIT):
        subprocess.run(["git", "init", "--quiet", "--template=", "--initial-branch=main", str(root)], check=True)
        subprocess.run(["git", "-C", str(root), "add", "--all"], check=True)
        subprocess.run(["git", "-C", str(root), "commit", "--quiet", "--message", "start"], check=True)
    return root


@pytest.fixture
def tree(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Tree]:
    shutil.copytree(original, tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # What releases render to is for test_verify_rendering.py, and takes verify a second.
    monkeypatch.setattr(check, "everything", lambda _: check.Outcome([], "Nothing was rendered.", {}))
    with patch.dict(os.environ, GIT):  # also undoes what command.run sets
        yield Tree(capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def grown(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A copy of `original` with a committed release in both environments for each letter; each is made once."""

    @cache
    def grow(letters: str) -> Path:
        root = tmp_path_factory.mktemp("grown") / "repository"
        shutil.copytree(original, root)
        with chdir(root), patch.dict(os.environ, GIT):
            for letter in letters:
                Tree(None).release(letter, "staging", "production")
        return root

    return grow


@pytest.fixture
def released(tree: Tree, grown: Callable[[str], Path]) -> Tree:
    """`tree` with the release "a" in both environments."""
    shutil.copytree(grown("a"), Path(), dirs_exist_ok=True)
    return tree


@pytest.fixture
def three(tree: Tree, grown: Callable[[str], Path]) -> Tree:
    """`tree` after the releases "a", "b" and "c" in both environments."""
    shutil.copytree(grown("abc"), Path(), dirs_exist_ok=True)
    return tree
