"""The pipeline: only what changed runs, a failure stops it, and two runs do not meet."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_schemas import ingest
from data_schemas.files import write_json
from models import champion, config, gates, measure, report, run
from tests.models import trees
from tests.models.trees import MODEL, ROOT, Answer

BUILD = MODEL / "build"


@pytest.fixture(scope="module")
def workshop(cloned: Path, built: Path, flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the pipeline ran: data, DVC's cache and build products are there. One test may change it."""
    root = tmp_path_factory.mktemp("workshop") / "repository"
    shutil.copytree(cloned, root)
    shutil.copytree(flights, root / "data_schemas/flights/data")
    shutil.copytree(built, root / BUILD, ignore=shutil.ignore_patterns("bento"))
    shutil.copytree(ROOT / ".dvc/cache/files", root / ".dvc/cache/files")
    return root


def pipeline(root: Path) -> Answer:
    command = [sys.executable, "-m", "models", "run", "flight_delay"]
    environment = os.environ | trees.GIT
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def state(root: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of the lock and of every product."""
    paths = [root / MODEL / "model.onnx", root / MODEL / "dvc.lock", *(root / BUILD).rglob("*")]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths if path.is_file()}


def test_nothing_changed_runs_nothing(workshop: Path) -> None:
    before = state(workshop)
    answer = pipeline(workshop)
    assert answer.code in (0, 1), answer.error  # the verdict that stands
    assert "run flight_delay: nothing changed.\n" in answer.out
    assert "model.onnx has the committed bytes" in answer.out
    assert state(workshop) == before


def test_a_stage_that_fails_stops_the_pipeline_and_no_verdict_is_given(workshop: Path) -> None:
    """The last test on the workshop: evaluation refuses a column that is none."""
    before = state(workshop)
    trees.edit(workshop / MODEL / "model.yaml", "  origin: categories", "  airport: categories")
    answer = pipeline(workshop)
    assert answer.code == 1
    assert "slices: 'airport' is no column of flights" in answer.error
    assert "run flight_delay: the pipeline stopped (see above); nothing after it ran." in answer.error
    assert "version" not in answer.out
    after = state(workshop)
    assert [name for name in before if name in after and after[name] != before[name]] == []
    gate = [sys.executable, "-m", "models", "gates", "flight_delay"]
    trees.edit(workshop / MODEL / "model.yaml", "  airport: categories", "  origin: categories")
    done = subprocess.run(gate, cwd=workshop, capture_output=True, text=True, check=False)
    assert done.returncode == 2  # the old passport is not taken for another model's
    assert f"{BUILD}/evaluation.json is missing; make it with `python -m models run flight_delay`" in done.stderr


# What the clone may hold that the lock does not fit, and what is then said.
EDITS: dict[str, tuple[str, str, str, str]] = {
    "network": ("network.py", "HARMONICS = 2", "HARMONICS = 3", "train: changed deps: models/flight_delay/network.py"),
    "training": ("model.yaml", "hidden: 64", "hidden: 65", "train: changed deps: models/flight_delay/model.yaml"),
    "windows": (
        "model.yaml",
        "last: 2013-06}",
        "last: 2013-05}",
        "train: changed deps: models/flight_delay/model.yaml",
    ),
    "features": ("model.yaml", "  - visib\n", "", "train: changed deps: models/flight_delay/model.yaml"),
    "slices": ("model.yaml", "[0, 480,", "[0, 400,", "evaluate: changed deps: models/flight_delay/model.yaml"),
    "command": ("dvc.yaml", "cmd: python -m models train", "cmd: python -B -m models train", "train: changed command"),
    "dependency": ("dvc.yaml", "      - models/scoring.py", "      - models/config.py", "evaluate: changed deps"),
    "schema": (
        "../../data_schemas/flights/schema.py",
        '"JFK", "LGA"]',
        '"JFK"]',
        "validate: changed deps: data_schemas",
    ),
    "data": ("../../data_schemas/flights/data.dvc", "md5: ", "md5: 0", "data_schemas/flights/data.dvc is newer than"),
    "packages": ("../../requirements/training.txt", "polars==", "polars==9", "train: changed deps: requirements"),
    "metrics": ("../metrics.py", "BINS = 10", "BINS = 20", "evaluate: changed deps: models/metrics.py"),
}


@pytest.fixture
def clone(cloned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone of one's own, as current directory."""
    shutil.copytree(cloned, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def check(verb: Callable[..., Answer]) -> Answer:
    return verb("run", "flight_delay", "--check")


def test_a_fresh_clone_without_data_and_cache_is_up_to_date(clone: Path, verb: Callable[..., Answer]) -> None:
    assert not (clone / "data_schemas/flights/data").exists()
    assert not (clone / ".dvc/cache").exists()
    answer = check(verb)
    assert (answer.code, answer.error) == (0, "")
    assert "dvc.lock and models/flight_delay/model.onnx are up to date with their inputs." in answer.out
    assert not (clone / BUILD).exists()
    assert trees.git("status", "--porcelain", root=clone) == ""


@pytest.mark.parametrize("name", EDITS)
def test_a_lock_older_than_its_inputs_is_named_with_the_stage_and_the_mend(
    clone: Path, verb: Callable[..., Answer], name: str
) -> None:
    path, old, new, words = EDITS[name]
    trees.edit(clone / MODEL / path, old, new)
    answer = check(verb)
    assert (answer.code, answer.error) == (1, "")
    assert f"run flight_delay: {words}" in answer.out
    assert "run `python -m models run flight_delay` and commit models/flight_delay." in answer.out
    if words.startswith("evaluate"):
        assert "train:" not in answer.out


def test_other_bytes_of_the_model_than_the_locks_are_found(clone: Path, verb: Callable[..., Answer]) -> None:
    with (clone / MODEL / "model.onnx").open("ab") as file:
        file.write(b"\0")
    answer = check(verb)
    assert answer.code == 1
    assert "export: changed outs: models/flight_delay/model.onnx" in answer.out
    assert "train:" not in answer.out


@pytest.mark.parametrize("name", ["dvc.lock", "model.onnx"])
def test_a_missing_lock_or_model_is_found(clone: Path, verb: Callable[..., Answer], name: str) -> None:
    (clone / MODEL / name).unlink()
    answer = check(verb)
    assert (answer.code, answer.error) == (1, "")
    assert f"models/flight_delay/{name} is missing" in answer.out
    assert "run `python -m models run flight_delay` and commit models/flight_delay." in answer.out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_rows: 200", "max_rows: 300"),
        ("latency_budget_ms: 10.0", "latency_budget_ms: 20.0"),
        ("roc_auc: {at_least: 0.70}", "roc_auc: {at_least: 0.71}"),
        ("description: Will", "description: Shall"),
    ],
)
def test_a_change_of_serving_or_gates_makes_no_stage_stale(
    clone: Path, verb: Callable[..., Answer], old: str, new: str
) -> None:
    trees.edit(clone / MODEL / "model.yaml", old, new)
    (clone / MODEL / "resources.yaml").write_text("[]\n")
    assert check(verb).code == 0


def test_a_lock_that_dvc_cannot_read_is_refused_in_one_line(clone: Path, verb: Callable[..., Answer]) -> None:
    (clone / MODEL / "dvc.lock").write_text("stages: [\n")
    answer = check(verb)
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert "models/flight_delay/dvc.lock" in answer.error


def test_a_second_run_is_refused_while_the_first_one_works(tree: Path, verb: Callable[..., Answer]) -> None:
    lock = tree / ".dvc/tmp/run.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711")
        file.flush()
        answer = verb("run", "flight_delay")
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert "`python -m models run` is already running (process 4711); wait for it." in answer.error


class Stages:
    """The pipeline's parts, replaced by a list of what was called; `codes` are what they return."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.called: list[str] = []
        self.codes: dict[str, int] = {}
        for module in (ingest, measure, gates, report):
            patch.setattr(module, "main", self.stand_in(module.__name__.partition(".")[2]))
        patch.setattr(
            run, "_dvc", lambda *words, **_: subprocess.CompletedProcess(words, self.stand_in(words[0])(None))
        )

    def stand_in(self, name: str) -> Callable[[Any], int]:
        def call(_: object) -> int:
            self.called.append(name)
            return self.codes.get(name, 0)

        return call


@pytest.fixture
def stages(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """In a tree whose verdict is about what stands there."""
    write_json(tree / BUILD / "judged.json", {"inputs": run._inputs(config.load("flight_delay"))})
    return Stages(monkeypatch)


def test_a_verdict_about_what_stands_there_is_not_given_again(stages: Stages) -> None:
    run.run(config.load("flight_delay"))
    assert stages.called == ["repro"]


@pytest.mark.parametrize(
    "change", ["serving", "model", "evaluation", "champion", "behaviour", "report gone", "packages"]
)
def test_what_a_verdict_depends_on_makes_it_anew(tree: Path, stages: Stages, change: str) -> None:
    path = {
        "serving": MODEL / "model.yaml",
        "model": MODEL / "model.onnx",
        "evaluation": BUILD / "evaluation.json",
        "champion": champion.passport_path("flight_delay"),
        "behaviour": MODEL / "test_behaviour.py",
        "report gone": BUILD / "report.html",
        "packages": Path("requirements/training.txt"),
    }[change]
    if change == "report gone":
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (tree / path).open("a") as file:
            file.write("\n")
    run.run(config.load("flight_delay"))
    assert stages.called == ["repro", "measure", "gates", "report"]
    stages.called.clear()
    (tree / BUILD / "report.html").touch()
    run.run(config.load("flight_delay"))
    assert stages.called == ["repro"]


def test_data_that_is_not_there_is_ingested_first(tree: Path, stages: Stages) -> None:
    (tree / "data_schemas/flights/data").unlink()
    run.run(config.load("flight_delay"))
    assert stages.called == ["ingest", "repro"]
    stages.called.clear()
    stages.codes["ingest"] = 1
    assert run.run(config.load("flight_delay")) == 1
    assert stages.called == ["ingest"]


def test_a_gate_that_fails_ends_the_run_with_1_after_its_report(tree: Path, stages: Stages) -> None:
    trees.edit(tree / BUILD / "passport.yaml", "\nverdict: pass", "\nverdict: fail")
    (tree / BUILD / "judged.json").unlink()
    stages.codes["gates"] = 1
    assert run.run(config.load("flight_delay")) == 1
    assert stages.called == ["repro", "measure", "gates", "report"]


def test_the_run_says_whether_it_reproduced_the_committed_bytes(tree: Path) -> None:
    model = config.load("flight_delay")
    assert "model.onnx is new; commit it with models/flight_delay/dvc.lock" in run.reproduced(model)
    trees.git("init", "--quiet")
    trees.commit()
    assert "model.onnx has the committed bytes" in run.reproduced(model)
    (tree / MODEL / "model.onnx").write_bytes(b"other")
    assert "model.onnx differs from the committed one" in run.reproduced(model)
