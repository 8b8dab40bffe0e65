"""A damaged file is one sentence with exit code 2, never a traceback and never taken for a good one."""

from __future__ import annotations

import pytest

from models.lib import config, plugin
from tests.models.scene import Verb, refused
from tests.support.specimens import MODEL, NAME

BUILD = MODEL / "build"
pytestmark = pytest.mark.usefixtures("tree")


@pytest.mark.parametrize("content", [None, "", "{", "{}"], ids=["missing", "empty", "cut short", "no keys"])
@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        ("passport.yaml", ["report"]),
        ("comparison.json", ["report"]),
        ("evaluation.json", ["gates", "report"]),
        ("measured.json", ["gates", "report"]),
    ],
)
def test_a_damaged_record_is_named_and_what_was_made_of_it_stays(
    verb: Verb, name: str, verbs: list[str], content: str | None
) -> None:
    (BUILD / name).unlink() if content is None else (BUILD / name).write_text(content)
    made = [path for path in (BUILD / "passport.yaml", BUILD / "report.html") if path.exists()]
    before = [path.read_bytes() for path in made]
    for each in verbs:
        refused(verb(each, "specimen_delay"), str(BUILD / name), "`python -m models run specimen_delay`")
    assert [path.read_bytes() for path in made] == before


@pytest.mark.parametrize(("verb_name", "fixes"), [("export", "train"), ("measure", "run")])
def test_damaged_weights_are_named(verb: Verb, verb_name: str, fixes: str) -> None:
    (MODEL / "weights" / "weights.safetensors").write_bytes(b"damaged")
    refused(verb(verb_name, "specimen_delay"), str(MODEL / "weights"), f"python -m models {fixes} specimen_delay")


def test_a_folder_in_the_place_of_a_file_is_named(verb: Verb) -> None:
    (BUILD / "report.html").unlink(missing_ok=True)
    (BUILD / "report.html").mkdir()
    refused(verb("report", "specimen_delay"), "report.html", "fix that path")


def test_a_fault_of_a_network_is_named_with_its_line(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no graph today")

    monkeypatch.setattr(plugin.network(config.load(NAME)), "to_onnx", broken)
    refused(verb("export", "specimen_delay"), str(MODEL / "network.py"), "RuntimeError: no graph today")
