"""What every verb shares: how it ends, and what it says of a path that it cannot write."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_schemas.__main__ import VERBS
from repo.lib import command, refusal
from repo.lib.files import exclusive, write
from tests.support.repository import ROOT
from tests.support.specimens import DATASET_NAME

HEAVY = {"bentoml", "dvc", "numpy", "onnx", "onnxruntime", "pandera", "polars", "psutil"}
HEAVY |= {"pydantic", "rich", "torch", "yaml"}

pytestmark = pytest.mark.usefixtures("handlers_kept")


def become(monkeypatch: pytest.MonkeyPatch, *signals: signal.Signals) -> list[str]:
    """`validate` that is sent these; the list says whether it unwound."""
    unwound: list[str] = []

    def main(_: object) -> int:
        try:
            for number in signals:
                os.kill(os.getpid(), number)
        finally:
            unwound.append("unwound")
        return 0

    monkeypatch.setitem(sys.modules, "data_schemas.validate", SimpleNamespace(main=main))
    return unwound


def validate(verbs: Sequence[command.Verb] = VERBS, lock: Path | None = None) -> int:
    return command.run("data_schemas", verbs, ["validate", DATASET_NAME], lock=lock)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_verb_that_is_told_to_end_unwinds(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """SIGHUP is a terminal that was closed, which a verb under nohup outlives."""
    unwound = become(monkeypatch, number)
    with pytest.raises(SystemExit) as ended:
        validate()
    assert (ended.value.code, unwound) == (128 + number, ["unwound"])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    become(monkeypatch, signal.SIGHUP)
    assert validate() == 0


def test_one_process_at_a_time_holds_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch)
    lock, alone = tmp_path / "lock", [dataclasses.replace(each, alone=True) for each in VERBS]
    with exclusive(lock, "this test"):
        assert validate(alone, lock) == 2
        assert validate(alone) == 0
        assert validate(VERBS, lock) == 0, "it works beside others"
    assert validate(alone, lock) == 0


@pytest.mark.parametrize("error", [ValueError("two\n  lines"), SystemExit("two\n  lines")])
def test_a_fault_of_a_team_is_described_in_one_line(error: BaseException) -> None:
    assert refusal.described(error) == f"{type(error).__name__}: two lines"


@pytest.mark.parametrize("path", ["folder", "file/report.json", "/proc/nowhere/report.json"])
def test_a_path_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    """And not the temporary file beside it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    target = tmp_path / path
    monkeypatch.setitem(sys.modules, "data_schemas.validate", SimpleNamespace(main=lambda _: write(target, "report")))
    assert validate() == 2
    sentence = capsys.readouterr().err
    named = sentence.split(": ")[1]
    assert str(target).startswith(named)
    assert sentence.endswith("; fix that path and run again.\n")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_folder_is_known_as_a_shell_completes_it_and_as_a_cluster_tells_it() -> None:
    for text in ("wait_time", "wait_time/", "models/wait_time/", "wait-time"):
        assert command.noun(text) == "wait_time"
    for text in ("../models/wait_time", "elsewhere/wait_time", ""):
        assert command.noun(text) == text


@pytest.mark.parametrize("stage", command.STAGES)
def test_help_imports_nothing_heavy(stage: str) -> None:
    """That of a stage, and of each of its verbs."""
    code = (
        f"import runpy, sys; from {stage}.__main__ import VERBS\n"
        "for words in [[], *[[each.name] for each in VERBS]]:\n"
        f"    sys.argv = [{stage!r}, *words, '--help']\n"
        f"    try:\n        runpy.run_module({stage!r}, run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as end:\n        assert end.code == 0\n"
        f"print(len(VERBS), {HEAVY} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f"{done.stdout.count('usage: ') - 1} set()\n")


def test_no_garbage_is_looked_for_among_what_was_imported() -> None:
    said = "atexit.register(lambda: print(gc.get_freeze_count() > 1000, gc.get_threshold()[0]))"
    code = f"import atexit, gc; from repo.lib import command; {said}; command.prepare_environment()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True 50000\n"


def test_output_that_nobody_reads_or_no_disk_takes_ends_a_verb_without_a_traceback() -> None:
    words = [sys.executable, "-m", "deploy", "rules"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.close()  # as `head` does, once it has its lines
        assert process.stderr
        assert (process.stderr.read(), process.wait()) == ("", 128 + signal.SIGPIPE)
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, "deploy rules: the output: No space left" in done.stderr) == (2, True), done.stderr
