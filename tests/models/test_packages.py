"""A model's own packages: installed from a lock beside model.yaml, found by its code, and nobody else's business."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from models.lib import config, packages, passport
from repo.lib.refusal import Refusal
from tests.support.process import run
from tests.support.specimens import MODEL, NAME

FILES = {
    "tinypackage.py": "WORD = 'mine'\n",
    "tinypackage-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tinypackage\nVersion: 1.0\n",
    "tinypackage-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tinypackage-1.0.dist-info/RECORD": "",
}


@pytest.fixture
def lock(tree: Path, tmp_path: Path) -> str:
    """A lock of one package, whose wheel lies in a folder."""
    wheel = tmp_path / "wheels/tinypackage-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert tree.is_dir()
    return f"--no-index\n--find-links {wheel.parent}\ntinypackage==1.0 --hash=sha256:{digest}\n"


@pytest.mark.slow
def test_its_code_and_its_tests_find_them(tree: Path, lock: str) -> None:
    (MODEL / "requirements.txt").write_text(lock)
    network = (MODEL / "network.py").read_text()
    (MODEL / "network.py").write_text(f"{network}\nimport tinypackage\n\nassert tinypackage.WORD == 'mine'\n")
    (MODEL / "test_more.py").write_text("import tinypackage\n\n\ndef test_it() -> None:\n    assert tinypackage.WORD\n")
    trained = run("models", "train", NAME, root=tree)
    assert trained.code == 0, trained.error
    tested = run("pytest", "-q", f"{MODEL}/test_more.py", root=tree)
    assert tested.code == 0, tested.out
    (place,) = (MODEL / "build/packages").iterdir()
    assert (place / "tinypackage.py").is_file()


def test_another_lock_replaces_them_and_is_another_version(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = config.load(NAME, check_columns=False)
    before = passport.content(model)
    packages.activate(model)
    assert not (model.build / "packages").exists(), "the model has no lock of its own"
    model.requirements.write_text(lock)
    first = packages.installed(model)
    assert packages.installed(model) == first
    model.requirements.write_text(f"{lock}# again\n")
    second = packages.installed(model)
    assert (second != first, first.exists(), second.is_dir()) == (True, False, True)
    after = passport.content(model)
    assert [part for part in after if after[part] != before[part]] == ["requirements"]


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("numpy==1.0", r"numpy==1\.0 is another one than the template runs"),
        ("tinypackage==1.0", r"requirements\.txt cannot be installed \(see above\)"),
    ],
)
def test_what_cannot_be_installed_is_refused_and_leaves_nothing(lock: str, line: str, printed: str) -> None:
    model = config.load(NAME, check_columns=False)
    model.requirements.write_text("".join(lock.splitlines(keepends=True)[:2]) + f"{line} --hash=sha256:{'0' * 64}\n")
    with pytest.raises(Refusal, match=printed):
        packages.installed(model)
    assert list((model.build / "packages").glob("*")) == []
