"""`python -m models new`: what a table's columns suggest, and a folder that passes before its first edit."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from models.lib import config, draft, drafted_split
from models.lib.draft import Column
from repo.lib.refusal import Refusal
from tests.models.scene import Verb
from tests.support import specimens, trees
from tests.support.repository import git

DATASET = specimens.DATASET_NAME


def column(values: list[Any], nullable: bool = False, **metadata: Any) -> Column:
    return Column("it", pl.Series("it", values), nullable, metadata)


@pytest.mark.parametrize(
    ("values", "wanted", "task", "target"),
    [
        ([True, False, True], None, "binary", {}),
        (["no", "no", "yes"], None, "binary", {"equals": "yes"}),
        ([0, 0, 1], None, "binary", {"equals": 1}),
        (["a", "b", "c"] * 10, None, "multiclass", {"classes": ["a", "b", "c"]}),
        ([3, 1, 2] * 10, None, "multiclass", {"classes": [1, 2, 3]}),
        ([3, 1, 2], "regression", "regression", {}),
        (list(range(30)), None, "regression", {}),
        (list(range(30)), "multiclass", "multiclass", {"classes": list(range(30))}),
        ([0.5, 1.5, None, 2.5], None, "regression", {}),
    ],
)
def test_the_values_of_the_target_suggest_a_task(values: list[Any], wanted: Any, task: str, target: Any) -> None:
    assert draft.target(column(values), wanted) == (task, {"column": "it"} | target)


@pytest.mark.parametrize(
    ("target", "wanted", "words"),
    [
        (column(["a", "a"]), None, "one value only"),
        (
            column([f"t{place}" for place in range(40)]),
            None,
            "40 different values of String in 40 rows, which fit no task",
        ),
        (column([True, False]), "regression", "which fit no regression"),
    ],
)
def test_a_target_that_makes_no_task_is_refused(target: Column, wanted: Any, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        draft.target(target, wanted)


def test_features_are_what_is_known_before_and_says_something() -> None:
    rows = [f"row {place}" for place in range(50)]
    found = {
        "sold": column([1, 0] * 25),
        "id": column(rows, key=True),
        "colour": column(["red", "blue"] * 25),
        "note": column(rows),
        "size": column([1.0, 2.0] * 25),
        "always": column([1] * 50),
        "flag": column([True, False] * 25),
        "paid": column([1.0, 2.0] * 25, known="after"),
        "day": column([date(2024, 1, 1), date(2024, 1, 2)] * 25),
    }
    names, left = draft.features(found, "sold", ["day"])
    assert names == ["colour", "size"]
    assert set(left) == {"sold", "id", "note", "always", "flag", "paid", "day"}
    assert "afterwards" in left["paid"]
    assert "date" in left["day"]
    assert draft.slices(found, names) == {"colour": "categories"}


DAYS = [date(2024, 1, 1) + timedelta(days=step) for step in range(300)]


@pytest.mark.parametrize(
    ("days", "wanted", "unit", "last"),
    [
        (DAYS, None, "month", "2024-10"),
        (DAYS[:100], None, "week", "2024-W15"),
        (DAYS[:20], None, "day", "2024-01-20"),
        (DAYS, "week", "week", "2024-W43"),
    ],
)
def test_a_date_divides_the_rows_by_the_largest_unit_that_gives_enough(
    days: list[date], wanted: Any, unit: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_schemas.lib.datasets.parts", lambda _: ["all"])
    split, read = drafted_split.choose("d", {"it": column(days)}, "target", wanted)
    assert (split["split"]["by"], split["split"]["unit"], split["split"]["test"]["last"]) == ("time", unit, last)
    assert read == ["it"]


def test_without_a_date_that_is_not_personal_the_key_divides_them_or_the_whole_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("data_schemas.lib.datasets.parts", lambda _: ["all"])
    key, size, gap = column(["a"], key=True), column([1.0]), column([None], nullable=True)
    assert drafted_split.choose("d", {"id": key, "size": size}, "target", None)[0]["split"]["key"] == ["id"]
    assert drafted_split.choose("d", {"size": size, "gap": gap}, "target", None)[0]["split"]["key"] == ["size"]
    born = column(DAYS, personal=True)
    assert drafted_split.choose("d", {"id": key, "born": born}, "target", None)[0]["split"]["key"] == ["id"]
    for wrong in ("hash:nobody", "column:nobody", "month", "year"):
        with pytest.raises(Refusal, match="--split"):
            drafted_split.choose("d", {"size": size}, "target", wrong)


def test_settings_are_read_as_they_were_meant() -> None:
    settings = {"description": "What is no: of it?", "target": {"column": "on", "classes": ["yes", "no", "1e3"]}}
    settings |= {"features": ["null", "a b", "x: y"], "slices": {}, "gates": {}}
    found = yaml.safe_load(draft.text(settings, "  a: {b: 1}", {"id": "a key"}))
    assert found == settings | {"gates": {"a": {"b": 1}}}


@pytest.mark.slow
def test_a_drafted_model_passes_and_nothing_else_changes(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb
) -> None:
    monkeypatch.chdir(trees.copy(shop, tmp_path / "tree"))
    monkeypatch.syspath_prepend(str(Path.cwd()))
    answer = verb("new", "late", "--dataset", DATASET, "--target", "arr_delay")
    assert "late: regression" in answer.out
    assert answer.code == 0, answer.out + answer.error
    model = config.load("late")
    assert "  # drafted" in (model.folder / "model.yaml").read_text()
    assert verb("run", "late", "--check").code == 0
    assert git("status", "--porcelain") == "?? models/late/"
    again = verb("new", "late", "--dataset", DATASET, "--target", "arr_delay")
    assert (again.code, "exists already" in again.error) == (2, True)


def test_what_cannot_be_drafted_leaves_nothing(tree: Path, verb: Verb) -> None:
    for words in (["Bad-Name!"], ["late", "--target", "nobody"], ["late", "--dataset", "nothing"]):
        settings = {"--dataset": DATASET, "--target": "arr_delay"} | dict(zip(words[1::2], words[2::2], strict=True))
        answer = verb("new", words[0], *(each for pair in settings.items() for each in pair))
        assert answer.code == 2, answer.out
        assert answer.error.count("\n") == 1
    assert not (tree / "models/late").exists()
