"""A number: the file gives the expected value of the target, in its unit."""
# ruff: noqa: ARG002 - what one task asks for the others may leave

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.lib import config, limits, metrics
from models.lib.limits import AtLeast, AtMost, Gate, LargeAtMost, Share
from models.lib.tasks import task
from models.lib.tasks.task import BINS, Counts, Floats, Metric

if TYPE_CHECKING:
    import polars as pl

NOTICED = 0.1  # standard deviations of the outcome by which a prediction has to move to be noticed


class Baseline(Gate):
    """What a first release, without a champion, is compared with, beside the mean."""

    rmse: float | None = None


class Shift(Gate):
    """What may change for callers without a word: beyond it `serving.shift` says that it is meant, and why."""

    predictions: Share = 0.5  # that move by more than a tenth of the outcome's standard deviation
    mean: float = Field(default=0.1, ge=0)  # standard deviations by which the mean prediction may move


class Gates(limits.Gates):
    rmse: AtMost
    mae: AtMost
    r2: AtLeast
    slice_rmse: LargeAtMost
    baseline: Baseline
    shift: Shift = Shift()


class Settings(config.Model):
    gates: Gates


class Behaviour(task.Task):
    metrics: ClassVar[Mapping[str, Metric]] = {"rmse": metrics.rmse, "mae": metrics.mae, "r2": metrics.r2}
    higher = frozenset({"r2"})
    main, proper, scale = "rmse", "rmse", "r2"
    output, field = "prediction", "predictions"
    trivial_title = "the mean"
    level_title, moved_title = "mean", "predictions that move"
    answered_title = "mean prediction"
    described = "Expected {target}, one a row in the order sent."
    bounds = (None, None)
    kept = ("edges", BINS)
    nothing = 0.0
    model: Settings

    def column(self) -> pl.Expr:
        import polars as pl

        return pl.col(self.model.target.column).cast(pl.Float64).alias("target")

    def check_target(self, kind: Any, where: str) -> None:
        if not kind.is_numeric():
            task.refuse_target(f"{where}.column", f"{self.model.target.column!r} is {kind}, not a number")

    def in_range(self, values: Floats) -> bool:
        return bool(values.ndim == 1 and np.isfinite(values).all())

    def edges(self, values: Callable[[], Any]) -> list[float]:
        return task.quantiles(values(), BINS)

    def bins(self, values: Floats, edges: list[float] | None) -> NDArray[np.int64]:
        chosen = self.edges(lambda: values) if edges is None else edges
        return np.searchsorted(np.asarray(chosen), values, side="right").astype(np.int64)

    def shown(self, level: float | None) -> str:
        return "" if level is None else f"{level:.4g}" if abs(level) < 10_000 else f"{level:,.0f}"

    def trivial(self, target: Floats) -> float:
        return float(target.std())

    def chance(self, evaluation: dict[str, Any]) -> float:
        return float(evaluation["trivial"])

    def figures(self, target: Floats, values: Floats, counts: Counts) -> dict[str, Any]:
        """Mean outcome by tenth of the prediction, and how far predictions are off."""
        bins = metrics.reliability(self.bins(values, None), values, target)
        error = values - target
        low, high = np.quantile(error, [0.005, 0.995])
        edges = np.linspace(low, high if high > low else low + 1, 41)
        counted = {"name": "rows", "y": np.histogram(error, edges)[0].tolist()}
        shown = [metrics.rounded(each, np.ptp(edges)) for each in edges]
        charts = [
            metrics.reliability_chart(bins, "mean prediction of the tenth", "mean outcome", None),
            metrics.chart("Errors", "steps", ["prediction minus outcome", "rows"], edges=shown, series=[counted]),
        ]
        return {"reliability": bins, "charts": charts}

    def shift(self, before: Floats, now: Floats, target: Floats, served: Mapping[str, Any]) -> tuple[Any, Floats]:
        return np.abs(now - before) > NOTICED * target.std(), np.stack([before, now])

    def judge_shift(self, gate: Shift, moved: float, levels: list[float], spread: float) -> tuple[str, str, bool]:
        by = (levels[1] - levels[0]) / (spread or math.nan)  # which is within nothing
        limit = f"at most {gate.predictions:.0%} of predictions move, their mean by {gate.mean:g} standard deviations"
        value = f"{moved:.1%} of predictions move, their mean by {by:+.3f}"
        return limit, value, moved <= gate.predictions and abs(by) <= gate.mean
