"""A scikit-learn pipeline for any task: names one-hot, missing numbers filled in, then gradient boosted trees.

The columns, files and the way to ONNX are those of SklearnModel: what is to be changed here is the pipeline.
"""

from __future__ import annotations

from typing import Any, Self

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from models.lib.frameworks.sklearn import SklearnModel


class Model(SklearnModel):
    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Self:
        """Tables of pandas. Classes come as whole numbers, amounts as floats."""
        del valid  # nothing is stopped early
        columns = train.drop(columns="target")
        names = [name for name in columns if columns[name].dtype == object]
        numbers = [name for name in columns if name not in names]
        encoder = OneHotEncoder(handle_unknown="ignore", max_categories=params["categories"], sparse_output=False)
        front = ColumnTransformer([("names", encoder, names), ("numbers", SimpleImputer(), numbers)])
        classes = train["target"].dtype.kind == "i"
        trees = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
            max_iter=params["trees"], learning_rate=params["learning_rate"], random_state=params["seed"]
        )
        return cls.fitted(make_pipeline(front, trees), train)
