"""The fixtures `tree`, `released` and `three`: real manifests, one model with fabricated bytes and passport, Git."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from deploy.checks import check, rendering
from deploy.rehearsal import rendered
from deploy.rehearsal.rendered import RenderedRelease
from models.lib import config
from tests.conftest import Once
from tests.deploy.rehearsals import make_repository
from tests.deploy.tree import MODEL, NAME, Tree
from tests.support import specimens, trees
from tests.support.process import signals_kept
from tests.support.repository import ROOT, commit, git

ENGINE = ("pyproject.toml", ".gitignore", "deploy/__main__.py", "models/lib/config.py", "requirements/training.txt")
FABRICATED = {
    MODEL / "network.py": "layers = 1\n",
    MODEL / "model.onnx": "none",
    MODEL / "weights/weights.safetensors": "none",
    MODEL / "dvc.lock": "schema: '2.0'\n",
    specimens.DATASET / "schema.py": "columns = 1\n",
    specimens.DATASET / "data.dvc": "outs: [{md5: 01230123012301230123012301230123.dir, size: 1, nfiles: 1}]\n",
    Path("deploy/releases/aborted.yaml"): "# a comment\n[]\n",
}
Grow = Callable[[str], Path]


def make_original(root: Path) -> None:
    """One commit without a release. What promotions and verify read, and no more: each test copies it."""
    for name in ("deploy/base", "deploy/environments"):
        shutil.copytree(ROOT / name, root / name)
    for name in ENGINE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / MODEL).mkdir()
    for name in ("model.yaml", "resources.yaml"):
        shutil.copy(specimens.SPECIMENS / MODEL / name, root / MODEL / name)
    for path, text in FABRICATED.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git("init", "--quiet", "--template=", "--initial-branch=main", root=root)
    commit(root)


@pytest.fixture(scope="session")
def grown(once: Once) -> Grow:
    """A tree with a committed release in both environments for each letter; each is made once."""

    def grow(letters: str) -> Path:
        def make(root: Path) -> None:
            trees.copy(once("original", make_original), root)
            with chdir(root), signals_kept():
                for letter in letters:
                    Tree(None).release(letter, "staging", "production")

        return once(f"released-{letters}", make)

    return grow


@pytest.fixture
def enter(
    once: Once, grown: Grow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], Tree]]:
    """Make a tree with these releases the current directory."""

    def enter(letters: str) -> Tree:
        source = grown(letters) if letters else once("original", make_original)
        monkeypatch.chdir(trees.copy(source, tmp_path / "repository"))
        return Tree(capsys)

    # What releases render to is for test_verify_rendering.py, and takes verify a second.
    monkeypatch.setattr(check, "everything", lambda _: check.Outcome([], "Nothing was rendered.", {}))
    with signals_kept():
        yield enter


@pytest.fixture
def tree(enter: Callable[[str], Tree]) -> Tree:
    """Without a release."""
    return enter("")


@pytest.fixture
def released(enter: Callable[[str], Tree]) -> Tree:
    """With the release "a" in both environments."""
    return enter("a")


@pytest.fixture
def three(enter: Callable[[str], Tree]) -> Tree:
    """After the releases "a", "b" and "c" in both environments."""
    return enter("abc")


@pytest.fixture(scope="session")
def specimen_texts(once: Once) -> list[str]:
    """What each of rendering.specimens() renders to among the manifests as they are."""

    def make(folder: Path) -> None:
        with rendering.copied() as tree:
            found, refused = check.render_all(rendering.specimens(), tree)
        assert refused == []
        folder.mkdir()
        (folder / "texts.json").write_text(json.dumps([text for _, text in found]))

    found: list[str] = json.loads((once("specimen-texts", make) / "texts.json").read_text())
    return found


@pytest.fixture(scope="session")
def release() -> RenderedRelease:
    """What the cluster would run of the specimen."""
    return rendered.released(config.load(NAME, check_columns=False))


@pytest.fixture(scope="session")
def rehearsed(once: Once, workshop: Path) -> Path:
    """The trained specimen in two commits, and the Bento of the second, built. Nobody changes what is committed."""
    return once("rehearsed", lambda root: make_repository(workshop, root))
