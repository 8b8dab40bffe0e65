"""What all tests share: the environment of the verbs, the data, and every model as the pipeline builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_schemas import command

ROOT = Path(__file__).parents[1]

# Before any import of torch or onnxruntime: they read the environment once. Paths of verbs start at the root.
os.chdir(ROOT)
command.prepare_environment()


@pytest.fixture(scope="session")
def flights() -> Path:
    """The folder of the flights data, ingested if it is not there."""
    data = ROOT / "data_schemas" / "flights" / "data"
    if not data.is_dir():
        _verb("data_schemas", "ingest", "flights")
    return data


@pytest.fixture(scope="session")
def stale() -> dict[str, list[str]]:
    """What `run --check` finds in each model of this tree; asked before the pipeline can mend it."""
    from models import config, run

    return {name: run.stale(config.load(name, check_columns=False)) for name in config.names()}


@pytest.fixture(scope="session")
def built(flights: Path, stale: dict[str, list[str]]) -> Path:
    """The build folder of flight_delay, after the pipeline of every model ran: a second if nothing changed.

    A gate may fail, as on a busy machine; that is for the tests of models to tell. The products are there.
    """
    assert flights.is_dir()
    for name in stale:
        _verb("models", "run", name, codes=(0, 1), words=f"run {name}: version ")
    return ROOT / "models" / "flight_delay" / "build"


def _verb(stage: str, *arguments: str, codes: tuple[int, ...] = (0,), words: str = "") -> None:
    command = [sys.executable, "-m", stage, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode in codes, f"python -m {stage} {' '.join(arguments)} failed:\n{said}"
    assert words in said, said
