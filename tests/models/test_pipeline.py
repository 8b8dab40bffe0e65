"""DVC: what it refuses is one sentence, what a stage says is seen at once, and no stage outlives its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from models.lib import pipeline
from repo.lib.refusal import Refusal
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.repository import ROOT, git

FILE = Path("models/small/dvc.yaml")


@pytest.fixture
def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str, str]]:
    """Run a pipeline of one stage with this command, as a child of this process."""
    monkeypatch.chdir(tmp_path)
    answer_here(monkeypatch)
    git("init", "--quiet")
    trees.make_dvc()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    FILE.parent.mkdir(parents=True)

    def run(command: str) -> tuple[int, str, str]:
        declare(command)
        capfd.readouterr()
        code = pipeline.repro(FILE)
        return code, *capfd.readouterr()

    return run


def declare(command: str) -> None:
    FILE.write_text(yaml.safe_dump({"stages": {"train": {"wdir": "../..", "cmd": command, "outs": ["made"]}}}))


Stage = Callable[[str], tuple[int, str, str]]


def test_a_stage_speaks_for_itself_and_dvc_is_silent(stage: Stage) -> None:
    """And it reads nothing from the terminal, which would keep it for ever."""
    command = "cat; echo words; echo more >&2; touch made"
    assert stage(command) == (0, "words\n", "more\n")
    assert stage(command) == (0, "", "")  # nothing changed


def test_the_exit_code_of_a_stage_is_that_of_the_pipeline_and_one_that_cannot_say_why_it_ended_is_named(
    stage: Stage,
) -> None:
    """1 is a verdict, 2 a refusal; the stage printed which."""
    for code in (1, 2):
        assert stage(f"echo said >&2; exit {code}") == (code, "", "said\n")
    code, _, error = stage("kill -9 $$")
    assert (code, len(error.splitlines())) == (2, 1)
    assert error.startswith(f"models run: DVC refuses: failed to reproduce '{FILE}:train': failed to run: kill -9")
    assert "exited with -9; fix that, then run again." in error


def refused(*words: str) -> str:
    """In one sentence, which the question brings up and the run prints."""
    with pytest.raises(Refusal) as refusal:
        pipeline.bring(FILE, [])
    sentence = str(refusal.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence
    return sentence


@pytest.mark.usefixtures("stage")
def test_a_broken_lock_is_named_with_its_fix() -> None:
    declare("touch made")
    FILE.with_name("dvc.lock").write_text("stages: 5")
    refused("DVC refuses: ", "`git checkout -- models/small/dvc.lock`")


def test_a_broken_pointer_is_named_with_its_fix(stage: Stage) -> None:
    """DVC reads every pointer of the tree."""
    Path("data.dvc").write_text("outs: [")
    code, _, error = stage("touch made")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "fix data.dvc or restore it with `git checkout -- data.dvc`, then run again." in error


def test_a_tree_outside_of_git_is_refused_as_that(stage: Stage) -> None:
    Path(".git").rename("elsewhere")
    code, out, error = stage("touch made")
    sentence = refused("is not a git repository, which DVC needs; run in a clone")
    assert (code, out, error) == (2, "", f"models run: {sentence}\n")


@pytest.mark.slow
@pytest.mark.parametrize("held", ["the whole tree", "one path"])
def test_another_process_of_dvc_is_waited_for(stage: Stage, held: str) -> None:
    """Nothing is damaged then, so nothing is to be restored."""
    block = "repo.lock" if held == "the whole tree" else "rwlock(repo.tmp_dir, repo.fs, 'test', [], [path], None)"
    script = (
        "import os, sys; from dvc.repo import Repo; from dvc.rwlock import rwlock; path = os.path.abspath('made')\n"
        f"with Repo() as repo:\n    with {block}: print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        code, _, error = stage("touch made")
        assert (code, "another process of DVC works in this tree; wait for it, then run again" in error) == (2, True)
        assert process.stdin is not None
        process.stdin.close()


def waiting(script: str) -> subprocess.Popen[str]:
    """A process that has started a stage of thirty seconds, whose number is in the file `stage`."""
    declare("echo $$ > stage; exec sleep 30")
    process = subprocess.Popen(
        [sys.executable, "-c", f"from pathlib import Path; from models.lib import pipeline; {script}"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a job in the background has none
    )
    until(lambda: Path("stage").is_file() and Path("stage").read_text().endswith("\n"))
    return process


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15  # half of what the stage takes
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended() -> bool:
    try:
        os.kill(int(Path("stage").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_a_run_is_ended_its_stage_ends(end: signal.Signals) -> None:
    """Polars, once used, replaces the handler of Ctrl-C by one that interrupts no endless wait."""
    script = "import polars, signal; polars.DataFrame({'a': [1]}).lazy().collect(); from repo.lib import command;"
    with waiting(f"{script} signal.signal(15, command.end_on_signal); pipeline.repro(Path({str(FILE)!r}))") as process:
        process.send_signal(end)
        assert process.wait(15) != 0
    until(ended)
