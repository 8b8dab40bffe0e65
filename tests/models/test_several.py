"""A model over several windows: what is trained, what is left out, and what is said of the model's own figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import report, reproduce
from models.lib import artifacts, config, several
from repo.lib.files import read_json, sha256, write_json
from repo.lib.refusal import Refusal
from tests.support import trees
from tests.support.process import Answer
from tests.support.specimens import MODEL, NAME

LATER = {
    "windows.train": {"first": "2013-04", "last": "2013-09"},
    "windows.valid": {"first": "2013-10", "last": "2013-10"},
    "windows.test": {"first": "2013-11", "last": "2013-11"},
}
COLUMN = {"by": "column", "column": "flight", "train": [1], "valid": [2], "test": [3]}
SPREAD = {"roc_auc": {"min": 0.705, "mean": 0.72, "max": 0.731, "deviation": 0.01}}
pytestmark = pytest.mark.usefixtures("tree")


def test_each_window_is_trained_on_its_own_rows_and_nothing_else_is_touched(capsys: pytest.CaptureFixture[str]) -> None:
    trees.configure(Path(), LATER)
    model = config.load(NAME)
    before = {path: path.read_bytes() for path in [*artifacts.files(model), MODEL / "dvc.lock", MODEL / "dvc.yaml"]}
    trained: list[list[str]] = []

    def make(of: config.Model) -> bytes:
        trained.append([of.span(part) for part in ("train", "valid", "test")])
        if of.span("test") == "2013-09":
            raise Refusal("it learns nothing; fix it.")
        return reproduce.again(of)

    several.measure(model, 6, make)
    assert trained == [
        ["2013-03 to 2013-08", "2013-09", "2013-10"],
        ["2013-02 to 2013-07", "2013-08", "2013-09"],
        ["2013-01 to 2013-06", "2013-07", "2013-08"],
    ]
    assert {path: path.read_bytes() for path in before} == before
    found, own = (read_json(MODEL / f"build/{name}.json", "") for name in ("windows", "evaluation"))
    assert [each["test"] for each in found["windows"]] == ["2013-11", "2013-10", "2013-08"]
    # The specimen's committed model was trained and tested on the last of these.
    committed = {key: each["value"] for key, each in own["metrics"].items()}
    assert found["windows"][-1]["metrics"] == pytest.approx(committed, abs=1e-4)
    values = [each["metrics"]["roc_auc"] for each in found["windows"]]
    spread = found["spread"]["roc_auc"]
    assert (spread["min"], spread["max"], spread["mean"]) == (min(values), max(values), pytest.approx(sum(values) / 3))
    assert found["left_out"] == [
        {"test": "2013-09", "why": "it learns nothing; fix it."},
        {"test": "2013-07", "why": "the data have no 2012-12, which its train window needs."},
        {"test": "2013-06", "why": "the data have no 2012-11, which its train window needs."},
    ]
    out = capsys.readouterr().out
    assert "run specimen_delay: window 2 of 6, 2013-10: ROC AUC 0." in out
    assert "run specimen_delay: window 5 of 6, 2013-07, is left out: the data have no 2012-12" in out
    assert f"run specimen_delay: {found['sentence']}" in out


@pytest.mark.parametrize(
    ("low", "high", "others", "said"),
    [
        (0.690, 0.734, [0.705, 0.731], "0.705 to 0.731 over 3 windows: in line with the others."),
        (0.735, 0.760, [0.705, 0.731], "0.705 to 0.731 over 3 windows: better than all others, so expect less."),
        (0.600, 0.700, [0.705, 0.731], "0.705 to 0.731 over 3 windows: worse than all others."),
        (0.690, 0.734, [None, None], "and no other window to hold it against."),
        (0.690, 0.734, [], "and no other window to hold it against."),
    ],
)
def test_one_sentence_says_whether_the_models_own_figure_is_in_line(
    low: float, high: float, others: list[float | None], said: str
) -> None:
    own = {"value": (low + high) / 2, "low": low, "high": high}
    found = [{"metrics": {"roc_auc": value}} for value in (own["value"], *others)]
    sentence = several.sentence(config.load(NAME), own, {"windows": found, "spread": SPREAD})
    assert sentence == f"ROC AUC {own['value']:.3f} here{', ' if said.startswith('and') else '; '}{said}"


@pytest.mark.parametrize(
    ("settings", "count", "message"),
    [
        ({}, "1", "--windows 1 is not 2 to 20"),
        ({}, "21", "--windows 21 is not 2 to 20"),
        ({"windows": None, "split": COLUMN}, "4", "split: a column divides the rows in one way only"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(
    verb: Callable[..., Answer], settings: dict[str, Any], count: str, message: str
) -> None:
    trees.configure(Path(), settings)
    answer = verb("run", NAME, "--windows", count)
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert message in answer.error


def test_the_report_shows_them_of_this_very_model_alone() -> None:
    model = config.load(NAME)
    metrics = {"roc_auc": 0.712, "log_loss": 0.6, "brier": 0.2, "calibration_error": 0.1}
    windows = [{"test": each, "train": "2013-01 to 2013-06", "metrics": metrics} for each in ("2013-08", "2013-07")]
    left_out = [{"test": "2013-06", "why": "the data have no <2012-11>."}]
    record: dict[str, Any] = {
        "onnx": sha256(model.onnx),
        "windows": windows,
        "left_out": left_out,
        "sentence": "All in line.",
    }
    record["spread"] = dict.fromkeys(metrics, SPREAD["roc_auc"])
    pages = [MODEL / "build/report.html", MODEL / "build/report.md"]
    for change in ({"onnx": "0"}, {"windows": windows[1:]}, {}):  # of another model, of other rows, its own
        write_json(MODEL / "build/windows.json", record | change)
        report.run(model)
        html, markdown = (path.read_text() for path in pages)
        assert ["everal windows" in each for each in (html, markdown)] == [not change] * 2
    assert "| 2013-07 | 2013-01 to 2013-06 | 0.712 |" in markdown
    assert "| standard deviation |  | 0.010 |" in markdown
    assert "All in line.\n\n2013-06 is left out" in markdown
    assert all(line in html for line in ("All in line.", "2013-06 is left out: the data have no "))
    assert "<2012-11>" not in html + markdown
