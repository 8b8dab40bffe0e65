"""Every way to ONNX: raw columns in, the task's output, the model's answers, the same bytes twice."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from models import export
from models.lib import onnx_front, scoring
from models.lib.columns import Columns, to_pandas, to_polars
from models.lib.plugin import Misuse
from tests.support.repository import ROOT

TENSORFLOW = ROOT / "tests/build/tensorflow"
TASKS = ("binary", "multiclass", "regression")
NAMES, NUMBERS = ["label", "void"], ["day", "variable", "concat_result"]
Way = Callable[[Any], Any]  # of the module `ways`
# Task, estimator, and the columns that it is given.
WAYS: dict[str, tuple[str, Way, list[str]]] = {
    "sklearn": ("binary", lambda w: w.linear(w.linear_model.LogisticRegression()), NAMES + NUMBERS),
    "sklearn, classes": ("multiclass", lambda w: w.linear(w.linear_model.LogisticRegression()), NAMES + NUMBERS),
    "sklearn, regression": ("regression", lambda w: w.linear(w.linear_model.LinearRegression()), NAMES + NUMBERS),
    "forest": ("multiclass", lambda w: w.trees(w.ensemble.RandomForestClassifier(5)), NAMES + NUMBERS),
    "histogram": ("binary", lambda w: w.trees(w.ensemble.HistGradientBoostingClassifier(max_iter=5)), NAMES + NUMBERS),
    "histogram alone": ("regression", lambda w: w.ensemble.HistGradientBoostingRegressor(max_iter=5), NUMBERS),
    "text alone": ("binary", lambda w: w.make_pipeline(w.one_hot(), w.linear_model.LogisticRegression()), NAMES),
    "whole numbers as names": ("binary", lambda w: w.columns((w.one_hot(), ["label", "day"])), NAMES + NUMBERS),
    "lightgbm": ("multiclass", lambda w: w.lightgbm.LGBMClassifier(verbosity=-1), NAMES + NUMBERS),
    "lightgbm, numbers": ("regression", lambda w: w.lightgbm.LGBMRegressor(verbosity=-1), NUMBERS),
    "xgboost": ("binary", lambda w: w.xgboost.XGBClassifier(early_stopping_rounds=2), NAMES + NUMBERS),
    "xgboost, classes": ("multiclass", lambda w: w.xgboost.XGBClassifier(early_stopping_rounds=2), NAMES + NUMBERS),
    "xgboost, text": ("regression", lambda w: w.xgboost.XGBRegressor(), NAMES),
}
REFUSED: dict[str, tuple[Way, str]] = {
    "empty column": (
        lambda w: w.columns((w.filled(), NAMES)),
        "^SimpleImputer drops a column without a value: set keep_empty_features=True",
    ),
    "no converter": (lambda w: w.linear(w.lightgbm.LGBMClassifier()), "^LGBMClassifier has no way to ONNX"),
    "mixed": (
        lambda w: w.make_pipeline(w.one_hot(), w.linear_model.LogisticRegression()),
        "^text and numbers go different ways",
    ),
    "unknown names": (
        lambda w: w.columns((w.OneHotEncoder(), ["label"])),
        "^it cannot predict rows with names that training has not seen .*'never seen'",
    ),
    "another answer": (
        lambda w: w.columns((w.SimpleImputer(add_indicator=True), NUMBERS)),
        "^its ONNX file would answer otherwise by up to .*add_indicator",
    ),
    "objective": (lambda w: w.lightgbm.LGBMRegressor(verbosity=-1, objective="mape"), "cannot be exported .*mape"),
    "linear trees": (lambda w: w.lightgbm.LGBMRegressor(verbosity=-1, linear_tree=True), "would answer otherwise"),
}


@pytest.fixture(scope="module")
def ways() -> Any:
    """Its imports take seconds, which no other collection of tests is to pay."""
    return importlib.import_module("tests.models.ways")


@pytest.mark.parametrize(
    "way", [pytest.param(each, marks=pytest.mark.slow) if each.endswith(", classes") else each for each in WAYS]
)
def test_the_file_answers_like_the_model(ways: Any, way: str, tmp_path: Path) -> None:
    task, estimator, columns = WAYS[way]
    train, valid = (ways.table(seed, task).select(*columns, "target") for seed in (1, 2))
    options = {"categorical_feature": [0, 1]} if way == "lightgbm" else {}
    early = valid if getattr(estimator(ways), "early_stopping_rounds", None) else None
    ways.prove(lambda: ways.fit(estimator(ways), train, early, **options), task, tmp_path)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "like", ["lightgbm", *(pytest.param(each, marks=pytest.mark.slow) for each in ("sklearn", "torch", "keras"))]
)
def test_the_file_of_a_drafted_model_answers_like_it(
    ways: Any, like: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    ways.prove(lambda: ways.template(like, ways.table(1, task), ways.table(2, task)), task, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("names", "output"), [(["day", "variable"], "prediction"), (["void"], "probabilities")])
def test_torch_is_handed_ids_and_numbers_also_where_there_are_none(ways: Any, names: list[str], output: str) -> None:
    import torch

    from models.lib.frameworks.torch import export as file_of

    columns, rows = Columns.of(ways.table(1).select(names)), ways.unseen().select(names)
    network = ways.Sum(output == "probabilities")
    graph = file_of(network, columns, output)
    onnx.checker.check_model(export.strip(graph), full_check=True)
    runtime = scoring.session(graph.SerializeToString())
    expected = network(torch.from_numpy(columns.ids(rows)), torch.from_numpy(columns.floats(rows))).detach().numpy()
    found = runtime.run([output], scoring.feed(runtime, rows))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_exported_is_refused_before_it_is_trained(ways: Any, what: str) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    make, words = REFUSED[what]
    estimator = make(ways)
    with pytest.raises(Misuse, match=words):
        ways.fit(estimator, ways.table(1, "regression" if "LGBMRegressor" in str(estimator) else "binary"))
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


@pytest.mark.slow
@pytest.mark.skipif(
    not TENSORFLOW.is_dir(),
    reason="optional: TensorFlow by `make tensorflow`",
)
def test_keras_on_tensorflow(tmp_path: Path) -> None:
    """In a process of its own, because Keras runs on one backend; twice, because its exporter counts through one."""
    script = (
        "import keras, sys; from pathlib import Path\n"
        "from tests.models.ways import prove, table, template\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "made = prove(lambda: template('keras', table(1), table(2)), 'binary', Path(sys.argv[1]))\n"
        "Path(sys.argv[1], 'model.onnx').write_bytes(made)\n"
    )
    path = os.pathsep.join(map(str, (TENSORFLOW, ROOT, ROOT / "tests/specimens")))
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": str(tmp_path), "PYTHONPATH": path}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], env=environment, check=True, cwd=tmp_path)
    made = [{each.name: each.read_bytes() for each in (tmp_path / name).rglob("*.*")} for name in ("first", "second")]
    assert made[0] == made[1]
    assert len(made[0]) == 3  # of two trainings each


def test_a_class_without_a_row_is_refused_before_it_is_trained(ways: Any) -> None:
    rows = ways.table(1, "multiclass").filter(pl.col("target") != 1)
    for estimator in (ways.linear(ways.linear_model.LogisticRegression()), ways.lightgbm.LGBMClassifier()):
        with pytest.raises(Misuse, match=r"^class 1 of the target has no row"):
            ways.fit(estimator, rows)


@pytest.mark.slow
def test_a_graph_is_the_same_whatever_its_names_and_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """`x + 1` twice and `x * 2`, added up: with equal nodes and weights once or twice, in either order."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    from models.lib.frameworks.keras import in_order

    def graph(names: list[str], *, turned: bool, twice: bool) -> onnx.ModelProto:
        one, two, left, again, right, half = names
        nodes = [
            helper.make_node("Add", ["x", one], [left], name=left),
            *([helper.make_node("Add", ["x", one], [again])] if twice else []),
            helper.make_node("Mul", ["x", two], [right]),
        ]
        total = [
            helper.make_node("Add", [left, again if twice else left], [half]),
            helper.make_node("Add", [half, right], ["y"]),
        ]
        weights = [helper.make_tensor(name, TensorProto.FLOAT, [1], [each]) for name, each in ((one, 1), (two, 2))]
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in "xy")
        step = -1 if turned else 1
        made = helper.make_graph([*nodes[::step], *total], "g", [x], [y], weights[::step])
        return helper.make_model(made, opset_imports=onnx_front.OPSETS, ir_version=10)

    both = [graph([*"abcdef"], turned=False, twice=True), graph([*"zbmcka"], turned=True, twice=False)]
    made = [in_order(each).SerializeToString(deterministic=True) for each in both]
    assert made[0] == made[1]
    (found,) = scoring.session(made[0]).run(None, {"x": np.array([0, 5], np.float32)})
    assert list(found) == [2, 22]


def test_a_table_of_pandas_has_its_nulls_as_pandas_would(ways: Any) -> None:
    rows = ways.unseen()
    found = to_pandas(rows)
    kinds = dict.fromkeys(NAMES, "object") | dict(zip(NUMBERS, ("int64", "float64", "float64"), strict=True))
    assert found.dtypes.astype(str).to_dict() == kinds
    blank = rows.select(pl.col(NAMES).is_null() | (pl.col(NAMES) == ""), pl.col("variable").is_null())
    assert [found[name].isna().sum() for name in blank.columns] == list(blank.sum().row(0))
    assert to_pandas(found) is found
    back = to_polars(found)
    assert back.schema == rows.schema
    assert back["label"].to_list() == [name or None for name in rows["label"]]
    np.testing.assert_array_equal(back["variable"].to_numpy(), rows["variable"].cast(pl.Float32).to_numpy())


def test_columns_are_told_by_either_table(ways: Any) -> None:
    assert Columns.of(to_pandas(ways.table(1))) == Columns.of(ways.table(1))
    assert Columns.of(ways.table(1)).vocabulary == {"label": ["x", "y", "ü"], "void": []}
