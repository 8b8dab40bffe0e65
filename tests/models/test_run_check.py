"""`run --check`: in a fresh clone, is the committed model that of the committed inputs?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.lib import pipeline
from tests.models.scene import Verb
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.process import Answer, run
from tests.support.repository import git
from tests.support.specimens import DATASET, MODEL

DVC = MODEL / "dvc.yaml"
ENGINE = "what the template or its packages make of it changed"
WRITTEN = "models/specimen_delay/dvc.yaml is not what `models run` writes"
pytestmark = pytest.mark.usefixtures("clone")

# What the clone may hold that the lock does not fit, and the message then: settings, or a file and what is put at its
# end or in the place of a text.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "training": ({"training.more": 1}, "train: training of models/specimen_delay/model.yaml changed"),
    "windows": ({"windows.train.first": "2012-12"}, "train: windows.train of models/specimen_delay/model.yaml changed"),
    "features": ({"features": ["carrier"]}, "train: features of models/specimen_delay/model.yaml changed"),
    "slices": ({"slices": {"carrier": [0, 1]}}, "evaluate: slices of models/specimen_delay/model.yaml changed"),
}
EDITS: dict[str, tuple[Path, str, str, str]] = {
    "network": (MODEL / "network.py", "", "\n", "train: models/specimen_delay/network.py changed"),
    "command": (DVC, "cmd: python -m models train", "cmd: python -B -m models train", WRITTEN),
    "schema": (DATASET / "schema.py", "", "\n", f"validate: {DATASET}/schema.py changed"),
    "data": (DATASET / "data.dvc", "md5: ", "md5: 0", f"train: {DATASET}/data changed"),
    "packages": (Path("requirements/training.txt"), "", "\n", f"train: {ENGINE}"),
    "metrics": (Path("models/lib/metrics.py"), "", "\n", f"evaluate: {ENGINE}"),
}


@pytest.fixture
def clone(cloned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone of one's own, as current directory."""
    monkeypatch.chdir(trees.copy(cloned, tmp_path / "clone"))
    answer_here(monkeypatch)
    return tmp_path / "clone"


def check(verb: Verb) -> Answer:
    return verb("run", "specimen_delay", "--check")


def test_a_fresh_clone_without_data_and_cache_is_up_to_date(clone: Path) -> None:
    """By the command line, as in a person's terminal."""
    assert not (clone / "data_schemas/specimen_trips/data").exists()
    assert not (clone / ".dvc/cache").exists()
    answer = run("models", "run", "specimen_delay", "--check", root=clone)
    assert (answer.code, answer.error) == (0, "")
    assert "dvc.lock, weights and model.onnx are up to date with their inputs." in answer.out
    assert not (clone / MODEL / "build").exists()
    assert git("status", "--porcelain", root=clone) == ""


@pytest.mark.parametrize("name", [*SETTINGS, *EDITS])
def test_a_lock_older_than_its_inputs_is_named_with_the_stage_and_the_fix(clone: Path, verb: Verb, name: str) -> None:
    if name in SETTINGS:
        settings, words = SETTINGS[name]
        trees.configure(clone, settings)
    else:
        path, old, new, words = EDITS[name]
        trees.edit(path, old or path.read_text(), new if old else path.read_text() + new)
    answer = check(verb)
    assert (answer.code, answer.error) == (1, "")
    assert f"run specimen_delay: {words}" in answer.out
    assert "run `python -m models run specimen_delay` and commit models/specimen_delay." in answer.out
    if words.startswith("evaluate"):
        assert "train:" not in answer.out


@pytest.mark.parametrize("storage", ["git", "dvc"])
@pytest.mark.parametrize(("path", "named"), [("model.onnx", "model.onnx"), ("weights/model.json", "weights")])
def test_other_bytes_of_the_model_than_the_locks_are_found(
    clone: Path, verb: Verb, storage: str, path: str, named: str
) -> None:
    trees.store(clone, storage)
    assert check(verb).code == 0
    trees.append(clone / MODEL / path, " ")
    answer = check(verb)
    assert answer.code == 1
    assert answer.out.startswith(f"run specimen_delay: {MODEL}/{named} is not the file that the lock names\n")
    assert "changed" not in answer.out


def test_with_dvc_storage_a_fresh_clone_has_neither_weights_nor_model(clone: Path, verb: Verb) -> None:
    trees.store(clone, "dvc")
    for name in ("weights", "model.onnx"):
        (clone / MODEL / name).rename(name)
    assert check(verb).code == 0


@pytest.mark.parametrize("github", ["true", ""])
@pytest.mark.parametrize("name", ["dvc.lock", "model.onnx", "weights"])
def test_a_missing_lock_or_model_is_found_and_on_github_the_label_that_fixes_it_is_named(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, github: str, name: str
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", github)
    (MODEL / name).rename("elsewhere")
    answer = check(verb)
    assert (answer.code, answer.error) == (1, "")
    assert f"models/specimen_delay/{name} is missing" in answer.out
    assert "run `python -m models run specimen_delay` and commit models/specimen_delay." in answer.out
    assert ("or give the pull request the label `train`." in answer.out) is bool(github)


def test_a_change_of_serving_or_gates_makes_no_stage_stale(clone: Path, verb: Verb) -> None:
    changes = {"serving.max_rows": 7, "serving.slow_ms": 0.7, "gates.roc_auc": {"at_least": 0.1}, "description": "New."}
    trees.configure(clone, changes)
    (clone / MODEL / "resources.yaml").write_text("[]\n")
    assert check(verb).code == 0


def test_a_lock_that_dvc_cannot_read_is_refused_in_one_line(clone: Path, verb: Verb) -> None:
    (clone / MODEL / "dvc.lock").write_text("stages: [\n")
    answer = check(verb)
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert "restore it with `git checkout -- models/specimen_delay/dvc.lock`" in answer.error


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [("outs", f"{MODEL}/weights", f"export: {MODEL}/weights"), ("deps", f"{DATASET}/data", f"train: {DATASET}/data")],
)
def test_a_lock_of_a_run_that_was_cut_short_or_whose_stages_saw_different_data_is_found(
    verb: Verb, kind: str, path: str, words: str
) -> None:
    """The network is newer than the file that was exported from the one before."""
    lock = MODEL / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    next(each for each in content["stages"]["train"][kind] if each["path"] == path)["md5"] = "0" * 32
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    answer = check(verb)
    assert (answer.code, f"{words} changed" in answer.out, answer.out.count("changed")) == (1, True, 1)


@pytest.mark.parametrize("kind", ["cmd", "deps", "params"])
def test_a_lock_of_other_stages_than_those_of_dvc_yaml_is_found(verb: Verb, kind: str) -> None:
    """As after an update of the template that nobody ran."""
    lock = MODEL / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    kept = content["stages"]["evaluate"][kind]
    content["stages"]["evaluate"][kind] = f"{kept} -v" if kind == "cmd" else kept[1:] if kind == "deps" else {}
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    answer = check(verb)
    named = "run specimen_delay: evaluate: its command, dependencies or settings in dvc.yaml changed\n"
    assert (answer.code, answer.out.count("changed")) == (1, 1)
    assert answer.out.startswith(named)


@pytest.mark.parametrize("name", ["models/lib/metrics.py", "requirements/training.txt", f"{MODEL}/network.py"])
def test_a_deleted_source_is_stale_and_not_a_fresh_clone(verb: Verb, name: str) -> None:
    Path(name).unlink()
    assert verb("run", "specimen_delay", "--check").code == 1


@pytest.mark.parametrize("content", [None, "", "stages: 5"], ids=["missing", "empty", "a number"])
def test_a_pipeline_that_somebody_edited_is_found_and_written_again(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    before = DVC.read_text()
    DVC.unlink() if content is None else DVC.write_text(content)
    assert WRITTEN in check(verb).out
    refused = verb("run", "specimen_delay", "--no-train")
    assert (refused.code, "dvc.yaml is not what `models run` writes" in refused.error) == (2, True)
    monkeypatch.setattr(pipeline, "repro", lambda *_: 1)
    assert "run specimen_delay: wrote models/specimen_delay/dvc.yaml" in verb("run", "specimen_delay").out
    assert DVC.read_text() == before
