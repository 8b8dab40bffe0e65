"""`storage: dvc`: what a clone lacks comes from the remote, byte for byte what the lock names, or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from models import run as run_verb
from models.lib import config, pipeline
from tests.models.scene import Verb
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.repository import git
from tests.support.specimens import MODEL

if TYPE_CHECKING:
    from tests.conftest import Once

WEIGHTS, ONNX, MAKERS = MODEL / "weights", MODEL / "model.onnx", ("train", "export")
REMOTE, CACHE = Path(".dvc/remote/files/md5"), Path(".dvc/cache/files/md5")


@pytest.fixture(scope="module")
def pushed(once: Once, shop: Path) -> Path:
    return once("pushed", lambda root: push(root, shop))


def push(root: Path, shop: Path) -> None:
    """A repository whose model is in its remote, a folder, and neither in Git nor in the tree nor in DVC's cache."""
    trees.copy(shop, root)
    trees.store(root, "dvc")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(root):
        answer_here(patch)
        assert pipeline.bring(MODEL / "dvc.yaml", [WEIGHTS, ONNX]) == {}  # takes what is there into the cache
        assert git("status", "--porcelain") == ""
        dvc = [sys.executable, "-m", "dvc", "push", "--quiet", f"{MODEL}/dvc.yaml:train", f"{MODEL}/dvc.yaml:export"]
        assert subprocess.run(dvc, check=False).returncode == 0
        (MODEL / "build/judged").write_text(run_verb.judged_from(config.load("specimen_delay")))
    for name in objects(root):
        (root / CACHE / name).unlink()
    shutil.rmtree(root / WEIGHTS)
    (root / ONNX).unlink()


@pytest.fixture
def clone(pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trees.copy(pushed, tmp_path / "clone"))
    answer_here(monkeypatch)
    return tmp_path / "clone"


def objects(root: Path) -> dict[str, str]:
    """Where cache and remote have the listing of weights, its files, and model.onnx: what each is."""
    stages = yaml.safe_load((root / MODEL / "dvc.lock").read_text())["stages"]
    listing, onnx = (f"{out['md5'][:2]}/{out['md5'][2:]}" for out in (stages[name]["outs"][0] for name in MAKERS))
    place = next(each / listing for each in (root / CACHE, root / REMOTE) if (each / listing).is_file())
    within = {f"{each['md5'][:2]}/{each['md5'][2:]}": each["relpath"] for each in json.loads(place.read_bytes())}
    return {listing: "listing", onnx: "model.onnx", **within}


@pytest.fixture
def repros(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether DVC may train, each time that it would have been started."""
    calls: list[bool] = []

    def call(_: Path, train: bool) -> int:
        calls.append(train)
        return 1

    monkeypatch.setattr(pipeline, "repro", call)
    return calls


@pytest.mark.slow
def test_a_model_that_is_in_the_remote_is_judged_and_nothing_is_trained(clone: Path, shop: Path, verb: Verb) -> None:
    answer = verb("run", "specimen_delay", "--no-train")
    assert answer.code == 0, answer.error
    assert "run specimen_delay: nothing changed.\n" in answer.out
    assert "model.onnx has the committed bytes" in answer.out
    for path in (ONNX, *(MODEL / "weights" / name for name in ("model.json", "weights.safetensors"))):
        assert (clone / path).read_bytes() == (shop / path).read_bytes()
    assert git("status", "--porcelain") == ""


def tampered(clone: Path, what: str, mode: int) -> str:
    """The name of the object, which has other bytes in the remote now."""
    name = next(name for name, each in objects(clone).items() if each == what)
    path = REMOTE / name
    path.chmod(0o644)
    path.write_bytes(b"[]" if what == "listing" else path.read_bytes() + b"x")
    path.chmod(mode)
    return name


@pytest.mark.parametrize("what", [pytest.param("listing", marks=pytest.mark.slow), "weights.safetensors", "model.onnx"])
def test_other_bytes_in_the_remote_are_not_taken(clone: Path, verb: Verb, repros: list[bool], what: str) -> None:
    """DVC takes the name of a read-only file for its hash; any other that is altered it deletes, and it is missing."""
    for mode, words in (
        (0o444, "in the DVC remote or cache than the lock names; delete files/md5/"),
        (0o644, "`dvc push`"),
    ):
        name = tampered(clone, what, mode)
        answer = verb("run", "specimen_delay", "--no-train")
        assert (answer.code, answer.out, repros, len(answer.error.splitlines())) == (2, "", [], 1)
        assert words + (name if mode == 0o444 else " on the machine that has") in answer.error
        assert not (CACHE / name).exists()
        assert not (WEIGHTS.exists() and ONNX.exists())


def out_of_reach(_: Path) -> None:
    trees.edit(Path(".dvc/config"), "url = remote", "url = s3://nowhere/at-all")


def emptied(_: Path) -> None:
    shutil.rmtree(".dvc/remote")


def without_one_file(clone: Path) -> None:
    (REMOTE / next(name for name, each in objects(clone).items() if each == "weights.safetensors")).unlink()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (emptied, "the DVC remote has not got it"),
        (without_one_file, "DVC cannot fetch it: 2 files failed to download"),
        (out_of_reach, "DVC cannot fetch it: "),
    ],
)
def test_what_the_remote_has_not_got_is_made_again_or_refused(
    clone: Path, verb: Verb, repros: list[bool], fault: Callable[[Path], None], reason: str
) -> None:
    fault(clone)
    lock = (MODEL / "dvc.lock").read_bytes()
    answer = verb("run", "specimen_delay", "--no-train")
    assert (answer.code, answer.out, repros, len(answer.error.splitlines())) == (2, "", [], 1)
    assert f"{WEIGHTS} is missing ({reason}" in answer.error
    assert "--no-train makes nothing new; run `dvc push` on the machine that has it" in answer.error
    assert not WEIGHTS.exists()
    assert (MODEL / "dvc.lock").read_bytes() == lock
    answer = verb("run", "specimen_delay")
    assert (answer.code, repros) == (1, [True])
    assert f"run specimen_delay: {WEIGHTS} is missing ({reason}" in answer.out
    assert "so it is made again." in answer.out
    assert "Traceback" not in answer.out + answer.error


def test_what_is_there_goes_to_the_cache_and_is_never_overwritten(clone: Path) -> None:
    names = objects(clone)

    def forget() -> None:
        for name in names:
            (CACHE / name).unlink()

    def bring() -> set[str]:
        """What the cache has then."""
        assert pipeline.bring(MODEL / "dvc.yaml", [WEIGHTS, ONNX]) == {}
        return {what for name, what in names.items() if (CACHE / name).is_file()}

    bring()
    forget()
    emptied(clone)
    assert bring() == set(names.values())
    forget()
    (WEIGHTS / "model.json").write_text("mine")
    assert bring() == {"model.onnx"}
    assert (WEIGHTS / "model.json").read_text() == "mine"
