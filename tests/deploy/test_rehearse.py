"""A rehearsal from end to end on real servers, and its parts on servers inside the test."""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import psutil  # type: ignore[import-untyped]
import pytest
import yaml

from deploy import rehearse
from deploy.__main__ import VERBS
from deploy.rehearsal import bentos, prometheus, proxy, report
from models.lib import champion, config
from repo.lib import command
from repo.lib.files import sha256
from repo.lib.refusal import Refusal
from serving import build, serve
from tests.deploy.rehearsals import QUICK, needs_haproxy, needs_prometheus
from tests.support import trees
from tests.support.process import signals_kept
from tests.support.repository import commit, git
from tests.support.specimens import DATASET, MODEL

ONNX = MODEL / "model.onnx"


@pytest.fixture
def here(rehearsed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of two commits as current directory, its Bento built; temporary files go to `temporary`."""
    monkeypatch.chdir(trees.copy(rehearsed, tmp_path / "repository"))
    tempfile.tempdir = None  # asked again
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with signals_kept():
        yield Path.cwd()
    tempfile.tempdir = None


@pytest.fixture
def temporary(here: Path) -> Path:
    return here.with_name("temporary")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Prometheus and HAProxy."""
    for tool in (prometheus, proxy):
        monkeypatch.setattr(tool, "find", lambda: None)


@pytest.mark.slow
@needs_prometheus
@needs_haproxy
@pytest.mark.usefixtures("here")
def test_a_healthy_candidate_is_promoted_by_the_cluster_s_own_analysis(temporary: Path) -> None:
    """Through HAProxy, and no request fails, although weights change and the old version stops under load."""
    done = rehearse.rehearse("specimen_delay", pace=dataclasses.replace(QUICK, steps=9.0, evidence=20.0))
    assert done.verdict == "promote", done.reason
    assert "itself" in done.champion
    assert [step.weight for step in done.plan.steps] == [25, 50, 75]
    assert "real Prometheus" in done.judge
    assert "HAProxy" in done.split
    assert done.kept.startswith("0 of ")
    assert "requests failed over 4 changes of weight and the stop of the old version" in done.kept
    assert {meter.arm.lost for meter in done.meters} == {0}
    assert nothing_left(temporary)


@pytest.mark.slow
@needs_prometheus
@needs_haproxy
@pytest.mark.usefixtures("here")
def test_a_failing_candidate_is_aborted_by_the_cluster_s_own_analysis(temporary: Path) -> None:
    done = rehearse.rehearse("specimen_delay", fault="nan", pace=dataclasses.replace(QUICK, steps=9.0))
    assert done.verdict == "abort"
    assert re.match("errors|success|answers", done.reason), done.reason  # whose answers are left has other scores
    assert "of the cluster's time; of its" in done.bad
    assert nothing_left(temporary)


@pytest.mark.slow
@pytest.mark.usefixtures("here", "bare")
def test_without_prometheus_and_haproxy_the_reference_judges_and_one_line_at_the_end_says_so(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearse, "Pace", lambda seed: dataclasses.replace(QUICK, seed=seed))
    assert command.run("deploy", VERBS, ["rehearse", "specimen_delay", "--fault", "errors"]) == 1
    out = capsys.readouterr().out
    assert "fault      errors, planted in the candidate" in out
    *_, missing, written, advised, ended = out.splitlines()
    assert missing == "Stand-ins replaced prometheus and haproxy: `apt-get install prometheus haproxy`."
    assert "apt-get" not in out.replace(missing, "")
    assert re.match("abort: (errors|success|answers).*, at (most|least) ", ended), out  # the last line says what failed
    assert advised.startswith("next: The fault was planted")
    page = Path(written.removeprefix("report: ")).read_text()
    assert "<strong>Abort.</strong>" in page
    assert missing in page
    assert "\x1b" not in out
    assert nothing_left(temporary)


@pytest.mark.parametrize("unready", ["champion", "candidate"])
def test_a_candidate_that_never_gets_ready_aborts(unready: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unready:
        address = ""

        def __init__(self, home: Path) -> None:
            self.name = home.name

        def wait_ready(self, seconds: float) -> None:
            if unready in self.name:
                raise serve.NotReadyError(f"the server was not ready in {seconds:g} s")

    monkeypatch.setattr(serve, "start", lambda _, __, home: contextlib.nullcontext(Unready(home)))
    if unready == "champion":
        with pytest.raises(Refusal, match="champion cannot be rehearsed against: the server was not ready in 60 s"):
            rehearse.rehearse("specimen_delay", pace=QUICK)
        return
    done = rehearse.rehearse("specimen_delay", pace=QUICK)
    assert done.verdict == "abort"
    assert done.reason == "the candidate was never ready: the server was not ready in 60 s"
    assert "never ready" in report.write(done, here / "deploy/build/unready").read_text()


@pytest.mark.usefixtures("here")
def test_an_unknown_revision_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for revision in ("nowhere", "--output=x", ""):
        assert command.run("deploy", VERBS, ["rehearse", "specimen_delay", f"--champion={revision}"]) == 2
        assert "is not a commit of this repository" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_missing_git_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "nowhere")
    with pytest.raises(Refusal, match="git is not on PATH"):
        bentos.champion(config.load("specimen_delay"), "HEAD", bentos.Bento(Path(), ""), Path())


def test_a_commit_without_the_model_is_refused(here: Path) -> None:
    empty = git("commit-tree", "-m", "empty", git("hash-object", "-t", "tree", "-w", os.devnull))
    model = config.load("specimen_delay")
    with pytest.raises(Refusal, match=r"holds no models/specimen_delay/model\.yaml"):
        bentos.champion(model, empty, bentos.Bento(here, ""), here / "nothing")


@pytest.mark.slow
def test_the_champion_of_any_commit_is_built_from_that_commit(here: Path, tmp_path: Path) -> None:
    model = config.load("specimen_delay")
    found = bentos.champion(model, "HEAD~1", bentos.Bento(here, ""), tmp_path)
    assert (found.folder / "bento.yaml").is_file()
    assert found.folder.is_relative_to(tmp_path)
    assert "# the second commit" not in (tmp_path / "champion" / MODEL / "resources.yaml").read_text()
    assert f"HEAD~1 (commit {git('rev-parse', 'HEAD~1')[:10]})" in found.description


def released(environment: str) -> None:
    passport = yaml.safe_dump({"version": "0123456789ab", "content": {"onnx": sha256(ONNX)}})
    trees.append(Path("deploy/releases", environment, "specimen_delay/passport.yaml"), passport)


def test_the_champion_is_what_production_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released("production")
    built_at = Mock(return_value=build.build("specimen_delay"))
    monkeypatch.setattr(bentos, "built_at", built_at)
    model = config.load("specimen_delay")
    found = bentos.champion(model, None, bentos.Bento(here, ""), here)
    # The newest commit that touched model.onnx, with its bytes: the passport may be that of another tree.
    built_at.assert_called_once_with(model, git("rev-parse", "HEAD~1"), here, {ONNX: ONNX.read_bytes()})
    assert found.description.startswith("version 0123456789ab, which production runs (built of commit ")


def test_the_champion_is_built_from_the_commit_of_its_release(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_at = Mock(return_value=build.build("specimen_delay"))
    for environment in ("staging", "production"):
        released(environment)
        commit()
    monkeypatch.setattr(bentos, "built_at", built_at)
    bentos.champion(config.load("specimen_delay"), None, bentos.Bento(here, ""), here)
    assert built_at.call_args.args[1] == git("rev-parse", "HEAD~1")


def test_a_passport_of_production_that_is_gone_is_refused(here: Path) -> None:
    release = champion.passport_path("specimen_delay")
    trees.append(release.with_name("kustomization.yaml"), "images: []\n")
    with pytest.raises(Refusal, match=f"{release} .*restore it"):
        bentos.champion(config.load("specimen_delay"), None, bentos.Bento(here, ""), here)


def test_without_a_release_the_candidate_is_rehearsed_against_itself(here: Path) -> None:
    candidate = bentos.Bento(here, "this one")
    found = bentos.champion(config.load("specimen_delay"), None, candidate, here)
    assert found.folder == candidate.folder
    assert "no release" in found.description


def test_missing_data_is_refused_before_a_server_starts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "start", pytest.fail)
    shutil.rmtree(here / DATASET / "data")
    with pytest.raises(Refusal, match="python -m data_schemas ingest specimen_trips"):
        rehearse.rehearse("specimen_delay", pace=QUICK)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("number", "seen", "code"),
    [
        (signal.SIGINT, "25 %", 130),
        (signal.SIGHUP, "steps", 129),  # which a verb takes as it does SIGTERM
    ],
    ids=["Ctrl-C during the steps", "the terminal closed while the servers start"],
)
def test_an_interruption_leaves_no_server_and_report(
    number: signal.Signals, seen: str, code: int, temporary: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "deploy", "rehearse", "specimen_delay"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        assert process.stderr
        lines = iter(process.stdout.readline, "")
        assert any(seen in line and (seen == "steps" or " s  " in line) for line in lines)
        time.sleep(0.5)
        process.send_signal(number)
        process.wait(20)
        error = process.stderr.read()
    assert process.returncode == code
    assert "Traceback" not in error
    assert nothing_left(temporary)
    assert not Path("deploy/build/rehearsals").exists()


def nothing_left(temporary: Path) -> bool:
    """Whether no file is left in `temporary`, and no process whose home is there."""
    for process in psutil.process_iter():
        try:
            if str(temporary) in " ".join([*process.cmdline(), process.environ().get("BENTOML_HOME", "")]):
                return False
        except psutil.Error:
            continue
    return not list(temporary.iterdir())
