"""DVC inside the test's process: one of its own takes a second to import it each time."""

from __future__ import annotations

import contextlib
import runpy
import subprocess
import sys
import warnings
from typing import Any

import pytest

from tests.support.process import main_here


def answer_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let DVC answer in this process where it starts no stage."""
    started = subprocess.run

    def run(command: list[str], *words: Any, **settings: Any) -> subprocess.CompletedProcess[Any]:
        if command[1:3] in (["-m", "models.lib.pipeline"], ["-m", "dvc"]) and command[3] != "repro":
            with contextlib.chdir(settings.get("cwd") or "."):
                code, out, error = _as_main(command)
            texts = (out, error) if settings.get("text") else (out.encode(), error.encode())
            return subprocess.CompletedProcess(command, code, *texts)
        return started(command, *words, **settings)

    monkeypatch.setattr(subprocess, "run", run)


def _as_main(command: list[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr(sys, "argv", command[2:])
        return main_here(lambda: runpy.run_module(command[2], run_name="__main__") and 0)
