"""The arrival delay model: gradient boosted trees by LightGBM, stopped where the validation month no longer gains.

    python -m models train arrival_delay

A flight that comes five hours late says little of the next one and, squared, drowns all others: trees learn from delays
of at most `longest` minutes, and are judged on all of them.
"""

from __future__ import annotations

from typing import Any, Self

import lightgbm
import polars as pl

from models.lib.frameworks.boosters import BoosterModel


class Model(BoosterModel):
    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Self:
        """Seeded, on one thread: the same bytes every time."""
        estimator = lightgbm.LGBMRegressor(
            n_estimators=params["trees"],
            num_leaves=params["leaves"],
            min_child_samples=params["least"],
            learning_rate=params["learning_rate"],
            random_state=params["seed"],
            verbose=-1,
        )
        capped = train.with_columns(pl.col("target").clip(upper_bound=params["longest"]))
        stop = lightgbm.early_stopping(params["patience"], verbose=False)
        return cls.fitted(estimator, capped, valid, callbacks=[stop])
