"""A stand-in for GitHub and its `gh`: tests/github/hub.py, put first on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.github.hub import Hub


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Nothing of a runner or a person's login stays in the environment."""
    for name in [name for name in os.environ if name.startswith(("GH_", "GITHUB_", "DISPATCH"))]:
        monkeypatch.delenv(name)
    hub = Hub(folder / "hub")
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    return hub
