"""The verb gates: behaviour tests are run, the passport is written, and stale figures are refused."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from models import gates
from models.lib import champion, compare, config, metrics, scoring
from models.lib.judges import Evidence
from repo.lib.files import read_json, sha256, write
from tests.models.planted import verdict
from tests.models.scene import Verb, refused
from tests.support import trees
from tests.support.repository import commit, git
from tests.support.specimens import MODEL

BETTER = {"because": "production was trained on one month"}
OFF = {"off": "its tests are a process of their own, and not what this test is about"}


@pytest.fixture
def tiny(tree: Path) -> Path:
    """The tree with one behaviour test that passes."""
    behave("def test_one(): pass\n")
    trees.configure(tree, {"gates.behaviour": {"tests": 1}})
    return tree


def behave(text: str) -> None:
    (MODEL / "test_behaviour.py").write_text(text)


PASSING = "def test_one(): pass\ndef test_two(): pass\n"
ERROR = "import pytest\n@pytest.fixture\ndef x(): 1 / 0\ndef test_a(x): pass\n"
BEHAVIOURS: dict[str, tuple[str | None, int, str, str | None]] = {
    "missing": (None, 1, "none", "models/specimen_delay/test_behaviour.py is missing"),
    "fails": (PASSING + "def test_late_is_late(): assert False\n", 2, "2 of 3 passed", "test_late_is_late"),
    "neither": (PASSING + ERROR + "@pytest.mark.skip\ndef test_three(): pass\n", 2, "2 of 4 passed", "test_a"),
    "too few": (PASSING, 3, "2 of 2 passed", None),
    "syntax": ("def test_one(: pass\n", 1, "0 of 1 passed", "test_behaviour"),
    "empty": ("", 1, "0 of 0 passed", None),
}


@pytest.mark.parametrize("fault", BEHAVIOURS)
@pytest.mark.usefixtures("tiny")
def test_behaviour_that_was_not_shown_fails(evidence: Evidence, fault: str) -> None:
    text, tests, value, named = BEHAVIOURS[fault]
    (MODEL / "test_behaviour.py").unlink() if text is None else behave(text)
    found = verdict(evidence, "behaviour", tests=tests)
    assert (found.verdict, found.value) == ("fail", value)
    assert (named or "") in (found.reason or "")


@pytest.mark.usefixtures("tiny")
def test_what_a_person_set_for_runs_of_their_own_hides_no_behaviour(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three alone would leave out the test that fails."""
    behave("def test_one(): pass\ndef test_planted(): assert False\n")
    hide = "-k 'not planted'"
    monkeypatch.setenv("PYTEST_ADDOPTS", hide)
    Path("choosy.py").write_text("def pytest_collection_modifyitems(items): del items[1:]\n")
    monkeypatch.setenv("PYTEST_PLUGINS", "choosy")
    (MODEL / "pytest.ini").write_text(f"[pytest]\naddopts = {hide}\n")
    found = verdict(evidence, "behaviour", tests=1)
    assert (found.verdict, found.value, found.reason) == ("fail", "1 of 2 passed", "test_planted")


def test_the_verb_writes_a_passport_and_ends_with_0_or_with_1_where_a_gate_fails(tiny: Path, verb: Verb) -> None:
    answer = verb("gates", "specimen_delay")
    assert (answer.code, answer.error) == (0, "")
    record = passport(tiny)
    assert record["verdict"] == "pass"
    assert [gate["name"] for gate in record["gates"]] == config.load(MODEL.name).gate_names
    assert record["gates"][-1]["value"] == "1 of 1 passed"
    assert record["version"] in answer.out
    trees.configure(tiny, {"gates.brier": {"at_most": 0.001}, "gates.behaviour": OFF})
    assert verb("gates", "specimen_delay").code == 1
    assert (passport(tiny)["verdict"], failed(passport(tiny))) == ("fail", ["brier"])


def passport(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / MODEL / "build/passport.yaml").read_text())
    return found


def failed(record: dict[str, Any]) -> list[str]:
    return [gate["name"] for gate in record["gates"] if gate["verdict"] == "fail"]


def compared(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(root / MODEL / "build/comparison.json", "", compare.KEYS)
    return found


@pytest.fixture
def challenged(tiny: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny` in Git, where production runs the worse model of `small`; the behaviour tests are not run again."""
    meant = {"serving.shift": "the worse model said too much", "gates.plausible": BETTER}
    trees.configure(tiny, {"gates.behaviour": OFF} | meant)
    monkeypatch.setattr(metrics, "RESAMPLES", 40)
    shipped = (tiny / MODEL / "model.onnx").read_bytes()
    shutil.copy(small / MODEL / "model.onnx", tiny / MODEL / "model.onnx")
    release(sha256(MODEL / "model.onnx"))
    git("init", "--quiet")
    commit()
    (tiny / MODEL / "model.onnx").write_bytes(shipped)
    return tiny


def release(onnx: str) -> None:
    record = {"version": "0123456789ab", "content": {"onnx": onnx}}
    write(champion.passport_path("specimen_delay"), yaml.safe_dump(record))


def test_the_comparison_with_the_champion_has_every_metric_and_slice(challenged: Path, small: Path, verb: Verb) -> None:
    assert verb("gates", "specimen_delay").code == 0
    found, evaluation = compared(challenged), read_json(challenged / MODEL / "build/evaluation.json", "")
    record = passport(challenged)
    assert found["champion"] == record["champion"]
    assert list(found["metrics"]) == sorted(record["metrics"])
    for name, each in found["metrics"].items():
        ours = evaluation["metrics"][name]["value"]
        assert each["champion"] + each["difference"]["value"] == pytest.approx(ours, abs=3e-5)
        assert each["difference"]["low"] < each["difference"]["value"] < each["difference"]["high"]
    gate = next(each for each in record["gates"] if each["name"] == "champion")
    assert gate["value"] == f"{found['metrics']['roc_auc']['difference']['low']:.4g}"  # one and the same figure
    for each, before in zip(evaluation["slices"], found["slices"], strict=True):
        assert (each["column"], each["slice"]) == (before["column"], before["slice"])
        if (ours := each["roc_auc"]["value"]) is not None:
            assert before["champion"] + before["difference"]["value"] == pytest.approx(ours, abs=3e-5)
    assert found["size_mb"] == round((small / MODEL / "model.onnx").stat().st_size / 1e6, 4)


def test_a_champion_is_compared_where_its_gate_is_off_and_no_comparison_outlives_it(
    challenged: Path, verb: Verb
) -> None:
    trees.configure(challenged, {"gates.champion": {"off": "another target since today"}})
    assert verb("gates", "specimen_delay").code == 0
    assert compared(challenged)["metrics"]["brier"]["difference"]["high"] < 0
    champion.passport_path("specimen_delay").unlink()
    assert verb("gates", "specimen_delay").code == 0
    assert compared(challenged) == compare.NONE


@pytest.mark.parametrize("fault", ["cannot be loaded", "outside their range or not finite"])
def test_a_champion_that_cannot_be_compared_is_a_failure_that_says_why(
    challenged: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "cannot be loaded":
        shipped = (challenged / MODEL / "model.onnx").read_bytes()
        (challenged / MODEL / "model.onnx").write_bytes(b"not a graph")
        commit()
        release(sha256(MODEL / "model.onnx"))
        (challenged / MODEL / "model.onnx").write_bytes(shipped)
    else:
        real, added = scoring.scores, itertools.cycle([0.0, float("nan")])  # candidate, champion
        monkeypatch.setattr(scoring, "scores", lambda *given: real(*given) + next(added))
    assert verb("gates", "specimen_delay").code == 1
    found = compared(challenged)
    assert fault in found["fault"]
    assert (found["metrics"], found["slices"], found["champion"]["version"]) == ({}, [], "0123456789ab")
    assert failed(passport(challenged)) == ["champion", "plausible", "shift"]
    assert verb("report", "specimen_delay").code == 0


@pytest.mark.parametrize("name", ["evaluation", "measured"])
def test_figures_of_another_file_are_refused_and_no_passport_is_written(tree: Path, verb: Verb, name: str) -> None:
    before = passport(tree)
    (tree / MODEL / f"build/{name}.json").write_text('{"onnx": "0123"}')
    refused(verb("gates", "specimen_delay"), f"{MODEL}/build/{name}.json belongs to another model.onnx")
    assert passport(tree) == before


@pytest.mark.parametrize("name", ["test_a[/]", "test_a[bold]"])
def test_a_tests_parameters_are_shown_as_they_are(capsys: pytest.CaptureFixture[str], name: str) -> None:
    gate = {"name": "behaviour", "limit": "[1]", "value": "[0]", "verdict": "fail", "reason": name}
    gates.show({"model": "m", "version": "v", "gates": [gate]})
    shown = capsys.readouterr().out
    assert all(words in shown for words in (name, "[1]", "[0]"))
