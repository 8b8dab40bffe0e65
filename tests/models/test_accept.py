"""`accept`: of what the job says that ran a model's code only the figures are taken; every hash is this tree's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.lib import config, passport
from tests.models.scene import Verb
from tests.support.specimens import MODEL


@pytest.fixture
def message(tree: Path, tmp_path: Path) -> Callable[..., str]:
    """The path of the other machine's passport; `changes` replace keys of a passing one."""
    assert tree.is_dir()
    record: dict[str, Any] = yaml.safe_load((MODEL / "build/passport.yaml").read_text())
    for gate in record["gates"]:
        gate["verdict"] = "pass"
    record |= {"verdict": "pass", "content": passport.content(config.load(MODEL.name, check_columns=False))}
    (MODEL / "build/passport.yaml").unlink()

    def write(**changes: Any) -> str:
        path = tmp_path / "passport.yaml"
        path.write_text(yaml.safe_dump(record | changes, sort_keys=False))
        return str(path)

    return write


def accepted() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MODEL / "build/passport.yaml").read_text())
    return found


def test_figures_are_taken_and_the_rest_is_this_trees(message: Callable[..., str], verb: Verb) -> None:
    forged = {"model": "another", "version": "0" * 12, "serving": {"strategy": "bluegreen"}, "more": "of it"}
    metrics = {"roc_auc": {"value": 0.7, "low": 0.6, "high": 0.8}}
    answer = verb("accept", MODEL.name, "--passport", message(**forged, metrics=metrics))
    assert (answer.code, answer.error) == (0, "")
    model = config.load(MODEL.name, check_columns=False)
    assert accepted()["metrics"] == metrics
    assert accepted()["model"] == MODEL.name
    assert accepted()["version"] == passport.version(passport.content(model))
    assert accepted()["serving"]["strategy"] == model.serving.strategy
    assert "more" not in accepted()


def test_the_reference_is_taken_and_one_of_no_feature_refused(message: Callable[..., str], verb: Verb) -> None:
    reference = yaml.safe_load(Path(path := message()).read_text())["reference"]
    assert verb("accept", MODEL.name, "--passport", path).code == 0
    assert accepted()["reference"] == reference
    reference["features"]["made up"] = reference["features"]["temp"]
    answer = verb("accept", MODEL.name, "--passport", message(reference=reference))
    assert (answer.code, "'made up' is no feature" in answer.error) == (2, True)


@pytest.mark.parametrize("part", ["onnx", "code", "data"])
def test_another_hash_is_refused(message: Callable[..., str], verb: Verb, part: str) -> None:
    content = passport.content(config.load(MODEL.name, check_columns=False)) | {part: "0" * 64}
    answer = verb("accept", MODEL.name, "--passport", message(content=content))
    assert (answer.code, f"content.{part} is not the hash of" in answer.error) == (2, True)
    assert not (MODEL / "build/passport.yaml").exists()


def test_a_gate_that_fails_or_is_missing_is_refused_whatever_the_verdict_says(
    message: Callable[..., str], verb: Verb
) -> None:
    gates = yaml.safe_load(Path(message()).read_text())["gates"]
    answer = verb("accept", MODEL.name, "--passport", message(gates=[*gates[:-1], gates[-1] | {"verdict": "fail"}]))
    assert (answer.code, f"the verdict is fail ({gates[-1]['name']})" in answer.error) == (2, True)
    answer = verb("accept", MODEL.name, "--passport", message(gates=gates[:-1]))
    assert (answer.code, f"the gate {gates[-1]['name']} is missing" in answer.error) == (2, True)


@pytest.mark.parametrize("changes", [{"gates": [1]}, {"dataset": []}, {"content": "x"}])
def test_what_is_no_passport_is_one_sentence(message: Callable[..., str], verb: Verb, changes: dict[str, Any]) -> None:
    answer = verb("accept", MODEL.name, "--passport", message(**changes))
    assert (answer.code, answer.error.count("\n")) == (2, 1)
