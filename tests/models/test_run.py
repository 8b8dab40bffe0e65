"""The pipeline: only what changed runs, a failure stops it, and two runs do not meet."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_schemas import ingest
from data_schemas.command import Refusal
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
    assert "Traceback" not in answer.error
    assert "run flight_delay: the pipeline stopped (see above); nothing after it ran." in answer.error
    assert "version" not in answer.out
    after = state(workshop)
    assert [name for name in before if name in after and after[name] != before[name]] == []
    gate = [sys.executable, "-m", "models", "gates", "flight_delay"]
    trees.edit(workshop / MODEL / "model.yaml", "  airport: categories", "  origin: categories")
    done = subprocess.run(gate, cwd=workshop, capture_output=True, text=True, check=False)
    assert done.returncode == 2  # the old passport is not taken for another model's
    assert f"{BUILD}/evaluation.json is missing; make it with `python -m models run flight_delay`" in done.stderr


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
    "change", ["serving", "model", "evaluation", "champion", "behaviour", "report gone", "packages", "template"]
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
        "template": Path("models/report.html.jinja"),
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


@pytest.mark.parametrize("change", ["data", "pointer"])
def test_data_that_is_not_the_pinned_version_is_refused_and_never_pinned_silently(
    tree: Path, stages: Stages, change: str
) -> None:
    """DVC would write the version that lies there into the pointer, and train on it."""
    data = tree / "data_schemas/flights/data"
    if change == "data":
        data.unlink()
        shutil.copytree(ROOT / "data_schemas/flights/data", data)
        (data / "2013-12.parquet").unlink()
    else:
        trees.edit(tree / "data_schemas/flights/data.dvc", "md5: ", "md5: 0")
    with pytest.raises(Refusal, match=r"flights/data is not the version that .*data\.dvc pins; .*ingest flights`"):
        run.run(config.load("flight_delay"))
    assert stages.called == []


def test_a_run_that_is_ended_ends_the_stage_that_dvc_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, started, finished = tmp_path / "python", tmp_path / "started", tmp_path / "finished"
    script.write_text(f"#!/bin/sh\n(sleep 1; touch {finished}) &\ntouch {started}\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    def end(*_: object) -> None:
        if started.exists():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            run._dvc("repro")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    time.sleep(1.5)
    assert not finished.exists()


def test_ctrl_c_ends_a_run_at_once_even_after_polars_was_used(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    script = (
        "import types, polars; polars.DataFrame({'a': [1]}).lazy().collect(); from models import run;"
        f"run.sys = types.SimpleNamespace(executable={str(slow)!r}); print('ready', flush=True); run._dvc('repro')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=trees.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a job in the background has none
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) != 0  # half of what `slow` takes
