"""Gradient boosted trees by LightGBM, stopped where the validation rows no longer gain."""

from __future__ import annotations

from typing import Any, ClassVar

import lightgbm

from models.lib.frameworks.boosters import BoostedModel


class Model(BoostedModel):
    # What the target is like: two values or a few classes, as whole numbers from 0, or an amount.
    KINDS: ClassVar[dict[bool, Any]] = {True: lightgbm.LGBMClassifier, False: lightgbm.LGBMRegressor}

    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Model:
        """On one thread, seeded: the same bytes every time."""
        estimator = cls.KINDS[train.schema["target"].is_integer()](
            n_estimators=params["trees"],
            num_leaves=params["leaves"],
            learning_rate=params["learning_rate"],
            random_state=params["seed"],
            deterministic=True,
            n_jobs=1,
            verbose=-1,
        )
        return cls.fitted(estimator, train, valid, patience=params["patience"])
