"""Boosted trees of XGBoost, stopped early; its objective follows from the target."""

from __future__ import annotations

from typing import Any

from xgboost import XGBClassifier

from models.lib.frameworks.boosters import BoosterModel


class Model(BoosterModel):
    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Model:
        return cls.fitted(XGBClassifier(early_stopping_rounds=5, **params), train, valid)
