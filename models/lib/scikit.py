"""scikit-learn's estimators on their way to ONNX: which of them have one, and what of them the file sees otherwise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer

from models.lib.plugin import Misuse


def check(estimator: Any) -> None:
    """Refuse by name, before it is trained, what has no way to ONNX or one that gives another model."""
    from skl2onnx._supported_operators import sklearn_operator_name_map

    for each in parts(estimator):
        name = type(each).__name__
        if type(each) not in sklearn_operator_name_map:
            raise Misuse(f"{name} has no way to ONNX here: take an estimator that skl2onnx supports")
        if name.startswith("HistGradientBoosting") and not isinstance(each.categorical_features, str | None):
            raise Misuse(
                f"{name} with categorical_features is exported as another model: let an OrdinalEncoder or OneHotEncoder"
                " stand before it"
            )


def as_the_file_sees(pipeline: Any, places: dict[str, str]) -> Any:
    """A copy: null is the empty text, and a ColumnTransformer has its columns by the names of `places`."""
    fitted = copy.deepcopy(pipeline)
    for part in parts(fitted):
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


def parts(value: Any) -> Iterator[Any]:
    """An estimator of scikit-learn and those inside it, fitted ones included."""
    if isinstance(value, BaseEstimator):
        yield value
        value = list(vars(value).values())
    if isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from parts(each)


def _renamed(taken: Any, places: dict[str, str]) -> Any:
    """The columns of one part of a ColumnTransformer: one name, several, or places, which stay."""
    if isinstance(taken, str):
        return places[taken]
    return [places.get(each, each) for each in taken] if hasattr(taken, "__iter__") else taken


class _Null(float):
    """NaN among the categories of an encoder, which the file knows as the empty text."""

    def __str__(self) -> str:
        return ""


def make_attribute(key: str, value: Any, *more: Any) -> onnx.AttributeProto:
    """Protobuf 7 takes no Boolean for a number, which skl2onnx hands over."""
    if isinstance(value, list):
        value = [int(each) if type(each).__name__.startswith("bool") else each for each in value]
    return _MAKE_ATTRIBUTE(key, value, *more)


_MAKE_ATTRIBUTE = helper.make_attribute
