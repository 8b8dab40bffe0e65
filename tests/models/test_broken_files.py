"""A damaged file is one sentence with exit code 2, never a traceback and never taken for a good one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.lib import config, plugin
from tests.support.process import Answer
from tests.support.specimens import MODEL, NAME

BUILD = MODEL / "build"
pytestmark = pytest.mark.usefixtures("tree")


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 2, answer.error
    assert len(answer.error.strip().splitlines()) == 1
    assert "Traceback" not in answer.error
    assert all(word in answer.error for word in words), answer.error


@pytest.mark.parametrize("content", ["", "{}"], ids=["empty", "no keys"])
@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        ("passport.yaml", ["report"]),
        ("evaluation.json", ["gates", "report"]),
        ("measured.json", ["gates", "report"]),
    ],
)
def test_a_damaged_record_is_named(verb: Callable[..., Answer], name: str, verbs: list[str], content: str) -> None:
    (BUILD / name).write_text(content)
    for each in verbs:
        refused(verb(each, "specimen_delay"), str(BUILD / name))


@pytest.mark.parametrize(("verb_name", "fixes"), [("export", "train"), ("measure", "run")])
def test_damaged_weights_are_named(verb: Callable[..., Answer], verb_name: str, fixes: str) -> None:
    (MODEL / "weights" / "weights.safetensors").write_bytes(b"damaged")
    refused(verb(verb_name, "specimen_delay"), str(MODEL / "weights"), f"python -m models {fixes} specimen_delay")


def test_a_folder_in_the_place_of_a_file_is_named(verb: Callable[..., Answer]) -> None:
    (BUILD / "report.html").unlink(missing_ok=True)
    (BUILD / "report.html").mkdir()
    refused(verb("report", "specimen_delay"), "report.html", "fix that path")


def test_a_fault_of_a_network_is_named_with_its_line(
    verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no graph today")

    monkeypatch.setattr(plugin.network(config.load(NAME)), "to_onnx", broken)
    refused(verb("export", "specimen_delay"), str(MODEL / "network.py"), "RuntimeError: no graph today")
