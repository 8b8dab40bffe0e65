"""scikit-learn: what a class `Model` of network.py inherits. Its `fit` ends in `cls.fitted(estimator, train)`."""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from unittest import mock

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from skops import io as skops

from models.lib import onnx_front
from models.lib.columns import Columns, Kind, to_pandas
from models.lib.frameworks.exportable import answer, try_export
from models.lib.plugin import Misuse
from repo.lib.refusal import Refusal

TRUSTED = ("sklearn.", "numpy.", "scipy.", "builtins.object")  # of types that skops may make again
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')  # of an object, in what skops writes


class SklearnModel:
    """A classifier or regressor of scikit-learn, mostly a Pipeline that begins with a ColumnTransformer."""

    def __init__(self, columns: Columns, estimator: Any) -> None:
        self.columns, self.estimator = columns, estimator

    @classmethod
    def fitted(cls, estimator: Any, train: Any, **options: Any) -> Self:
        """Fit to a table with `target`; what has no way to ONNX is refused before. `options` are those of its fit."""
        _check(estimator)
        columns = Columns.of(train)
        unseeded = (name for name, value in estimator.get_params().items() if value is None)
        estimator.set_params(**{name: 0 for name in unseeded if name.endswith("random_state")})
        try_export(lambda rows: cls(columns, cls._fit(clone(estimator), columns, rows)), train)
        return cls(columns, cls._fit(estimator, columns, train, **options))

    @classmethod
    def _fit(cls, estimator: Any, columns: Columns, table: Any, **options: Any) -> Any:
        table = to_pandas(table)
        return estimator.fit(table[list(columns.kinds)], table["target"], **options)

    def predict(self, table: Any) -> NDArray[np.float32]:
        return answer(self.estimator, to_pandas(table)[list(self.columns.kinds)])

    def save(self, folder: Path) -> None:
        self.columns.save(folder)
        (folder / "estimator.skops").write_bytes(_skops(self.estimator))

    @classmethod
    def load(cls, folder: Path) -> Self:
        path = folder / "estimator.skops"
        types = skops.get_untrusted_types(file=path)
        if unknown := [each for each in types if not each.startswith(TRUSTED)]:
            raise Refusal(f"{path}: holds a {unknown[0]}, which is no part of scikit-learn; train the model again.")
        return cls(Columns.load(folder)[0], skops.load(path, trusted=types))

    def to_onnx(self) -> onnx.ModelProto:
        return _export(self.estimator, self.columns.kinds)


def _skops(estimator: Any) -> bytes:
    """What skops writes, but with objects numbered in their order, not by address, and without the time of day."""
    with zipfile.ZipFile(io.BytesIO(skops.dumps(estimator))) as made:
        files = {each: made.read(each) for each in made.namelist()}
    known: dict[str, str] = {}
    schema = ADDRESS.sub(lambda found: known.setdefault(found[0], str(len(known))), files.pop("schema.json").decode())
    with zipfile.ZipFile(written := io.BytesIO(), "w") as archive:
        for number, path in sorted((int(known[path.split(".")[0]]), path) for path in files):
            content = _without_gaps(files[path]) if path.endswith(".npy") else files[path]
            archive.writestr(zipfile.ZipInfo(f"{number}.{path.split('.')[1]}"), content)
        archive.writestr(zipfile.ZipInfo("schema.json"), json.dumps(json.loads(schema), separators=(",", ":")))
    return written.getvalue()


def _without_gaps(stored: bytes) -> bytes:
    """An array as it is; between the fields of a structured one, a tree's nodes, lies whatever was in memory."""
    array = np.load(io.BytesIO(stored))
    if array.dtype.names is None:
        return stored
    clean = np.zeros(array.shape, array.dtype)  # zeros_like would leave the gaps
    for name in array.dtype.names:
        clean[name] = array[name]
    np.save(written := io.BytesIO(), clean)
    return written.getvalue()


def _export(pipeline: Any, columns: dict[str, Kind]) -> onnx.ModelProto:
    """The file of a fitted classifier or regressor: a ColumnTransformer first, or columns of one kind."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    places = {name: f"column_{place}" for place, name in enumerate(columns)}  # no converter calls a tensor so
    if not any(isinstance(each, ColumnTransformer) for each in _parts(pipeline)):
        if "string" in columns.values() and len(set(columns.values())) > 1:
            raise Misuse("text and numbers go different ways: let the pipeline begin with a ColumnTransformer")
        front = ColumnTransformer([("all", "passthrough", list(columns))])
        pipeline = make_pipeline(front.fit(pd.DataFrame({name: [0] for name in columns})), pipeline)
    fitted = _as_the_file_sees(pipeline, places)
    with mock.patch.object(helper, "make_attribute", _make_attribute):
        core = convert_sklearn(
            fitted,
            "model",
            [
                (places[name], (StringTensorType if kind == "string" else FloatTensorType)([None, 1]))
                for name, kind in columns.items()
            ],
            target_opset={each.domain: each.version for each in onnx_front.OPSETS},
            options={"zipmap": False} if is_classifier(fitted) else None,
        )
    core = onnx.compose.add_prefix(onnx_front.only_output(core), "core/", rename_outputs=False)
    nodes, taken = [], {each.name for each in core.graph.input}
    for name, kind in columns.items():
        flat = f"{name}/float" if kind == "integer" else name
        if kind == "integer":
            nodes.append(helper.make_node("Cast", [name], [flat], to=TensorProto.FLOAT))
        if (wide := f"core/{places[name]}") in taken:
            nodes.append(helper.make_node("Reshape", [flat, "column/shape"], [wide]))
    return onnx_front.join(nodes, {"column/shape": [-1, 1]}, core, columns)


def _check(estimator: Any) -> None:
    """Refuse by name, before it is trained, what has no way to ONNX or one that gives another model."""
    from skl2onnx._supported_operators import sklearn_operator_name_map

    for each in _parts(estimator):
        name = type(each).__name__
        if type(each) not in sklearn_operator_name_map:
            raise Misuse(f"{name} has no way to ONNX here: take an estimator that skl2onnx supports")
        if name.startswith("HistGradientBoosting") and not isinstance(each.categorical_features, str | None):
            raise Misuse(
                f"{name} with categorical_features is exported as another model: let an OrdinalEncoder or OneHotEncoder"
                " stand before it"
            )


def _as_the_file_sees(pipeline: Any, places: dict[str, str]) -> Any:
    """A copy: null is the empty text, and a ColumnTransformer has its columns by the names of `places`."""
    fitted = copy.deepcopy(pipeline)
    for part in _parts(fitted):
        for values in getattr(part, "categories_", []):
            if values.dtype.kind == "O":
                values[:] = [value if isinstance(value, str | int) else _Null("nan") for value in values]
        filled = getattr(part, "statistics_", np.zeros(0))
        if any(value != value for value in filled):
            raise Misuse(f"{type(part).__name__} drops a column without a value: set keep_empty_features=True")
        if filled.dtype.kind == "O":
            part.missing_values = ""
        if isinstance(part, ColumnTransformer):
            part.transformers_ = [(name, what, _renamed(taken, places)) for name, what, taken in part.transformers_]
    return fitted


def _parts(value: Any) -> Iterator[Any]:
    """An estimator of scikit-learn and those inside it, fitted ones included."""
    if isinstance(value, BaseEstimator):
        yield value
        value = list(vars(value).values())
    if isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _parts(each)


def _renamed(taken: Any, places: dict[str, str]) -> Any:
    """The columns of one part of a ColumnTransformer: one name, several, or places, which stay."""
    if isinstance(taken, str):
        return places[taken]
    return [places.get(each, each) for each in taken] if hasattr(taken, "__iter__") else taken


class _Null(float):
    """NaN among the categories of an encoder, which the file knows as the empty text."""

    def __str__(self) -> str:
        return ""


def _make_attribute(key: str, value: Any, *more: Any) -> onnx.AttributeProto:
    """Protobuf 7 takes no Boolean for a number, which skl2onnx hands over."""
    if isinstance(value, list):
        value = [int(each) if type(each).__name__.startswith("bool") else each for each in value]
    return _MAKE_ATTRIBUTE(key, value, *more)


_MAKE_ATTRIBUTE = helper.make_attribute
