"""The passport: its version follows from content, and from nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_schemas.lib import pointer
from models import gates
from models.lib import config, judges, passport
from tests.models.scene import OPTIONS
from tests.support import trees
from tests.support.specimens import MODEL

CONTENT: dict[str, list[tuple[Path | str, str, str]]] = {
    # what the passport holds a hash of -> a file and what changes in it
    "data": [("data_schemas/specimen_trips/data.dvc", "md5: ", "md5: 0")],
    "schema": [("data_schemas/specimen_trips/schema.py", '["EWR", "JFK", "LGA"]', '["EWR", "JFK"]')],
    "requirements": [("requirements/training.txt", "polars==", "polars==9")],
    "code": [
        (MODEL / "network.py", "random(train.height) < 0.9", "random(train.height) < 0.8"),
        (MODEL / "test_behaviour.py", "(missing - plain) < 0.25", "(missing - plain) < 0.5"),
        (MODEL / "model.yaml", "max_epochs: 6", "max_epochs: 7"),
        ("models/lib/judges.py", "return value <= limit if", "return value < limit if"),
    ],
}
EDITS = [(name, path, old, new) for name, edits in CONTENT.items() for path, old, new in edits]


@pytest.mark.parametrize(("name", "path", "old", "new"), EDITS)
def test_an_edit_of_what_made_the_model_changes_its_hash_and_the_version(
    tree: Path, model: config.Model, name: str, path: str, old: str, new: str
) -> None:
    before = passport.content(model)
    trees.edit(tree / path, old, new)
    after = passport.content(model)
    changed = {each for each in after if after[each] != before[each]}
    assert name in changed
    assert changed <= {name, "code"}  # a schema is code, too
    assert passport.version(after) != passport.version(before)


@pytest.mark.parametrize(("name", "path"), [("onnx", "model.onnx"), ("code", "layers.py")])
def test_other_bytes_of_the_file_and_a_new_file_of_code_change_the_version(
    tree: Path, model: config.Model, name: str, path: str
) -> None:
    before = passport.content(model)
    (tree / MODEL / path).write_bytes(b"other")
    after = passport.content(model)
    assert {each for each in after if after[each] != before[each]} == {name}


def test_a_version_is_twelve_hex_digits_of_all_five_hashes() -> None:
    content = dict.fromkeys(["data", "schema", "code", "requirements", "onnx"], "0")
    versions = [passport.version(content | {name: "1"}) for name in content] + [passport.version(content)]
    assert len(set(versions)) == 6
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in versions)
    assert passport.version(dict(reversed(content.items()))) == passport.version(content)


def test_the_same_inputs_give_the_same_version_whenever_and_wherever(
    tree: Path, plain: Path, model: config.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = passport.content(model)
    for path in tree.rglob("*.py"):
        os.utime(path, (1, 1))
    assert passport.content(model) == before
    monkeypatch.chdir(trees.copy(plain, tmp_path / "elsewhere"))
    assert passport.content(model) == before


def test_what_did_not_make_the_model_changes_nothing(tree: Path, model: config.Model) -> None:
    before = passport.content(model)
    for name in (
        "README.md",
        MODEL / "README.md",
        MODEL / "resources.yaml",
        MODEL / "dvc.lock",
        "repo/plan.py",
        "repo/lib/origin.py",
        "models/retrain.py",
        "serving/serve.py",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("changed")
    assert passport.content(model) == before


@pytest.mark.usefixtures("tree")
def test_the_record_holds_what_promotion_and_people_need(evidence: judges.Evidence) -> None:
    champion = {"version": "0123456789ab", "onnx": "f" * 64, "commit": "c" * 40}
    record = passport.make(evidence.model, evidence.evaluation, [{"verdict": "pass"}], champion, [], 0.6)
    assert set(record["content"]) == {"data", "schema", "code", "service", "requirements", "onnx"}
    assert record["version"] == passport.version(record["content"])
    assert record["metrics"] == evidence.evaluation["metrics"]
    assert record["dataset"]["window"] == "2013-08"
    assert record["dataset"]["rows"] == evidence.evaluation["rows"]
    assert record["dataset"]["quarantined"] == 0
    assert record["champion"] == champion
    pinned = pointer.demand(evidence.model.dataset)
    pointer.pin(evidence.model.dataset, replace(pinned, quarantined=12))
    record = passport.make(evidence.model, evidence.evaluation, [{"verdict": "pass"}], champion, [], 0.6)
    assert record["dataset"]["quarantined"] == 12


def test_writing_it_again_gives_the_same_bytes(
    tree: Path, evidence: judges.Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge: Callable[[judges.Evidence], list[judges.Verdict]] = lambda _: [judges.Verdict("brier", "l", "v", "pass")]  # noqa: E731
    monkeypatch.setattr(gates, "judge", judge)
    monkeypatch.setattr(gates, "gather", lambda _: evidence)
    path = tree / MODEL / "build/passport.yaml"
    contents = []
    for _ in range(2):
        path.unlink()
        assert gates.main(OPTIONS) == 0
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
