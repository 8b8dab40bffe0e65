"""A yes or no: the file gives the calibrated probability of a yes, and a threshold makes a label of it."""
# ruff: noqa: ARG002 - what one task asks for the others may leave

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.lib import config, limits, metrics, settings
from models.lib.limits import AtLeast, AtMost, Gate, LargeAtLeast, Share
from models.lib.tasks import task
from models.lib.tasks.task import BINS, Counts, Floats, Metric

if TYPE_CHECKING:
    import polars as pl


class Target(config.Target):
    """A row is positive when `column` is greater than `above` (in its unit), or `equals` a value, or is true."""

    above: float | None = None
    equals: str | bool | int | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Target:
        if self.above is not None and self.equals is not None:
            raise ValueError("give `above` or `equals`, not both")
        return self


class Baseline(Gate):
    """What a first release, without a champion, is compared with."""

    roc_auc: float | None = None


class Shift(limits.LabelShift):
    positives: float = Field(default=1.5, ge=1)  # times as many, or as few, rows labelled positive


class Gates(limits.Gates):
    roc_auc: AtLeast
    log_loss: AtMost
    brier: AtMost
    calibration_error: AtMost
    slice_roc_auc: LargeAtLeast
    baseline: Baseline
    shift: Shift = Shift()


class Serving(settings.Serving):
    threshold: Share  # scores at or above it are labelled positive


class Settings(config.Model):
    target: Target
    gates: Gates
    serving: Serving


class Behaviour(task.Task):
    metrics: ClassVar[Mapping[str, Metric]] = {
        "roc_auc": metrics.roc_auc,
        "log_loss": metrics.log_loss,
        "brier": metrics.brier,
        "calibration_error": metrics.calibration_error,
    }
    higher = frozenset({"roc_auc"})
    main, proper, scale = "roc_auc", "log_loss", "roc_auc"
    output, field = "score", "scores"
    trivial_title = "base rate"
    level_title, moved_title = "positive", "labels that change"
    answered_title = "labelled positive"
    described = "Calibrated probability of a positive, one a row in the order sent."
    fixed_edges: ClassVar[list[float]] = [place / BINS for place in range(1, BINS)]
    kept = ("fine", 20)  # in which outcomes are counted: ROC AUC of them is within 0.002 of that of the scores
    nothing = 0.5
    model: Settings

    def column(self) -> pl.Expr:
        import polars as pl

        target = self.model.target
        column = pl.col(target.column)
        if target.above is not None:
            column = column > target.above
        elif target.equals is not None:
            column = column == target.equals
        return column.cast(pl.Int8).alias("target")

    def check_target(self, kind: Any, where: str) -> None:
        import polars as pl

        target = self.model.target
        if target.above is not None and not kind.is_numeric():
            fix = "leave `above` out" if kind == pl.Boolean else "use `equals`"
            task.refuse_target(f"{where}.above", f"{target.column!r} is {kind}, not a number; {fix}")
        if target.equals is not None:
            fits = {str: kind == pl.String, bool: kind == pl.Boolean, int: kind.is_integer()}[type(target.equals)]
            if not fits:
                task.refuse_target(f"{where}.equals", f"{target.column!r} is {kind}; give a value of that type")
        elif target.above is None and kind != pl.Boolean:
            task.refuse_target(where, f"{target.column!r} is {kind}, not Boolean; add `above` or `equals`")

    def in_range(self, values: Floats) -> bool:
        return bool(values.ndim == 1 and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1)

    def bins(self, values: Floats, edges: list[float] | None) -> NDArray[np.int64]:
        return metrics.score_bin(values)

    def trivial(self, target: Floats) -> float:
        rate = float(target.mean())
        return -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)

    def figures(self, target: Floats, values: Floats, counts: Counts) -> dict[str, Any]:
        """Reliability by bin, the ROC curve at 101 false positive rates and the score histogram of each outcome."""
        bins = metrics.reliability(self.bins(values, None), values, target)
        order = np.argsort(-values, kind="stable")
        hits = np.r_[0, np.cumsum(target[order])] / max(target.sum(), 1)
        alarms = np.r_[0, np.cumsum(1 - target[order])] / max((1 - target).sum(), 1)
        grid, edges = np.linspace(0, 1, 101).round(2), np.linspace(0, 1, 41).round(3)
        chance = {"name": "chance", "x": [0, 1], "y": [0, 1]}
        model = {"name": "model", "x": grid.tolist(), "y": np.interp(grid, alarms, hits).round(4).tolist()}
        axes = ["false positive rate", "true positive rate"]
        counted = [np.histogram(values[target == outcome], edges)[0].tolist() for outcome in (0, 1)]
        named = [{"name": "negative", "y": counted[0]}, {"name": "positive", "y": counted[1]}]
        charts = [
            metrics.reliability_chart(bins, "mean score of the bin", "share positive", [0.0, 1.0]),
            metrics.chart("ROC curve", "lines", axes, limits=[0, 1], series=[chance, model]),
            metrics.chart("Scores by outcome", "steps", ["score", "rows"], edges=edges.tolist(), series=named),
        ]
        return {"reliability": bins, "charts": charts}

    def shift(self, before: Floats, now: Floats, target: Floats, served: Mapping[str, Any]) -> tuple[Any, Floats]:
        ours = self.model.serving.threshold
        old, new = before >= served.get("threshold", ours), now >= ours
        return old != new, np.stack([old, new]).astype(np.float64)

    def judge_shift(self, gate: Shift, moved: float, levels: list[float], spread: float) -> tuple[str, str, bool]:
        before, now = levels
        times = now / before if before else math.inf if now else 1.0
        limit = f"at most {gate.labels:.0%} of labels change, positives {gate.positives:g} times as many or as few"
        value = f"{moved:.1%} of labels change, positives {times:.2f} times as many"
        return limit, value, moved <= gate.labels and 1 / gate.positives <= times <= gate.positives
