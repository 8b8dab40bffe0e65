"""A pipeline of scikit-learn over tables of pandas: names one-hot, numbers filled and scaled, a logistic regression."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from models.lib.frameworks.sklearn import SklearnModel


class Model(SklearnModel):
    @classmethod
    def fit(cls, train: pd.DataFrame, valid: pd.DataFrame, params: dict[str, Any]) -> Model:
        names = make_column_selector(dtype_include=object)
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), names),
            (
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                make_column_selector(dtype_include="number"),
            ),
        )
        assert len(valid)  # nothing is stopped early or calibrated
        return cls.fitted(make_pipeline(columns, LogisticRegression(**params)), train)
