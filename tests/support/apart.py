"""Clients that `make` installs apart from the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repo.lib import process
from tests.support.repository import ROOT


def need(client: str) -> None:
    if not Path(sys.prefix, client).is_dir():
        pytest.skip(f"no client of {client}; `make {client}`")


def ask(client: str, script: str, *words: str) -> str:
    """What a script prints that imports the client."""
    environment = process.apart(client)
    environment["PYTHONPATH"] += f":{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
