"""What all tests share: the environment of the verbs, the data, and every model as the pipeline builds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from models.conftest import ROOT  # sets the environment

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and tests tell what it does


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With STRICT set, as .ci/run does, a test that is skipped for want of a tool is a failure."""
    report = yield
    if report.skipped and os.environ.get("STRICT"):
        report.outcome, report.longrepr = "failed", f"skipped in strict mode: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """End by saying what this machine could not prove, and what to install."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("not proven on this machine")
        for reason, tests in reasons.most_common():
            terminalreporter.line(f"{tests} tests: {reason}")


def _reason(report: pytest.TestReport) -> str:
    found = report.longrepr
    return str(found[2] if isinstance(found, tuple) else found).removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def flights() -> Path:
    """The folder of the flights data, ingested if it is not there."""
    data = ROOT / "data_schemas" / "flights" / "data"
    if not data.is_dir():
        _verb("data_schemas", "ingest", "flights")
    return data


@pytest.fixture(scope="session")
def stale() -> Callable[[str], list[str]]:
    """What `run --check` finds in a model of this tree; asked before the pipeline can mend it."""
    from models import config, run

    return cache(lambda name: run.stale(config.load(name, check_columns=False)))


@pytest.fixture(scope="session")
def pipeline(stale: Callable[[str], list[str]]) -> Callable[[str], Path]:
    """The build folder of a model, after its pipeline ran: a second if nothing changed.

    A gate may fail, as on a busy machine; that is for the tests of models to tell. The products are there.
    """

    @cache
    def run(name: str) -> Path:
        stale(name)
        _verb("models", "run", name, codes=(0, 1), words=f"run {name}: version ")
        return ROOT / "models" / name / "build"

    return run


@pytest.fixture(scope="session")
def built(flights: Path, pipeline: Callable[[str], Path]) -> Path:
    """The build folder of flight_delay."""
    assert flights.is_dir()
    return pipeline("flight_delay")


def _verb(stage: str, *arguments: str, codes: tuple[int, ...] = (0,), words: str = "") -> None:
    command = [sys.executable, "-m", stage, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode in codes, f"python -m {stage} {' '.join(arguments)} failed:\n{said}"
    assert words in said, said
