"""What a job without rights leaves for one that may push: a patch and its text, of which nothing is believed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from repo.lib import origin
from repo.lib.origin import Edit
from repo.lib.refusal import Refusal

WITHIN = ["models/*/dvc.lock", "models/*/model.onnx", "models/*/weights/*"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a model; `elsewhere` gets the same commit."""
    root = tmp_path / "here"
    (root / "models/m/weights").mkdir(parents=True)
    (root / "models/m/model.onnx").write_bytes(b"\x00\x01old")
    (root / "models/m/network.py").write_text("layers = 1\n")
    (root / "models/m/weights/a").write_text("a")
    for words in (["init", "--quiet"], ["add", "--all"], [*who(), "commit", "--quiet", "--message", "start"]):
        git(*words, at=root)
    monkeypatch.chdir(root)
    return root


def who() -> list[str]:
    return ["-c", "user.name=test", "-c", "user.email=test@example.org"]


def git(*words: str, at: Path = Path()) -> str:
    return subprocess.run(["git", "-C", str(at), *words], check=True, capture_output=True, text=True).stdout


def carry(folder: Path, edit: Edit = Edit("Train m", "by **CI**", "Not better.")) -> None:  # noqa: B008 - frozen
    """Change the tree's files first; it is as it was afterwards."""
    origin.carry(edit, folder)
    git("reset", "--quiet", "--hard")
    git("clean", "--quiet", "-fd")


@pytest.mark.usefixtures("here")
def test_what_was_trained_arrives_with_its_text_byte_for_byte(tmp_path: Path) -> None:
    Path("models/m/model.onnx").write_bytes(b"\x00\x01new\xff")
    Path("models/m/dvc.lock").write_text("lock\n")
    Path("models/m/weights/a").unlink()
    Path("models/m/weights/b").write_text("b")
    carry(tmp_path / "out")
    assert Path("models/m/model.onnx").read_bytes() == b"\x00\x01old"
    assert origin.carried(tmp_path / "out", WITHIN) == Edit("Train m", "by **CI**", "Not better.")
    assert Path("models/m/model.onnx").read_bytes() == b"\x00\x01new\xff"
    assert git("status", "--porcelain").splitlines() == [
        "A  models/m/dvc.lock",
        "M  models/m/model.onnx",
        "D  models/m/weights/a",
        "A  models/m/weights/b",
    ]


@pytest.mark.usefixtures("here")
def test_a_path_that_no_training_makes_is_refused(tmp_path: Path) -> None:
    Path("models/m/model.onnx").write_text("new")
    Path("models/m/network.py").write_text("layers = 2\n")
    carry(tmp_path / "out")
    with pytest.raises(Refusal, match=r"changes models/m/network\.py \(mode 100644\), which no training makes"):
        origin.carried(tmp_path / "out", WITHIN)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", [".github/workflows/ci.yml", "serving/serve.py", "models/m/weights.py"])
def test_so_is_a_new_one(tmp_path: Path, path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("import os\n")
    carry(tmp_path / "out")
    with pytest.raises(Refusal, match="which no training makes"):
        origin.carried(tmp_path / "out", WITHIN)


@pytest.mark.usefixtures("here")
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


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("printed", ["", "[]", '{"title": "x"}', '{"title": 1, "body": "", "closed": ""}'])
def test_a_text_that_is_none_is_refused(tmp_path: Path, printed: str) -> None:
    Path("models/m/dvc.lock").write_text("x\n")
    carry(tmp_path / "out")
    (tmp_path / "out" / origin.EDIT).write_text(printed)
    with pytest.raises(Refusal, match=r"edit\.json"):
        origin.carried(tmp_path / "out", WITHIN)
