"""Candidate against champion on the same rows: the difference of their ROC AUC with a paired interval."""

from __future__ import annotations

import numpy as np

from models import config, metrics, scoring


def compare(model: config.Model, champion: bytes) -> dict[str, float | None]:
    """ROC AUC of the candidate minus that of the champion's ONNX bytes, with its 95 % paired bootstrap interval.

    The champion reads its own inputs from the dataset, so the two may have different features.
    """
    from data_schemas import tables

    table = tables.read(model.dataset, model.windows.test.months())
    target = (table[model.target.column] > model.target.above).to_numpy().astype(np.float64)
    counts = metrics.resamples(table.height)
    candidate, before = (
        metrics.roc_auc(target, scoring.scores(scoring.session(source), table), counts)
        for source in (model.onnx, champion)
    )
    return metrics.interval(candidate - before)
