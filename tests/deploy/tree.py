"""A small repository in which tests make releases; the fixture `tree` gives a fresh one as current directory."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_schemas import command
from deploy.__main__ import VERBS
from models import config, passport
from models.figures import TITLES

MODEL = Path("models/flight_delay")
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{role}_{field}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")},
}


def digest(letter: str) -> str:
    """A digest that is told from others at a glance."""
    return f"sha256:{letter * 64}"


@dataclass
class Answer:
    code: int
    out: str
    error: str


class Tree:
    """The repository in the current directory; `capture` is pytest's capsys, without which answers say nothing."""

    def __init__(self, capture: pytest.CaptureFixture[str] | None) -> None:
        self.capture = capture

    def deploy(self, *arguments: str) -> Answer:
        if self.capture is None:
            return Answer(command.run("deploy", VERBS, arguments), "", "")
        self.capture.readouterr()
        code = command.run("deploy", VERBS, arguments)
        return Answer(code, *self.capture.readouterr())

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def build(self, onnx: str | None = "first", **changes: Any) -> dict[str, Any]:
        """Commit these bytes as model.onnx, and leave the passport that a passing run would; `changes` replace keys.

        With None the tree stays as it is, uncommitted.
        """
        if onnx is not None:
            (MODEL / "model.onnx").write_text(onnx)
            self.commit()
        return judge("flight_delay", **changes)

    def promote(self, environment: str, letter: str = "a") -> Answer:
        image = ["--image", f"ghcr.io/acme/flight-delay@{digest(letter)}"] if environment == "staging" else []
        return self.deploy("promote", "flight_delay", "--to", environment, *image)

    def release(self, letter: str, *environments: str) -> str:
        """Build, promote and commit one release, whose bytes and digest follow from the letter; returns its version."""
        record = self.build(letter)
        for environment in environments:
            answer = self.promote(environment, letter)
            assert answer.code == 0, answer.error
            self.commit()
        return str(record["version"])


def judge(model: str, /, **changes: Any) -> dict[str, Any]:
    """Leave the passport of a passing run of a model's sources, with made-up figures; `changes` replace keys."""
    settings = config.load(model, check_columns=False)
    hashes = passport.content(settings)
    figure = {"value": 0.75, "low": 0.74, "high": 0.76}
    record = {
        "model": model,
        "version": passport.version(hashes),
        "verdict": "pass",
        "content": hashes,
        "metrics": dict.fromkeys(TITLES, figure),
        "gates": [
            {"name": name, "limit": "l", "value": "v", "verdict": "pass", "reason": None} for name in gate_names()
        ],
        "champion": None,
        **changes,
    }
    settings.build.mkdir(exist_ok=True)
    (settings.build / "passport.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    return record


def gate_names() -> list[str]:
    return list(config.Gates.model_fields)


def folder(environment: str) -> Path:
    return Path("deploy/releases") / environment / "flight_delay"


def content(where: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in where.iterdir()} if where.is_dir() else {}
