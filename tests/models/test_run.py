"""The pipeline: only what changed runs, a failure stops it, and two runs do not meet."""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_schemas import ingest
from models import gates, measure, report
from models import run as run_verb
from models.__main__ import VERBS
from models.lib import champion, config, pipeline
from repo.lib.refusal import Refusal
from tests.models.scene import Verb, refused
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.repository import commit, git
from tests.support.specimens import DATASET, MODEL

BUILD = MODEL / "build"


@pytest.fixture
def own(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one's own in which the pipeline ran, as current directory."""
    monkeypatch.chdir(trees.copy(shop, tmp_path / "own"))
    answer_here(monkeypatch)
    return tmp_path / "own"


def state(root: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of the lock and of every product."""
    paths = [root / MODEL / "dvc.lock", root / MODEL / "model.onnx", *(root / MODEL / "weights").rglob("*")]
    paths += (root / BUILD).rglob("*")
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths if path.is_file()}


def test_nothing_changed_runs_nothing(own: Path, verb: Verb) -> None:
    trees.edit(own / BUILD / "passport.yaml", "owner: trip planning", "owner: ''")
    before = state(own)
    answer = verb("run", "specimen_delay")
    assert (answer.code, answer.error) == (0, "")
    assert "run specimen_delay: nothing changed.\n" in answer.out
    assert f"production` refuses that: {MODEL}/model.yaml: owner." in answer.out
    assert "model.onnx has the committed bytes" in answer.out
    assert state(own) == before


def test_a_stage_that_fails_stops_the_pipeline_and_no_verdict_is_given(own: Path, verb: Verb) -> None:
    """Evaluation refuses a name that is not a column."""
    before = state(own)
    settings = (own / MODEL / "model.yaml").read_bytes()
    trees.configure(own, {"slices.airport": "categories"})
    answer = verb("run", "specimen_delay")
    assert answer.code == 2
    assert "slices: 'airport' is not a column of specimen_trips" in answer.error
    assert len(answer.error.splitlines()) == 2
    assert "Traceback" not in answer.error
    assert "run specimen_delay: the pipeline stopped (see above); nothing after it ran." in answer.error
    assert "version" not in answer.out
    after = state(own)
    assert [name for name in before if name in after and after[name] != before[name]] == []
    (own / MODEL / "model.yaml").write_bytes(settings)
    judged = verb("gates", "specimen_delay")
    assert judged.code == 2  # the old passport is not taken for another model's
    assert f"{BUILD}/evaluation.json is missing; make it with `python -m models run specimen_delay`" in judged.error


@pytest.fixture
def held(tree: Path) -> Iterator[None]:
    """As if another process ran a verb in this tree."""
    lock = tree / ".dvc/tmp/run.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711")
        file.flush()
        yield


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "--check"], *([verb.name] for verb in VERBS if verb.alone and verb.name not in ("run", "new"))],
)
def test_a_second_verb_is_refused_while_the_first_one_works(verb: Verb, arguments: list[str]) -> None:
    """Also `--check`: what it would find is the half of something."""
    refused(verb(*arguments, "specimen_delay"), "`python -m models` is already running (process 4711); wait for it.")


@pytest.mark.usefixtures("held")
def test_a_stage_of_the_run_that_works_is_not_refused(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "models/specimen_delay/dvc.yaml:report")
    assert verb("report", "specimen_delay").code == 0


class Stages:
    """The pipeline's parts, replaced by a list of what was called; `codes` are what they return."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.called: list[str] = []
        self.codes: dict[str, int] = {}
        for module in (ingest, measure, gates, report):
            verb = "main" if module is ingest else "run"
            patch.setattr(module, verb, self.stand_in(module.__name__.partition(".")[2]))
        patch.setattr(pipeline, "repro", self.stand_in("repro"))

    def stand_in(self, name: str) -> Callable[[Any], int]:
        def call(*_: object) -> int:
            self.called.append(name)
            return self.codes.get(name, 0)

        return call


@pytest.fixture
def stages(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """In a tree whose verdict is about what stands there."""
    (tree / BUILD / "judged").write_text(run_verb.judged_from(config.load("specimen_delay")))
    return Stages(monkeypatch)


CHANGED = {
    "serving": MODEL / "model.yaml",
    "model": MODEL / "model.onnx",
    "weights": MODEL / "weights/model.json",
    "evaluation": BUILD / "evaluation.json",
    "champion": champion.passport_path("specimen_delay"),
    "behaviour": MODEL / "test_behaviour.py",
    "report gone": BUILD / "report.html",
    "packages": Path("requirements/training.txt"),
    "template": Path("models/lib/report/report.html.jinja"),
    "marker": BUILD / "judged",
}


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("change", CHANGED)
def test_what_a_verdict_depends_on_makes_it_again(stages: Stages, change: str) -> None:
    """And what it does not depend on does not."""
    run_verb.run(config.load("specimen_delay"))
    assert stages.called == ["repro"]
    stages.called.clear()
    path = CHANGED[change]
    path.unlink() if change.endswith("gone") else trees.append(path, "\n")
    run_verb.run(config.load("specimen_delay"))
    assert stages.called == ["repro", "measure", "gates", "report"]
    stages.called.clear()
    path.touch()
    run_verb.run(config.load("specimen_delay"))
    assert stages.called == ["repro"]


def test_data_that_is_not_there_is_ingested_first(tree: Path, stages: Stages) -> None:
    shutil.rmtree(tree / DATASET / "data")
    run_verb.run(config.load("specimen_delay"))
    assert stages.called == ["ingest", "repro"]
    stages.called.clear()
    stages.codes["ingest"] = 1
    assert run_verb.run(config.load("specimen_delay")) == 1
    assert stages.called == ["ingest"]


def test_a_gate_that_fails_ends_the_run_with_1_after_its_report(tree: Path, stages: Stages) -> None:
    trees.edit(tree / BUILD / "passport.yaml", "\nverdict: pass", "\nverdict: fail")
    (tree / BUILD / "judged").unlink()
    stages.codes["gates"] = 1
    assert run_verb.run(config.load("specimen_delay")) == 1
    assert stages.called == ["repro", "measure", "gates", "report"]


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize("code", [0, 1])
def test_a_verdict_is_the_same_where_mlflow_does_not_answer(
    tree: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    if code:
        trees.edit(tree / BUILD / "passport.yaml", "\nverdict: pass", "\nverdict: fail")
        (tree / BUILD / "judged").write_text(run_verb.judged_from(config.load("specimen_delay")))
    plain = verb("run", "specimen_delay")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    told = verb("run", "specimen_delay")
    assert (plain.code, told.code, told.error) == (code, code, "")
    line = told.out.removeprefix(plain.out)
    assert line.startswith("run specimen_delay: not logged to MLflow: URLError: ")
    assert line.count("\n") == 1


@pytest.mark.usefixtures("stages")
def test_the_run_says_whether_it_reproduced_the_committed_bytes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def printed() -> str:
        run_verb.run(config.load("specimen_delay"))
        return capsys.readouterr().out

    fix = "commit weights, model.onnx and dvc.lock of models/specimen_delay to propose it"
    assert f"model.onnx is new; {fix}" in printed()
    git("init", "--quiet")
    commit()
    assert "model.onnx has the committed bytes" in printed()
    (tree / MODEL / "weights/more").write_bytes(b"more")
    assert f"weights/more is new; {fix}" in printed()
    (tree / MODEL / "weights/more").unlink()
    (tree / MODEL / "weights/model.json").unlink()
    assert f"weights/model.json differs from the committed one; {fix}" in printed()
    (tree / MODEL / "model.onnx").write_bytes(b"other")
    assert f"model.onnx differs from the committed one; {fix}" in printed()


def test_without_git_a_run_does_not_begin(stages: Stages, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not say whether the bytes are new."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).absolute().parent))
    answer = verb("run", "specimen_delay")
    assert (answer.code, answer.out) == (2, "")
    assert "git is not on PATH; install it" in answer.error
    assert stages.called == []


@pytest.mark.parametrize("change", ["data", "pointer"])
def test_data_that_is_not_the_pinned_version_is_refused_and_never_pinned_silently(
    tree: Path, stages: Stages, change: str
) -> None:
    """DVC would write the version that lies there into the pointer, and train on it."""
    data = tree / "data_schemas/specimen_trips/data"
    if change == "data":
        (data / "2013-12.parquet").unlink()
    else:
        trees.edit(tree / "data_schemas/specimen_trips/data.dvc", "md5: ", "md5: 0")
    with pytest.raises(Refusal, match=r"/data is not the version that .*data\.dvc pins; .*ingest specimen_trips`"):
        run_verb.run(config.load("specimen_delay"))
    assert stages.called == []
