"""What a job without rights leaves for one that may push: a patch and its text, of which nothing is believed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repo.lib import origin
from repo.lib.origin import Edit
from repo.lib.refusal import Refusal
from tests.support import trees
from tests.support.repository import commit, git

WITHIN = ["models/*/dvc.lock", "models/*/model.onnx", "models/*/weights/*"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a model, as current directory."""
    root = tmp_path / "here"
    root.mkdir()
    monkeypatch.chdir(root)
    git("init", "--quiet")
    trees.append("models/m/model.onnx", "old")
    trees.append("models/m/network.py", "layers = 1\n")
    trees.append("models/m/weights/a", "a")
    commit()
    return root


def carry(folder: Path, edit: Edit = Edit("Train m", "by **CI**", "Not better.")) -> None:  # noqa: B008 - frozen
    """Change the tree's files first; it is as it was afterwards."""
    origin.carry(edit, folder)
    git("reset", "--quiet", "--hard")
    git("clean", "--quiet", "-fd")


def test_what_was_trained_arrives_with_its_text_byte_for_byte(tmp_path: Path) -> None:
    Path("models/m/model.onnx").write_bytes(b"\x00\x01new\xff")
    Path("models/m/dvc.lock").write_text("lock\n")
    Path("models/m/weights/a").unlink()
    carry(tmp_path / "out")
    assert Path("models/m/model.onnx").read_bytes() == b"old"
    assert origin.carried(tmp_path / "out", WITHIN) == Edit("Train m", "by **CI**", "Not better.")
    assert Path("models/m/model.onnx").read_bytes() == b"\x00\x01new\xff"
    found = "A  models/m/dvc.lock\nM  models/m/model.onnx\nD  models/m/weights/a"
    assert git("status", "--porcelain") == found


@pytest.mark.parametrize("path", ["models/m/network.py", ".github/workflows/ci.yml", "models/m/weights.py"])
def test_a_path_that_no_training_makes_is_refused(tmp_path: Path, path: str) -> None:
    trees.append("models/m/model.onnx", "new")
    trees.append(path, "import os\n")
    carry(tmp_path / "out")
    with pytest.raises(Refusal, match=rf"changes {re.escape(path)} \(mode 100644\), which no training makes"):
        origin.carried(tmp_path / "out", WITHIN)


def test_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    Path("models/m/model.onnx").unlink()
    Path("models/m/model.onnx").symlink_to("/etc/hostname")
    carry(tmp_path / "out")
    with pytest.raises(Refusal, match=r"model\.onnx \(mode 120000\)"):
        origin.carried(tmp_path / "out", WITHIN)


@pytest.mark.parametrize("path", ["../owned", ".git/hooks/pre-push"])
def test_a_patch_cannot_leave_the_tree(here: Path, tmp_path: Path, path: str) -> None:
    Path("models/m/dvc.lock").write_text("x\n")
    carry(tmp_path / "out")
    patch = tmp_path / "out" / origin.PATCH
    patch.write_text(patch.read_text().replace("models/m/dvc.lock", path))
    with pytest.raises(Refusal, match="git apply"):
        origin.carried(tmp_path / "out", ["*"])
    assert not (here.parent / "owned").exists()
    assert not (here / ".git/hooks/pre-push").exists()


@pytest.mark.parametrize("printed", ["", "[]", '{"title": "x"}', '{"title": 1, "body": "", "closed": ""}'])
def test_a_text_that_is_none_is_refused(tmp_path: Path, printed: str) -> None:
    Path("models/m/dvc.lock").write_text("x\n")
    carry(tmp_path / "out")
    (tmp_path / "out" / origin.EDIT).write_text(printed)
    with pytest.raises(Refusal, match=r"edit\.json"):
        origin.carried(tmp_path / "out", WITHIN)
