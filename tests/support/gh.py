"""A stand-in for GitHub and its `gh`: tests/github/hub.py, put first on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.github.hub import Hub
from tests.github.hub import main as answer
from tests.support.process import main_here


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Nothing of a runner or a person's login stays in the environment."""
    for name in [name for name in os.environ if name.startswith(("GH_", "GITHUB_", "DISPATCH"))]:
        monkeypatch.delenv(name)
    hub = Hub(folder / "hub")
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    started = subprocess.run

    def run(words: Any, *more: Any, **settings: Any) -> subprocess.CompletedProcess[Any]:
        """A hundred calls of `gh` would start as many Pythons."""
        if words[0] != "gh" or shutil.which("gh") != str(hub.folder / "gh"):
            return started(words, *more, **settings)
        code, out, error = main_here(lambda: answer(hub.file, words[1:]), settings["input"].decode())
        return subprocess.CompletedProcess(words, code, out.encode(), error.encode())

    monkeypatch.setattr(subprocess, "run", run)
    return hub
