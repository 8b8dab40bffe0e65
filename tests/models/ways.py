"""Models of every framework for test_onnx_front.py, apart from it because their imports take seconds."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import polars as pl
import torch
import xgboost
import yaml
from sklearn import ensemble as ensemble
from sklearn import linear_model
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from models import export
from models.lib import scoring
from models.lib.columns import FRAMES, to_pandas
from models.lib.frameworks.boosters import BoosterModel
from models.lib.frameworks.sklearn import SklearnModel
from tests.support.repository import ROOT

ROWS = 400
NAMES, NUMBERS = ["label", "void"], ["day", "variable", "concat_result"]  # as converters call tensors of their own
OUTPUTS = {"binary": ("score", 1), "multiclass": ("probabilities", 2), "regression": ("prediction", 1)}


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
            "target": found.astype({"regression": np.float64}.get(task, np.int64)),
        }
    )


def unseen() -> pl.DataFrame:
    """Rows of another day: names that training never saw, also where it saw null only, and empty text."""
    place = pl.int_range(pl.len())
    label = pl.when(place % 7 == 0).then(pl.lit("日本")).when(place % 7 == 1).then(pl.lit("")).otherwise("label")
    void = pl.when(place % 5 == 0).then(pl.lit("now")).otherwise("void")
    return table(9).drop("target").with_columns(label.alias("label"), void.alias("void"))


def one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore")


def filled() -> Any:
    return make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot())


def columns(*transformers: Any) -> Any:
    return make_pipeline(make_column_transformer(*transformers), linear_model.LogisticRegression())


def linear(last: Any) -> Any:
    """Of one kind after the other: names that may be null, names filled in, whole numbers beside others."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(make_column_transformer((one_hot(), NAMES), (filled(), ["label"]), (numbers, NUMBERS)), last)


def trees(last: Any) -> Any:
    ids = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return make_pipeline(make_column_transformer((ids, NAMES), (SimpleImputer(strategy="median"), NUMBERS)), last)


def fit(estimator: Any, train: pl.DataFrame, valid: pl.DataFrame | None = None, **options: Any) -> Any:
    if isinstance(estimator, lightgbm.LGBMModel | xgboost.XGBModel):
        estimator.set_params(n_estimators=12)
        return BoosterModel.fitted(estimator, train, valid, **options)
    return SklearnModel.fitted(estimator, train)


def template(like: str, train: pl.DataFrame, valid: pl.DataFrame) -> Any:
    """As `models new` copies it."""
    settings = yaml.safe_load((ROOT / "models/lib/templates" / like / "training.yaml").read_text())
    frame = FRAMES[settings.get("frame", "polars")]
    model = importlib.import_module(f"models.lib.templates.{like}.network").Model
    return model.fit(frame(train), frame(valid), settings["training"])


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
