"""Gradient boosted trees by LightGBM, for any task; stopped where the validation rows no longer gain.

The columns, files and the way to ONNX are those of BoosterModel: what is to be changed here is the model.
"""

from __future__ import annotations

from typing import Any, Self

import lightgbm

from models.lib.frameworks.boosters import BoosterModel


class Model(BoosterModel):
    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Self:
        """Classes come as whole numbers, amounts as floats. Seeded, on one thread: the same bytes every time."""
        classes = train.schema["target"].is_integer()
        estimator = (lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor)(
            n_estimators=params["trees"],
            num_leaves=params["leaves"],
            learning_rate=params["learning_rate"],
            random_state=params["seed"],
            verbose=-1,
        )
        stop = lightgbm.early_stopping(params["patience"], verbose=False)
        return cls.fitted(estimator, train, valid, callbacks=[stop])
