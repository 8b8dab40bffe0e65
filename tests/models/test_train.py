"""Training: the same bytes every time, no pickle, and whole products only."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models import train
from models.lib import artifacts, config, plugin, scoring
from repo.lib.files import read_json, sha256_of_files
from repo.lib.refusal import Ended, Refusal
from tests.models.scene import OPTIONS, Verb, refused
from tests.support import trees
from tests.support.specimens import DATASET, MODEL


class Recorder:
    """A network that learns nothing and tells what it was given."""

    seen: list[pl.DataFrame]
    params: dict[str, Any]
    fail: type[BaseException] | None = None

    @classmethod
    def fit(cls, train: pl.DataFrame, valid: pl.DataFrame, params: dict[str, Any]) -> Recorder:
        cls.seen, cls.params = [train, valid], params
        return cls()

    def predict(self, table: pl.DataFrame) -> list[float]:
        return [place / table.height for place in range(table.height)]

    def save(self, folder: Path) -> None:
        (folder / "weights").write_text("new")
        if self.fail:
            raise self.fail


def test_a_network_sees_features_and_target_of_the_training_and_validation_windows_and_no_others(
    tree: Path, model: config.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "network", lambda _: Recorder)
    assert train.main(OPTIONS) == 0
    assert Recorder.params == model.training
    for part, seen in zip(("train", "valid"), Recorder.seen, strict=True):
        months = model.parts.months(part) or []
        rows = pl.concat(pl.read_parquet(tree / DATASET / f"data/{month}.parquet") for month in months)
        assert seen.columns == [*model.features, "target"]
        assert seen["target"].to_list() == (rows[model.target.column] > 15).cast(pl.Int8).to_list()


def test_what_training_keeps_of_the_scores_cuts_the_validation_rows_in_twenty(workshop: Path) -> None:
    edges = read_json(workshop / MODEL / "weights" / artifacts.EDGES, "")
    rows = pl.read_parquet(workshop / DATASET / "data/2013-07.parquet")
    runtime = scoring.session(workshop / MODEL / "model.onnx")
    counts = np.bincount(np.searchsorted(edges, scoring.scores(runtime, rows), side="right"), minlength=20)
    assert scoring.note(runtime, "fine") == edges
    assert (counts.min() >= rows.height / 20 - 2, counts.max() <= rows.height / 20 + 2) == (True, True), counts


@pytest.mark.usefixtures("tree")
def test_at_no_moment_is_there_half_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a kill would leave between two steps: the old network, none, or the new one."""
    real, seen = Path.rename, []

    def look() -> None:
        seen.append(sorted(path.name for path in (MODEL / "weights").iterdir()) if (MODEL / "weights").exists() else [])

    def rename(path: Path, target: Path) -> Path:
        look()
        moved = real(path, target)
        look()
        return moved

    monkeypatch.setattr(plugin, "network", lambda _: Recorder)
    monkeypatch.setattr(Path, "rename", rename)
    assert train.main(OPTIONS) == 0
    old = ["edges.json", "model.json", "weights.safetensors"]
    assert seen == [old, [], [], ["edges.json", "weights"]]
    assert not list((MODEL / "build").glob(".*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"0" * 60_000, r"specimen_delay/weights has 0\.1 MB, more than the 0\.05 MB for Git .*; set `storage: dvc`"),
        (None, r"network\.py: save\(\) wrote no file; fix it there"),
    ],
    ids=["too large for Git", "nothing"],
)
def test_what_git_cannot_carry_is_refused_and_the_old_network_stays(
    tree: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, words: str
) -> None:
    class Saves(Recorder):
        def save(self, folder: Path) -> None:
            if content:
                (folder / "inner").mkdir()
                (folder / "inner/large").write_bytes(content)

    before = sha256_of_files((MODEL / "weights").iterdir())
    monkeypatch.setattr(artifacts, "GIT_LIMIT_MB", 0.05)
    monkeypatch.setattr(plugin, "network", lambda _: Saves)
    with pytest.raises(Refusal, match=words):
        train.main(OPTIONS)
    assert sha256_of_files((MODEL / "weights").iterdir()) == before
    if content:
        trees.configure(tree, {"storage": "dvc"})
        assert train.main(OPTIONS) == 0
        assert (MODEL / "weights/inner/large").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["train", "export"])
def test_below_a_run_that_may_not_train_nothing_is_made(
    tree: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paths = [*(tree / MODEL / "weights").iterdir(), tree / MODEL / "model.onnx"]
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    monkeypatch.setenv(artifacts.NO_TRAIN, "1")
    refused(
        verb(name, "specimen_delay"), "would be made again, and --no-train (the variable MODELS_NO_TRAIN) forbids it"
    )
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths] == before


@pytest.mark.usefixtures("tree")
def test_interrupted_training_leaves_the_old_network_and_nothing_half_written(
    verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in MODEL.rglob("*") if path.is_file()}

    before = state()
    monkeypatch.setattr(plugin, "network", lambda _: Recorder)
    monkeypatch.setattr(Recorder, "fail", KeyboardInterrupt)
    answer = verb("train", "specimen_delay")
    assert (answer.code, len(answer.out.splitlines())) == (130, 1)
    assert "interrupted" in answer.error
    assert state() == before


@pytest.mark.parametrize(("error", "kind"), [(SystemExit(0), Refusal), (Ended(143), Ended)])
def test_a_network_that_exits_is_refused_and_a_signal_is_not_taken_for_that(
    model: config.Model, error: BaseException, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), plugin.guarded(model):
        raise error


def test_a_copied_network_names_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MODEL, tmp_path / "models/specimen_copied")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("models.specimen_copied.network")
    with pytest.raises(Refusal, match="`python -m models run specimen_copied`"):
        module.Model.load(tmp_path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (None, r"is missing; write its class `Model`"),
        ("class Network: pass", r"defines no class `Model`"),
        ("class Model(:", r"cannot be loaded \(SyntaxError"),
        ("import sys; sys.exit(0)", r"cannot be loaded \(SystemExit: 0"),
        ("raise ValueError('two\\nlines')", r"cannot be loaded \(ValueError: two lines"),
    ],
)
def test_a_network_that_cannot_be_loaded_is_refused_in_one_sentence(
    tree: Path, monkeypatch: pytest.MonkeyPatch, line: str | None, fault: str
) -> None:
    monkeypatch.syspath_prepend(tree)
    name = f"specimen_broken_{len(fault)}"  # each imported once
    path = tree / "models" / name / "network.py"
    shutil.copytree(tree / MODEL, path.parent)
    path.unlink() if line is None else path.write_text(line + "\n")
    with pytest.raises(Refusal, match=rf"^models/{name}/network\.py {fault}"):
        plugin.network(config.load(name))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("depth", 2, "Extra inputs are not permitted"),
        ("max_epochs", None, "Field required"),
    ],
)
def test_a_wrong_training_setting_is_refused_with_file_and_field(tree: Path, name: str, value: Any, words: str) -> None:
    trees.configure(tree, {f"training.{name}": value})
    with pytest.raises(Refusal, match=rf"^{MODEL}/model\.yaml: training\.{name}: {words}; fix it there\.$"):
        train.main(OPTIONS)
