"""Another program's failure is one sentence that holds what the program printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from repo.lib import process
from repo.lib.refusal import Refusal


def run(script: str, **options: object) -> bytes:
    return process.run([sys.executable, "-c", script], "it failed", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("first\nlast.\n", "last"),
        ("warning\nERROR: no route\nlast\n", "no route"),
        ("fatal: bad revision\nUse -- to separate\n", "bad revision"),
        ("To x\n ! [rejected] main (fetch first)\nerror: failed to push\n", "[rejected] main (fetch first)"),
        ("Traceback\n  raise ValueError\nValueError: error: x", "ValueError: error: x"),
        ("x" * 999, "x" * process.LONGEST),
        (" \n", "it printed nothing"),
    ],
)
def test_a_failure_is_a_refusal_with_what_matters_of_what_it_said(printed: str, reason: str) -> None:
    for stream in ("stderr", "stdout"):
        with pytest.raises(Refusal) as refused:
            run(f"import sys; sys.{stream}.write({printed!r}); sys.exit(3)")
        assert str(refused.value) == f"it failed ({reason}); fix that and run again."


def test_a_program_that_leaves_no_result_has_failed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    script = "import os, sys; print(os.getcwd(), os.environ['WORD'], sys.stdin.read())"
    options = {"at": tmp_path, "given": b"given", "environment": {"WORD": "set"}}
    assert run(script, **options) == f"{tmp_path} set given\n".encode()
    with pytest.raises(Refusal, match=r"it failed \(.* given\); look"):
        run(script, fix="look", makes=made, **options)
    run("open('made', 'w')", at=tmp_path, makes=made)


def test_a_program_that_is_not_installed_is_told_from_one_that_fails() -> None:
    with pytest.raises(process.NotInstalledError, match="nothing-of-the-kind is not on PATH; install it"):
        process.run(["nothing-of-the-kind"], "it failed")
