"""Every way to ONNX: raw columns in, the task's output, the model's answers, the same bytes twice."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
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
from models.lib.onnx_order import canonical
from models.lib.plugin import Misuse
from tests.support.repository import ROOT

TENSORFLOW = ROOT / "tests/build/tensorflow"
SKLEARN = ["sklearn", "sklearn, classes", "sklearn, regression", "forest", "histogram", "histogram alone"]
SKLEARN += ["text alone", "whole numbers as names"]
BOOSTERS = [f"{name}{task}" for name in ("lightgbm", "xgboost") for task in ("", ", classes", ", regression")]
SPECIMENS = ["specimen_sklearn", "specimen_xgboost"]
TASKS = ("binary", "multiclass", "regression")
SPECIMENS += [f"drafted {like}, {task}" for like in ("lightgbm", "sklearn", "torch") for task in TASKS]
REFUSED = ["empty column", "histogram with categories", "no converter", "mixed", "unknown names", "another answer"]


@pytest.fixture(scope="module")
def ways() -> Any:
    """Its imports take seconds, which no other collection of tests is to pay."""
    return importlib.import_module("tests.models.ways")


@pytest.mark.parametrize("way", [*SKLEARN, *BOOSTERS, *SPECIMENS])
def test_the_file_answers_like_the_model(ways: Any, way: str, tmp_path: Path) -> None:
    task, fit = ways.WAYS[way]
    ways.prove(lambda: fit(ways.table(1, task), ways.table(2, task)), task, tmp_path)


def test_every_way_is_tried(ways: Any) -> None:
    keras = [f"drafted keras, {task}" for task in TASKS]  # of test_keras_on_torch
    assert sorted(ways.WAYS) == sorted([*SKLEARN, *BOOSTERS, *SPECIMENS, *keras])
    assert list(ways.REFUSED) == REFUSED


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (["label", "void", "day", "variable"], "score"),
        (["day", "variable"], "prediction"),
        (["label", "void"], "probabilities"),
        (["void"], "prediction"),
    ],
)
def test_torch_is_handed_ids_and_numbers_also_where_there_are_none(ways: Any, names: list[str], output: str) -> None:
    import torch

    columns, rows = Columns.of(ways.table(1).select(names)), ways.unseen().select(names)
    network = ways.Sum(output == "probabilities")
    graph = onnx_front.from_torch(network, columns.kinds, columns.vocabulary, output)
    onnx.checker.check_model(export.strip(graph), full_check=True)
    runtime = scoring.session(graph.SerializeToString())
    expected = network(torch.from_numpy(columns.ids(rows)), torch.from_numpy(columns.floats(rows))).detach().numpy()
    found = runtime.run([output], scoring.feed(runtime, rows))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_exported_is_refused_before_it_is_trained(ways: Any, what: str) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    make, words = ways.REFUSED[what]
    estimator = make()
    with pytest.raises(Misuse, match=words):
        ways.SklearnModel.fitted(estimator, ways.table(1))
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator[-1])


@pytest.mark.parametrize("options", [{"objective": "mape"}, {"linear_tree": True}], ids=["objective", "linear trees"])
def test_a_booster_that_cannot_be_exported_is_refused_before_it_is_trained(ways: Any, options: dict[str, Any]) -> None:
    estimator = ways.lightgbm.LGBMRegressor(verbosity=-1, **options)
    with pytest.raises(Misuse, match=r"cannot be exported to ONNX .*mape|ONNX file would answer otherwise"):
        ways.BoosterModel.fitted(estimator, ways.table(1, "regression"))
    assert not estimator.__sklearn_is_fitted__()


@pytest.mark.slow
def test_keras_on_torch(ways: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    network = ways.network("keras")
    ways.prove(lambda: network.fit(ways.table(1), ways.table(2), ways.KERAS), "binary", tmp_path)
    for task in TASKS:
        fit = ways.WAYS[f"drafted keras, {task}"][1]
        (tmp_path / task).mkdir()
        ways.prove(lambda fit=fit, task=task: fit(ways.table(1, task), ways.table(2, task)), task, tmp_path / task)


@pytest.mark.slow
@pytest.mark.skipif(
    not TENSORFLOW.is_dir(),
    reason="optional: TensorFlow by `make tensorflow`",
)
def test_keras_on_tensorflow(tmp_path: Path) -> None:
    """In a process of its own, because Keras runs on one backend; twice, because its exporter counts through one."""
    script = (
        "import keras, sys; from pathlib import Path\n"
        "from tests.models.ways import KERAS, network, prove, table\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "fit = lambda: network('keras').fit(table(1), table(2), KERAS)\n"
        "Path(sys.argv[1]).write_bytes(prove(fit, 'binary', Path(sys.argv[1]).parent))\n"
    )
    path = os.pathsep.join(map(str, (TENSORFLOW, ROOT, ROOT / "tests/specimens")))
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": str(tmp_path), "PYTHONPATH": path}
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        file = str(tmp_path / name / "model.onnx")
        subprocess.run([sys.executable, "-c", script, file], env=environment, check=True, cwd=tmp_path)
        made.append({each.name: each.read_bytes() for each in (tmp_path / name).rglob("*.*")})
    assert made[0] == made[1]
    assert len(made[0]) == 3  # of two trainings each


def test_a_class_without_a_row_is_refused_before_it_is_trained(ways: Any) -> None:
    rows = ways.table(1, "multiclass").filter(pl.col("target") != 1)
    for fit in (ways.WAYS["sklearn, classes"][1], ways.WAYS["lightgbm, classes"][1]):
        with pytest.raises(Misuse, match=r"^class 1 of the target has no row"):
            fit(rows, rows)


def test_a_graph_is_the_same_whatever_its_names_and_their_order() -> None:
    """`x + 1` twice and `x * 2`, added up: with equal nodes and weights once or twice, in either order."""

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
        weights = [
            helper.make_tensor(one, TensorProto.FLOAT, [1], [1]),
            helper.make_tensor(two, TensorProto.FLOAT, [1], [2]),
        ]
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in "xy")
        step = -1 if turned else 1
        made = helper.make_graph([*nodes[::step], *total], "g", [x], [y], weights[::step])
        return helper.make_model(made, opset_imports=onnx_front.OPSETS, ir_version=10)

    ways = [graph([*"abcdef"], turned=False, twice=True), graph([*"zbmcka"], turned=True, twice=False)]
    made = [canonical(each).SerializeToString(deterministic=True) for each in ways]
    assert made[0] == made[1]
    (found,) = scoring.session(made[0]).run(["y"], {"x": np.array([0, 5], np.float32)})
    assert list(found) == [2, 22]


def test_a_table_of_pandas_has_its_nulls_as_pandas_would(ways: Any) -> None:
    rows = ways.unseen()
    found = to_pandas(rows)
    assert found.dtypes.astype(str).to_dict() == dict.fromkeys(ways.NAMES, "object") | {
        "day": "int64",
        "variable": "float64",
        "concat_result": "float64",
    }
    blank = rows.select(pl.col(ways.NAMES).is_null() | (pl.col(ways.NAMES) == ""), pl.col("variable").is_null())
    assert [found[name].isna().sum() for name in blank.columns] == list(blank.sum().row(0))
    assert to_pandas(found) is found
    back = to_polars(found)
    assert back.schema == rows.schema
    assert back["label"].to_list() == [name or None for name in rows["label"]]
    np.testing.assert_array_equal(back["variable"].to_numpy(), rows["variable"].cast(pl.Float32).to_numpy())


def test_columns_are_told_by_either_table(ways: Any) -> None:
    assert Columns.of(to_pandas(ways.table(1))) == Columns.of(ways.table(1))
    assert Columns.of(ways.table(1)).vocabulary == {"label": ["x", "y", "ü"], "void": []}
