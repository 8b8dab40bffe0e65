"""Every way to ONNX: raw columns in, the task's output, the model's answers, the same bytes twice."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import polars as pl
import pytest
import torch
import xgboost
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from models import export
from models.lib import onnx_front, scoring
from models.lib.columns import Columns, to_pandas, to_polars
from models.lib.frameworks.boosters import BoosterModel
from models.lib.frameworks.sklearn import SklearnModel
from models.lib.onnx_order import canonical
from models.lib.plugin import Misuse
from tests.support.repository import ROOT

ROWS = 400
NAMES, NUMBERS = ["label", "void"], ["day", "variable", "concat_result"]  # as converters call tensors of their own
OUTPUTS = {"binary": ("score", 1), "multiclass": ("probabilities", 2), "regression": ("prediction", 1)}
KERAS = {"seed": 7, "hidden": 4, "learning_rate": 0.01, "batch": 64, "max_epochs": 2}
TENSORFLOW, LOCK = ROOT / "tests/build/tensorflow", "tests/frameworks/specimen_keras/tensorflow.txt"


def table(seed: int, task: str = "binary") -> pl.DataFrame:
    """Text with gaps, text that is null throughout, whole numbers, numbers with gaps, and a target of all of these."""
    random = np.random.default_rng(seed)
    label = [None if random.random() < 0.05 else str(name) for name in random.choice(["x", "y", "ü"], ROWS)]
    day, variable = random.integers(1, 8, ROWS), random.normal(size=ROWS).astype(np.float32)
    value = day / 4 + variable + np.array([name == "x" for name in label]) + random.normal(size=ROWS)
    found = {"binary": value > 1.5, "multiclass": np.digitize(value, [0.5, 1.5]), "regression": value}[task]
    return pl.DataFrame(
        {
            "label": pl.Series(label, dtype=pl.String),
            "void": pl.Series([None] * ROWS, dtype=pl.String),
            "day": day,
            "variable": pl.Series(variable, dtype=pl.Float64).set(pl.arange(0, ROWS, eager=True) % 15 == 0, None),
            "concat_result": random.normal(size=ROWS),
            "target": found.astype(np.float64) if task == "regression" else found.astype(np.int64),
        }
    )


def unseen(seed: int = 9) -> pl.DataFrame:
    """Rows of another day: names that training never saw, also where it saw null only, and empty text."""
    place = pl.int_range(pl.len())
    label = pl.when(place % 7 == 0).then(pl.lit("日本")).when(place % 7 == 1).then(pl.lit("")).otherwise("label")
    void = pl.when(place % 5 == 0).then(pl.lit("now")).otherwise("void")
    return table(seed).drop("target").with_columns(label.alias("label"), void.alias("void"))


def one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore")


def linear(last: Any) -> Any:
    """Of one kind after the other: names that may be null, names filled in, whole numbers beside others."""
    filled = make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot())
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(make_column_transformer((one_hot(), NAMES), (filled, ["label"]), (numbers, NUMBERS)), last)


def trees(last: Any) -> Any:
    ids = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return make_pipeline(make_column_transformer((ids, NAMES), (SimpleImputer(strategy="median"), NUMBERS)), last)


def sklearn(make: Callable[[], Any], only: list[str] | None = None) -> Callable[[pl.DataFrame, pl.DataFrame], Any]:
    return lambda train, _: SklearnModel.fitted(make(), train.select([*(only or NAMES + NUMBERS), "target"]))


def booster(kind: Any, *drop: str, early: bool = True, **options: Any) -> Callable[[pl.DataFrame, pl.DataFrame], Any]:
    settings: dict[str, Any] = {"n_estimators": 12}
    if kind.__module__.startswith("xgboost"):
        settings |= {"early_stopping_rounds": 2} if early else {}
    else:
        settings |= {"verbosity": -1}
        options |= {"callbacks": [lightgbm.early_stopping(2, verbose=False)]} if early else {}

    def fit(train: pl.DataFrame, valid: pl.DataFrame) -> Any:
        return BoosterModel.fitted(kind(**settings), train.drop(drop), valid.drop(drop) if early else None, **options)

    return fit


def specimen(name: str, **params: Any) -> Callable[[pl.DataFrame, pl.DataFrame], Any]:
    return lambda train, valid: network(name).fit(train, valid, params)


def network(name: str) -> Any:
    return importlib.import_module(f"tests.frameworks.specimen_{name}.network").Model


WAYS: dict[str, tuple[str, Callable[[pl.DataFrame, pl.DataFrame], Any]]] = {
    "sklearn": ("binary", sklearn(lambda: linear(LogisticRegression()))),
    "sklearn, classes": ("multiclass", sklearn(lambda: linear(LogisticRegression()))),
    "sklearn, regression": ("regression", sklearn(lambda: linear(LinearRegression()))),
    "forest": ("multiclass", sklearn(lambda: trees(RandomForestClassifier(n_estimators=5)))),
    "histogram": ("binary", sklearn(lambda: trees(HistGradientBoostingClassifier(max_iter=5)))),
    "histogram alone": ("regression", sklearn(lambda: HistGradientBoostingRegressor(max_iter=5), NUMBERS)),
    "text alone": ("binary", sklearn(lambda: make_pipeline(one_hot(), LogisticRegression()), NAMES)),
    "whole numbers as names": (
        "binary",
        sklearn(
            lambda: make_pipeline(make_column_transformer((one_hot(), ["label", "day"])), LogisticRegression()),
        ),
    ),
    "lightgbm": ("binary", booster(lightgbm.LGBMClassifier)),
    "lightgbm, classes": ("multiclass", booster(lightgbm.LGBMClassifier, early=False, categorical_feature=[0, 1])),
    "lightgbm, regression": ("regression", booster(lightgbm.LGBMRegressor, *NAMES)),
    "xgboost": ("binary", booster(xgboost.XGBClassifier)),
    "specimen_sklearn": ("binary", specimen("sklearn", C=0.5)),
    "specimen_xgboost": ("multiclass", specimen("xgboost", n_estimators=12)),
    "xgboost, classes": ("multiclass", booster(xgboost.XGBClassifier)),
    "xgboost, regression": ("regression", booster(xgboost.XGBRegressor, *NUMBERS, early=False)),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_file_answers_like_the_model(way: str, tmp_path: Path) -> None:
    task, fit = WAYS[way]
    prove(lambda: fit(table(1, task), table(2, task)), task, tmp_path)


def prove(fit: Callable[[], Any], task: str, folder: Path) -> bytes:
    """Gives the file's bytes; weights and file are the same of a second training."""
    models = [fit(), fit()]
    for name, model in zip("ab", models, strict=True):
        (folder / name).mkdir(parents=True)
        model.save(folder / name)
    assert len(list((folder / "a").iterdir())) == 2
    for path in (folder / "a").iterdir():
        assert path.read_bytes() == (folder / "b" / path.name).read_bytes()
    model = models[0]
    rows = unseen().select(list(model.columns.kinds))
    expected = model.predict(rows)
    again = type(model).load(folder / "a")
    np.testing.assert_array_equal(again.predict(to_pandas(rows)), expected)

    graph = export.strip(model.to_onnx())
    onnx.checker.check_model(graph, full_check=True)
    content = graph.SerializeToString(deterministic=True)
    assert export.strip(again.to_onnx()).SerializeToString(deterministic=True) == content
    assert sorted((each.domain, each.version) for each in graph.opset_import) == [("", 20), ("ai.onnx.ml", 3)]
    runtime = scoring.session(content)
    name, rank = OUTPUTS[task]
    assert [(each.name, each.type, len(each.shape)) for each in runtime.get_outputs()] == [
        (name, "tensor(float)", rank)
    ]
    assert [(each.name, each.shape) for each in runtime.get_inputs()] == [(each, ["rows"]) for each in rows.columns]
    answer = runtime.run(None, scoring.feed(runtime, rows))[0]
    assert answer.shape == expected.shape == ((ROWS,) if rank == 1 else (ROWS, 3))
    assert expected.dtype == np.float32
    assert len(np.unique(answer)) > 3  # no constant
    np.testing.assert_allclose(answer, expected, atol=1e-5, rtol=1e-5)
    return bytes(content)


class Sum(torch.nn.Module):
    """Adds up what it is given, and 1."""

    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.bias, self.wide = torch.nn.Parameter(torch.ones(1)), wide

    def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        total = ids.sum(1).float() + torch.nan_to_num(numbers).sum(1) + self.bias
        return torch.stack([total, -total], dim=1) if self.wide else total


@pytest.mark.parametrize(
    ("names", "output"),
    [(NAMES + NUMBERS, "score"), (NUMBERS, "prediction"), (NAMES, "probabilities"), (["void"], "prediction")],
)
def test_torch_is_handed_ids_and_numbers_also_where_there_are_none(names: list[str], output: str) -> None:
    columns, rows = Columns.of(table(1).select(names)), unseen().select(names)
    network = Sum(output == "probabilities")
    graph = onnx_front.from_torch(network, columns.kinds, columns.vocabulary, output)
    onnx.checker.check_model(export.strip(graph), full_check=True)
    runtime = scoring.session(graph.SerializeToString())
    expected = network(torch.from_numpy(columns.ids(rows)), torch.from_numpy(columns.floats(rows))).detach().numpy()
    found = runtime.run([output], scoring.feed(runtime, rows))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: make_pipeline(
                make_column_transformer((make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot()), NAMES)),
                LogisticRegression(),
            ),
            "^SimpleImputer drops a column without a value: set keep_empty_features=True",
        ),
        (
            lambda: trees(HistGradientBoostingClassifier(categorical_features=[0])),
            "^HistGradientBoostingClassifier with categorical_features is exported as another model",
        ),
        (lambda: linear(lightgbm.LGBMClassifier()), "^LGBMClassifier has no way to ONNX"),
        (lambda: make_pipeline(one_hot(), LogisticRegression()), "^text and numbers go different ways.*ColumnTransf"),
        (
            lambda: make_pipeline(make_column_transformer((OneHotEncoder(), ["label"])), LogisticRegression()),
            "^it cannot predict rows with names that training has not seen .*'never seen'",
        ),
        (
            lambda: make_pipeline(
                make_column_transformer((SimpleImputer(add_indicator=True), NUMBERS)), LogisticRegression()
            ),
            "^its ONNX file would answer otherwise by up to .*add_indicator",
        ),
    ],
    ids=["empty column", "histogram with categories", "no converter", "mixed", "unknown names", "another answer"],
)
def test_what_cannot_be_exported_is_refused_before_it_is_trained(make: Callable[[], Any], words: str) -> None:
    estimator = make()
    with pytest.raises(Misuse, match=words):
        SklearnModel.fitted(estimator, table(1))
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator[-1])


@pytest.mark.parametrize(
    "estimator",
    [lightgbm.LGBMRegressor(objective="mape", verbosity=-1), lightgbm.LGBMClassifier(linear_tree=True, verbosity=-1)],
    ids=["objective", "linear trees"],
)
def test_a_booster_that_cannot_be_exported_is_refused_before_it_is_trained(estimator: Any) -> None:
    with pytest.raises(Misuse, match=r"cannot be exported to ONNX .*mape|ONNX file would answer otherwise"):
        BoosterModel.fitted(estimator, table(1))
    assert not hasattr(estimator, "booster_")


@pytest.mark.slow
def test_keras_on_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    prove(lambda: network("keras").fit(table(1), table(2), KERAS), "binary", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not TENSORFLOW.is_dir(),
    reason=f"optional: TensorFlow by `uv pip install --require-hashes --target tests/build/tensorflow -r {LOCK}`",
)
def test_keras_on_tensorflow(tmp_path: Path) -> None:
    """In a process of its own, because Keras runs on one backend; twice, because its exporter counts through one."""
    script = (
        "import keras, sys; from pathlib import Path\n"
        "from tests.models.test_onnx_front import KERAS, network, prove, table\n"
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


def test_a_class_without_a_row_is_refused_before_it_is_trained() -> None:
    rows = table(1, "multiclass").filter(pl.col("target") != 1)
    for fit in (WAYS["sklearn, classes"][1], WAYS["lightgbm, classes"][1]):
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


def test_a_table_of_pandas_has_its_nulls_as_pandas_would() -> None:
    rows = unseen()
    found = to_pandas(rows)
    assert found.dtypes.astype(str).to_dict() == dict.fromkeys(NAMES, "object") | {
        "day": "int64",
        "variable": "float64",
        "concat_result": "float64",
    }
    blank = rows.select(pl.col(NAMES).is_null() | (pl.col(NAMES) == ""), pl.col("variable").is_null())
    assert [found[name].isna().sum() for name in blank.columns] == list(blank.sum().row(0))
    assert to_pandas(found) is found
    back = to_polars(found)
    assert back.schema == rows.schema
    assert back["label"].to_list() == [name or None for name in rows["label"]]
    np.testing.assert_array_equal(back["variable"].to_numpy(), rows["variable"].cast(pl.Float32).to_numpy())


def test_columns_are_told_by_either_table() -> None:
    assert Columns.of(to_pandas(table(1))) == Columns.of(table(1))
    assert Columns.of(table(1)).vocabulary == {"label": ["x", "y", "ü"], "void": []}
