"""Verbs as a person calls them: in a process of their own, or in this one with its signal handlers put back."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest


@dataclass
class Answer:
    code: int
    out: str
    error: str


def run(*words: str, root: Path, **environment: str) -> Answer:
    """`python -m …` in a process of its own."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=root, env=os.environ | environment, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def signals_kept() -> Iterator[None]:
    """A verb that runs in this process sets handlers for good."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def in_this_process(main: Callable[[Sequence[str]], int]) -> Any:
    """A fixture that runs the verbs of a stage in this process and in the current directory."""

    @pytest.fixture
    def verb(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Answer]]:
        def run(*arguments: str) -> Answer:
            capfd.readouterr()
            return Answer(main(arguments), *capfd.readouterr())

        with signals_kept():
            yield run

    return verb


def main_here(main: Callable[[], Any], given: str = "") -> tuple[int, str, str]:
    """What a program ends with and prints, run in this process: a Python of its own would take longer to start."""
    out, error, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(error), mock.patch.object(sys, "stdin", io.StringIO(given)):
        try:
            code = int(main() or 0)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            error.write(str(end.code or "") * isinstance(end.code, str))
    return code, out.getvalue(), error.getvalue()


def program(folder: Path, name: str, script: str) -> Path:
    """A shell script that stands in for a program, once its folder is first on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder / name


def first_on_path(folder: Path) -> str:
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
