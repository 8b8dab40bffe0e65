"""LightGBM and XGBoost: what a class `Model` of network.py inherits. Its `fit` ends in `cls.fitted(...)`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.base import clone

from models.lib import onnx_front
from models.lib.columns import Columns, to_polars
from models.lib.frameworks.exportable import answer, try_export


class BoosterModel:
    """LightGBM or XGBoost, fitted to `Columns.matrix`: ids of names, then numbers, NaN where missing."""

    def __init__(self, columns: Columns, booster: Any) -> None:
        self.columns, self.booster = columns, booster  # LightGBM's Booster, or XGBoost's scikit-learn class

    @classmethod
    def fitted(cls, estimator: Any, train: Any, valid: Any = None, **options: Any) -> Self:
        """Fit LGBMClassifier, XGBRegressor, ... to a table with `target`; one thread gives the same bytes everywhere.

        `valid` is what it may stop early by. `options` are those of its fit. What has no way to ONNX is refused before.
        """
        columns = Columns.of(train)
        estimator.set_params(n_jobs=1)
        if not _xgboost(estimator):  # which otherwise chooses between rows and columns by the clock
            by_column = bool(estimator.get_params().get("force_col_wise"))
            estimator.set_params(deterministic=True, force_col_wise=by_column, force_row_wise=not by_column)
        short = {"n_estimators": 3} | ({"early_stopping_rounds": None} if _xgboost(estimator) else {})
        few = clone(estimator).set_params(**short)
        try_export(lambda rows: cls(columns, _read(_written(cls._fit(few, columns, rows)))), train)
        if valid is not None:
            rows, target = columns.matrix(valid), to_polars(valid)["target"].to_numpy()
            if _xgboost(estimator):
                options |= {"eval_set": [(rows, target)], "verbose": False}
            else:
                options |= {"eval_X": rows, "eval_y": target}
        return cls(columns, _read(_written(cls._fit(estimator, columns, train, **options))))

    @classmethod
    def _fit(cls, estimator: Any, columns: Columns, table: Any, **options: Any) -> Any:
        return estimator.fit(columns.matrix(table), to_polars(table)["target"].to_numpy(), **options)

    def predict(self, table: Any) -> NDArray[np.float32]:
        return answer(self.booster, self.columns.matrix(table))

    def save(self, folder: Path) -> None:
        self.columns.save(folder, framework="xgboost" if _xgboost(self.booster) else "lightgbm")
        (folder / f"booster.{'json' if _xgboost(self.booster) else 'txt'}").write_bytes(_written(self.booster))

    @classmethod
    def load(cls, folder: Path) -> Self:
        (path,) = folder.glob("booster.*")
        return cls(Columns.load(folder)[0], _read(path.read_bytes()))

    def to_onnx(self) -> onnx.ModelProto:
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        convert = onnxmltools.convert_xgboost if _xgboost(self.booster) else onnxmltools.convert_lightgbm
        types = [("matrix", FloatTensorType([None, len(self.columns.kinds)]))]
        options = {} if _xgboost(self.booster) else {"zipmap": False}
        core = convert(self.booster, initial_types=types, target_opset=15, **options)
        if any(each.domain == "" for each in core.opset_import):
            core = onnx.version_converter.convert_version(core, onnx_front.OPSETS[0].version)
        return onnx_front.attach(onnx_front.only_output(core), self.columns.kinds, self.columns.vocabulary)


def _xgboost(model: Any) -> bool:
    return type(model).__module__.startswith("xgboost")


def _written(model: Any) -> bytes:
    """The booster up to its best iteration."""
    if not _xgboost(model):
        return bytes(getattr(model, "booster_", model).model_to_string().encode())
    booster, best = model.get_booster(), getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
    return bytes((booster if best is None else booster[: best + 1]).save_raw("json"))


def _read(content: bytes) -> Any:
    if not content.startswith(b"{"):
        import lightgbm

        return lightgbm.Booster(model_str=content.decode())
    import xgboost

    objective = json.loads(content)["learner"]["objective"]["name"]
    kind = xgboost.XGBClassifier if objective.startswith(("binary:", "multi:")) else xgboost.XGBRegressor
    model = kind(n_jobs=1)
    model.load_model(bytearray(content))
    return model
