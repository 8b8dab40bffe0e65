"""The verb gates: behaviour tests are run, the passport is written, and stale figures are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data_schemas.files import read_json
from models import config, gates
from models.gates import Evidence
from tests.models import trees
from tests.models.planted import verdict
from tests.models.trees import MODEL, Answer


@pytest.fixture
def tiny(tree: Path) -> Path:
    """The tree with one behaviour test that passes, and calm latencies."""
    behave("def test_one(): pass\n")
    trees.configure(tree, {"gates.behaviour": {"tests": 1}})
    measured = read_json(tree / MODEL / "build/measured.json", "")
    for each in measured["latency"].values():
        each["p99_ms"] = 0.1
    (tree / MODEL / "build/measured.json").write_text(json.dumps(measured))
    return tree


def behave(text: str) -> None:
    (MODEL / "test_behaviour.py").write_text(text)


PASSING = "def test_one(): pass\ndef test_two(): pass\n"
BEHAVIOURS = {
    "fails": (PASSING + "def test_late_is_late(): assert False\n", 2, "2 of 3 passed", "test_late_is_late"),
    "skipped": (PASSING + "import pytest\n@pytest.mark.skip\ndef test_three(): pass\n", 2, "2 of 3 passed", None),
    "too few": (PASSING, 3, "2 of 2 passed", None),
    "error": (
        "import pytest\n@pytest.fixture\ndef x(): 1 / 0\ndef test_one(x): pass\n",
        1,
        "0 of 1 passed",
        "test_one",
    ),
    "syntax": ("def test_one(: pass\n", 1, "0 of 1 passed", "test_behaviour"),
    "empty": ("", 1, "0 of 0 passed", None),
}


@pytest.mark.parametrize("fault", BEHAVIOURS)
def test_behaviour_that_was_not_shown_fails(tiny: Path, evidence: Evidence, fault: str) -> None:
    assert tiny.is_dir()
    text, tests, value, named = BEHAVIOURS[fault]
    behave(text)
    found = verdict(evidence, "behaviour", tests=tests)
    assert (found.verdict, found.value) == ("fail", value)
    assert (named or "") in (found.reason or "")


def test_behaviour_tests_that_are_missing_fail(tiny: Path, evidence: Evidence) -> None:
    (tiny / MODEL / "test_behaviour.py").unlink()
    found = verdict(evidence, "behaviour")
    assert (found.verdict, found.reason) == ("fail", "models/flight_delay/test_behaviour.py is missing")


def test_the_verb_writes_a_passport_that_passes_and_ends_with_0(tiny: Path, verb: Callable[..., Answer]) -> None:
    answer = verb("gates", "flight_delay")
    assert (answer.code, answer.error) == (0, "")
    record = yaml.safe_load((tiny / MODEL / "build/passport.yaml").read_text())
    assert record["verdict"] == "pass"
    assert [gate["name"] for gate in record["gates"]] == list(config.Gates.model_fields)
    assert record["gates"][-1]["value"] == "1 of 1 passed"
    assert record["version"] in answer.out


def test_one_gate_that_fails_fails_the_passport_and_ends_with_1(tiny: Path, verb: Callable[..., Answer]) -> None:
    trees.configure(tiny, {"gates.brier": {"at_most": 0.001}})
    assert verb("gates", "flight_delay").code == 1
    record = yaml.safe_load((tiny / MODEL / "build/passport.yaml").read_text())
    assert record["verdict"] == "fail"
    assert [gate["name"] for gate in record["gates"] if gate["verdict"] == "fail"] == ["brier"]


def test_a_gate_that_is_off_is_in_the_passport_with_its_reason(tiny: Path, verb: Callable[..., Answer]) -> None:
    trees.configure(tiny, {"gates.brier": {"off": "log-loss says the same"}})
    assert verb("gates", "flight_delay").code == 0
    record = yaml.safe_load((tiny / MODEL / "build/passport.yaml").read_text())
    brier = next(gate for gate in record["gates"] if gate["name"] == "brier")
    assert (brier["verdict"], brier["reason"]) == ("off", "log-loss says the same")


@pytest.mark.parametrize("name", ["evaluation", "measured"])
@pytest.mark.parametrize("fault", ["another file's", "missing", "broken"])
def test_figures_of_another_file_are_refused_and_no_passport_is_written(
    tree: Path, verb: Callable[..., Answer], name: str, fault: str
) -> None:
    path, passport = tree / MODEL / f"build/{name}.json", tree / MODEL / "build/passport.yaml"
    before = passport.read_bytes()
    if fault == "missing":
        path.unlink()
    else:
        path.write_text("{" if fault == "broken" else '{"onnx": "0123"}')
    answer = verb("gates", "flight_delay")
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert f"{MODEL}/build/{name}.json" in answer.error
    assert "`python -m models run flight_delay`" in answer.error
    assert passport.read_bytes() == before


@pytest.mark.parametrize("name", ["test_a[fog]", "test_a[/]", "test_a[bold]"])
def test_a_tests_parameters_are_shown_as_they_are(capsys: pytest.CaptureFixture[str], name: str) -> None:
    gate = {"name": "behaviour", "limit": "[1]", "value": "[0]", "verdict": "fail", "reason": name}
    gates.show({"model": "m", "version": "v", "gates": [gate]})
    shown = capsys.readouterr().out
    assert all(words in shown for words in (name, "[1]", "[0]"))
