"""A small repository in which tests make releases; the fixture `tree` gives a fresh one as current directory."""

from pathlib import Path
from typing import Any

import pytest

from deploy.__main__ import VERBS
from repo.lib import command
from tests.support import repository
from tests.support.passports import COUNTS, gate_names, judge, lock
from tests.support.process import Answer
from tests.support.specimens import KUBERNETES_NAME, MODEL, NAME, REGISTRY

__all__ = ["COUNTS", "MODEL", "NAME", "Answer", "Tree", "gate_names", "judge", "lock"]  # of support, and our own


def passed(answer: Answer) -> Answer:
    assert answer.code == 0, answer.out + answer.error
    return answer


def refused(answer: Answer, *told: str) -> None:
    assert answer.code == 2, answer.out
    assert [each for each in told if each not in answer.error] == [], answer.error


def digest(letter: str) -> str:
    """A digest that is told from others at a glance."""
    return f"sha256:{letter * 64}"


def image(letter: str) -> str:
    return f"{REGISTRY}/{KUBERNETES_NAME}@{digest(letter)}"


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
        return repository.git(*arguments)

    def commit(self) -> str:
        return repository.commit()

    def build(self, onnx: str | None = "first", **changes: Any) -> dict[str, Any]:
        """Commit these bytes as model.onnx, and leave the passport that a passing run would; `changes` replace keys.

        With None the tree stays as it is, uncommitted.
        """
        if onnx is not None:
            (MODEL / "model.onnx").write_text(onnx)
            (MODEL / "dvc.lock").write_text(lock(NAME))
            self.commit()
        return judge(NAME, **changes)

    def promote(self, environment: str, letter: str = "a") -> Answer:
        given = ["--image", image(letter)] if environment == "staging" else []
        return self.deploy("promote", NAME, "--to", environment, *given)

    def release(self, letter: str, *environments: str) -> str:
        """Build, promote and commit one release, whose bytes and digest follow from the letter; returns its version."""
        record = self.build(letter)
        for environment in environments:
            answer = self.promote(environment, letter)
            assert answer.code == 0, answer.error
            self.commit()
        return str(record["version"])


def folder(environment: str) -> Path:
    return Path("deploy/releases") / environment / NAME


def content(where: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in where.iterdir()} if where.is_dir() else {}
