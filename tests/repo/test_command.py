"""What every verb shares: how it ends, and what it says of a path that it cannot write."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_schemas.__main__ import VERBS
from repo.lib import command, refusal
from repo.lib.files import exclusive, write
from tests.support.specimens import DATASET_NAME

pytestmark = pytest.mark.usefixtures("handlers_kept")
ENDINGS = [signal.SIGTERM, signal.SIGHUP]


def become(monkeypatch: pytest.MonkeyPatch, signals: list[signal.Signals]) -> list[str]:
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


@pytest.mark.parametrize("number", ENDINGS)
def test_a_verb_that_is_told_to_end_unwinds(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """SIGHUP is a terminal that was closed."""
    unwound = become(monkeypatch, [number])
    with pytest.raises(SystemExit) as ended:
        command.run("data_schemas", VERBS, ["validate", DATASET_NAME])
    assert ended.value.code == 128 + number
    assert unwound == ["unwound"]


def test_a_verb_under_nohup_outlives_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, [signal.SIGHUP])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert command.run("data_schemas", VERBS, ["validate", DATASET_NAME]) == 0


def test_one_process_at_a_time_holds_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, [])
    lock, alone = tmp_path / "lock", [dataclasses.replace(each, alone=True) for each in VERBS]
    with exclusive(lock, "this test"):
        assert command.run("data_schemas", alone, ["validate", DATASET_NAME], lock=lock) == 2
        assert command.run("data_schemas", alone, ["validate", DATASET_NAME]) == 0
        assert command.run("data_schemas", VERBS, ["validate", DATASET_NAME], lock=lock) == 0, "it works beside others"
    assert command.run("data_schemas", alone, ["validate", DATASET_NAME], lock=lock) == 0


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
    verb = SimpleNamespace(main=lambda _: write(target, "report"))
    monkeypatch.setitem(sys.modules, "data_schemas.validate", verb)
    assert command.run("data_schemas", VERBS, ["validate", DATASET_NAME]) == 2
    sentence = capsys.readouterr().err
    named = sentence.split(": ")[1]
    assert str(target).startswith(named)
    assert sentence.endswith("; fix that path and run again.\n")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("wait_time", "wait_time"),
        ("wait_time/", "wait_time"),
        ("models/wait_time/", "wait_time"),
        ("wait-time", "wait_time"),
        ("../models/wait_time", "../models/wait_time"),
        ("elsewhere/wait_time", "elsewhere/wait_time"),
        ("", ""),
    ],
)
def test_a_folder_is_known_as_a_shell_completes_it_and_as_a_cluster_tells_it(text: str, name: str) -> None:
    assert command.noun(text) == name


def test_no_garbage_is_looked_for_among_what_was_imported() -> None:
    said = "atexit.register(lambda: print(gc.get_freeze_count() > 1000, gc.get_threshold()[0]))"
    code = f"import atexit, gc; from repo.lib import command; {said}; command.prepare_environment()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True 50000\n"
