"""model.yaml: every fault is one sentence that names file and field."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from models.lib import config
from repo.lib.refusal import Refusal
from tests.models.scene import Verb
from tests.models.tiny import Tiny
from tests.support import trees
from tests.support.specimens import MODEL

FILE = MODEL / "model.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What loading reads; only model.yaml is edited."""
    (tmp_path / "tree" / MODEL).mkdir(parents=True)
    shutil.copy(FILE, tmp_path / "tree" / FILE)
    for name in ("data_schemas", "pyproject.toml", "models/__main__.py"):
        (tmp_path / "tree" / name).symlink_to(Path(name).absolute())
    monkeypatch.chdir(tmp_path / "tree")


TEST = "{first: 2013-08, last: 2013-08}"
FAULTS = [
    # what stands in the file, what replaces it, the field that is named, the message
    ("storage: git", "storage: git\nstorrage: dvc", "storrage", "is no setting"),
    ("  parity: {", "  fairness: {at_most: 1}\n  parity: {", "gates.fairness", "is no setting"),
    ("{at_least: 0.70}", "{at_least: high}", "gates.roc_auc.at_least", "valid number"),
    ("storage: git", "", "storage", "required"),
    ("  - carrier\n", "  - carier\n", "features", "'carier' is not a column of specimen_trips"),
    ("  carrier: categories", "  carier: categories", "slices", "'carier' is not a column of specimen_trips"),
    ("column: arr_delay", "column: delay", "target.column", "'delay' is not a column of specimen_trips"),
    ("  - carrier\n", "  - carrier\n  - arr_delay\n", "features", "'arr_delay' is the target"),
    ("dataset: specimen_trips", "dataset: trains", "", "there is no dataset 'trains'"),
    (TEST, "{first: 2013-07, last: 2013-08}", "windows", "valid window (2013-07) overlaps"),
    (TEST, "{first: 2013-08, last: 2013-13}", "windows.test.last", "not a day, week or"),
    (TEST, "{first: 2013-09, last: 2013-08}", "windows.test", "lies after last"),
    (TEST, "{first: 2013-08-01, last: 2013-08}", "windows.test", "not in the same unit"),
    ("{at_least: 0.70}", "{}", "gates.roc_auc", "give `at_least`, or switch the gate off"),
    ("{at_least: 0.57, rows: 40}", "{at_least: 0.57}", "gates.slice_roc_auc", "give `rows`"),
    ("  parity: {", "  plausible: {explained: known}\n  parity: {", "gates.plausible.explained", "such as `{age:"),
    ("{margin: 0.005}", "{off: later}", "gates.champion.off", "at least 10 characters"),
    ("{margin: 0.005}", "{off: }", "gates.champion", "give `margin`, or switch the gate off"),
    ("{margin: 0.005}", "{margin: 0.1, off: we compare by hand}", "gates.champion", "give `margin`, or switch"),
    ("storage: git", "storage: git\nname: specimen_delay", "name", "the folder's name"),
    ("{at_most: 0.60}", "{at_most: .inf}", "gates.log_loss.at_most", "finite number"),
    ("  - visib\n", "  - visib\n  - visib\n", "features", "'visib' is listed twice"),
    ("[0, 480, 720, 960, 1200, 1440]", "[480, 0]", "slices", "sched_dep_minute: bin edges must be two or more"),
    ("carrier: categories", "carrier: [0, 1]", "slices.carrier", "it is text; write `categories`"),
    ("storage: git", "storage: git\n7: seven", "", "must be a mapping of settings"),
    ("storage: git", "storage: [git", "", "cannot be read"),
]


@pytest.mark.parametrize(("old", "new", "field", "words"), FAULTS)
def test_a_fault_is_one_sentence_that_names_file_and_field(old: str, new: str, field: str, words: str) -> None:
    trees.edit(FILE, old, new)
    with pytest.raises(Refusal) as refused:
        config.load("specimen_delay")
    sentence = str(refused.value)
    assert words in sentence
    if field:
        assert sentence.startswith(f"{FILE}: {field}")
    assert "\n" not in sentence
    assert sentence.endswith(".")


NO_TASK = "is not binary, multiclass or regression"
OF_A_TASK: list[tuple[str, dict[str, Any], str, str]] = [
    # task, settings that are replaced, the field that is named, the message
    ("binary", {"task": "ranking"}, "task", f"'ranking' {NO_TASK}"),
    ("binary", {"task": ["binary"]}, "task", f"['binary'] {NO_TASK}"),
    ("binary", {"target": {"column": "amount"}}, "target", "is Float64, not Boolean; add `above` or `equals`"),
    ("binary", {"target": {"column": "late", "above": 0.5}}, "target.above", "is Boolean, not a number; leave `above`"),
    ("binary", {"target": {"column": "kind", "above": 0.5}}, "target.above", "is String, not a number; use `equals`"),
    ("binary", {"target": {"column": "late", "equals": "yes"}}, "target.equals", "is Boolean; give a value of that"),
    ("binary", {"target": {"column": "kind", "equals": True}}, "target.equals", "is String; give a value of that type"),
    ("binary", {"target": {"column": "count", "above": 1.0, "equals": 2}}, "target", "`above` or `equals`, not both"),
    ("multiclass", {"target.classes": ["low", "mid", "low"]}, "target.classes", "every class once"),
    ("multiclass", {"target.classes": ["1", 1, 2]}, "target.classes", "every class once"),
    ("multiclass", {"target.classes": ["low", "mid"]}, "target.classes", "at least 3 items"),
    ("multiclass", {"target.classes": [1, 2, 3]}, "target.classes", "'kind' is String; give its values in that type"),
    ("multiclass", {"target.column": "count"}, "target.classes", "'count' is Int64; give its values in that type"),
    ("multiclass", {"target": {"column": "amount", "classes": [1, 2, 3]}}, "target.classes", "'amount' is Float64"),
    ("regression", {"target.column": "kind"}, "target.column", "'kind' is String, not a number"),
    ("regression", {"target.column": "late"}, "target.column", "'late' is Boolean, not a number"),
    ("regression", {"serving.threshold": 0.5}, "serving.threshold", "is no setting"),
    ("regression", {"gates.roc_auc": {"at_least": 0.5}}, "gates.roc_auc", "is no setting"),
    ("regression", {"features": ["late"]}, "features", "'late' is Boolean, and a request has text"),
    ("regression", {"features": ["day"]}, "features", "'day' is Date, and a request has text"),
    ("regression", {"features": ["maybe"]}, "features", "'maybe' is a whole number that may be null"),
    ("regression", {"features": ["target"]}, "features", "'target' is what the outcome is called"),
]


@pytest.mark.parametrize(("word", "settings", "field", "words"), OF_A_TASK)
def test_what_a_task_cannot_take_is_one_sentence_that_names_file_and_field(
    tinies: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, settings: Any, field: str, words: str
) -> None:
    folder = tinies.copy(word, tmp_path).folder
    monkeypatch.chdir(tmp_path)
    trees.configure(tmp_path, settings, folder)
    with pytest.raises(Refusal) as refused:
        config.load(folder.name)
    sentence = str(refused.value)
    assert sentence.startswith(f"{folder}/model.yaml: {field}: ")
    assert (words in sentence, "\n" in sentence, sentence[-1]) == (True, False, "."), sentence


@pytest.mark.parametrize("text", ["- a\n- list\n", "just words\n", ""])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    FILE.write_text(text)
    with pytest.raises(Refusal, match=rf"^{FILE} must be a mapping"):
        config.load("specimen_delay")


def test_an_unknown_model_lists_the_models_there_are() -> None:
    listed = ", ".join(config.names())
    with pytest.raises(Refusal, match=rf"there is no model 'specimen_trips' .*; models: {listed}\.$"):
        config.load("specimen_trips")


def test_a_gate_is_switched_off_by_a_reason() -> None:
    trees.edit(FILE, "{margin: 0.005}", "{off: the first quarter has no champion}")
    gate = config.load("specimen_delay").gates.champion
    assert (gate.off, gate.margin) == ("the first quarter has no champion", None)


VERBS = ["run", "train", "export", "evaluate", "measure", "gates", "report"]


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("arguments", [["nothing"], ["../models/specimen_delay"], [""]])
def test_every_verb_refuses_a_wrong_name(verb: Verb, name: str, arguments: list[str]) -> None:
    answer = verb(name, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.error.startswith(f"models {name}: there is no model ")
    assert len(answer.error.splitlines()) == 1


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_refuses_a_faulty_file(verb: Verb, name: str) -> None:
    trees.edit(FILE, "threshold: 0.35", "threshold: low")
    answer = verb(name, "specimen_delay")
    assert (answer.code, answer.out) == (2, "")
    assert answer.error.startswith(f"models {name}: {FILE}: serving.threshold: ")
    assert len(answer.error.splitlines()) == 1


def test_a_verb_elsewhere_than_at_the_root_is_refused(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "tree/models")
    answer = verb("train", "specimen_delay")
    assert answer.code == 2
    assert "is not the root of the repository" in answer.error
