"""What is measured of scores, each as a vector over bootstrap resamples, so that every figure has an interval.

A resample is a vector of counts: how often each row was drawn. One matrix of them serves every metric, every slice and
both models of a comparison, which makes comparisons paired.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 400  # the 95 % bounds are then known to about a tenth of their distance from the value
BINS = 10  # calibration error and reliability curve
TITLES = {
    "roc_auc": "ROC AUC",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
}
DIGITS = 5  # of a figure that is recorded: after them machines differ by the last bit of a float32


def resamples(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Counts [1 + RESAMPLES, rows]; the first row is all ones: the sample itself."""
    generator = np.random.Generator(np.random.PCG64(seed))
    counts = np.ones((1 + RESAMPLES, rows), dtype=np.float32)
    for draw in range(1, 1 + RESAMPLES):
        counts[draw] = np.bincount(generator.integers(0, rows, rows), minlength=rows)
    return counts


def roc_auc(target: Floats, score: Floats, counts: NDArray[np.float32]) -> Floats:
    """Area under the ROC curve [draws]; NaN where a draw has one class only. Mann-Whitney, ties count half."""
    order = np.argsort(score, kind="stable")
    ranked, late = score[order], target[order] > 0
    # Of each positive: the first row that has its score, and the first that has a higher one.
    first, after = (np.searchsorted(ranked, ranked[late], side) for side in ("left", "right"))
    drawn = counts[:, order]
    positive = drawn[:, late]
    negative = np.zeros((len(drawn), len(order) + 1))  # how many stand before a row
    np.cumsum(np.where(late, np.float32(0), drawn), axis=1, out=negative[:, 1:])
    won = (positive * (negative[:, first] + negative[:, after])).sum(axis=1) / 2  # whole numbers: exact in any order
    pairs = positive.sum(axis=1, dtype=np.float64) * negative[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, won / pairs, np.nan)


def log_loss(target: Floats, score: Floats, counts: NDArray[np.float32]) -> Floats:
    """Mean negative log-likelihood in nats [draws]."""
    clipped = np.clip(score, 1e-7, 1 - 1e-7)
    return _mean(-(target * np.log(clipped) + (1 - target) * np.log1p(-clipped)), counts)


def brier(target: Floats, score: Floats, counts: NDArray[np.float32]) -> Floats:
    """Mean squared difference of score and outcome [draws]."""
    return _mean((score - target) ** 2, counts)


def calibration_error(target: Floats, score: Floats, counts: NDArray[np.float32]) -> Floats:
    """Expected calibration error [draws]: over ten equal-width bins, the mean |outcome - score| weighted by rows."""
    member = np.eye(BINS, dtype=np.float32)[score_bin(score)]  # [rows, bins]
    gap = counts @ (member * (target - score)[:, None].astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        error: Floats = (np.abs(gap).sum(axis=1) / counts.sum(axis=1)).astype(np.float64)
    return error


def rmse(target: Floats, value: Floats, counts: NDArray[np.float32]) -> Floats:
    """Root of the mean squared error [draws], in the unit of the target."""
    return np.sqrt(_mean((value - target) ** 2, counts))


def mae(target: Floats, value: Floats, counts: NDArray[np.float32]) -> Floats:
    """Mean absolute error [draws], in the unit of the target."""
    return _mean(np.abs(value - target), counts)


def r2(target: Floats, value: Floats, counts: NDArray[np.float32]) -> Floats:
    """Share of the target's variance that is explained [draws]; NaN where there is none."""
    centred = target - target.mean()  # or a large mean would cost all digits of the difference below
    variance = _mean(centred**2, counts) - _mean(centred, counts) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, 1 - _mean((value - target) ** 2, counts) / variance, np.nan)


def log_loss_of_classes(target: Floats, value: Floats, counts: NDArray[np.float32]) -> Floats:
    """Mean negative log-likelihood in nats [draws] of probabilities [rows, classes]; target is the class's index."""
    likely = value[np.arange(len(value)), target.astype(np.int64)]
    return _mean(-np.log(np.clip(likely, 1e-7, 1)), counts)


def balanced_accuracy(target: Floats, value: Floats, counts: NDArray[np.float32]) -> Floats:
    """Mean recall of the classes that a draw has [draws]."""
    hit, true, _ = _by_class(target, value, counts)
    return _mean_of_present(hit / np.maximum(true, 1), true)


def macro_f1(target: Floats, value: Floats, counts: NDArray[np.float32]) -> Floats:
    """Mean F1 of the classes that a draw has [draws]."""
    hit, true, said = _by_class(target, value, counts)
    return _mean_of_present(2 * hit / np.maximum(true + said, 1), true)


def _by_class(target: Floats, value: Floats, counts: NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
    """Rows of each class that are labelled so, that are it, and that get its label; each [draws, classes]."""
    classes = np.eye(value.shape[1], dtype=np.float32)
    true, said = classes[target.astype(np.int64)], classes[value.argmax(axis=1)]
    return (counts @ (true * said)).astype(np.float64), (counts @ true).astype(np.float64), counts @ said


def _mean_of_present(figure: Floats, rows: Floats) -> Floats:
    present = rows > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((figure * present).sum(axis=1) / present.sum(axis=1), np.float64)


def share_of(part: NDArray[np.bool_], whole: NDArray[np.bool_], counts: NDArray[np.float32]) -> Floats:
    """Rows of `part` among those of `whole` [draws]; NaN where a draw has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((counts @ part.astype(np.float32)) / (counts @ whole.astype(np.float32)), np.float64)


def rounded(value: float, size: float | None = None) -> float:
    """With five digits, counted from the first one of `size` (default: of the value itself)."""
    value, size = float(value), abs(float(value if size is None else size))
    return round(value, DIGITS - 1 - math.floor(math.log10(size))) if 0 < size < math.inf else value


def rounded_mean(values: Any, size: float | None = None) -> float | None:
    return rounded(values.mean(), size) if len(values) else None


def reliability(bins: NDArray[np.int64], value: Floats, target: Floats) -> list[dict[str, Any]]:
    """Mean value and mean outcome of the rows in each bin."""
    found, spread = [], float(target.std())
    for place, rows in enumerate(bins == each for each in range(BINS)):
        score, outcome = (rounded_mean(each[rows], spread) for each in (value, target))
        found.append({"bin": place, "rows": int(rows.sum()), "score": score, "outcome": outcome})
    return found


def reliability_chart(bins: list[dict[str, Any]], x: str, y: str, limits: list[float] | None) -> dict[str, Any]:
    """Predicted against actual means as a chart of the report; the diagonal is perfect."""
    found = [each for each in bins if each["rows"]]
    xs, ys = [each["score"] for each in found], [each["outcome"] for each in found]
    ends = limits or [min(xs + ys), max(xs + ys)]
    model = {"name": "model", "x": xs, "y": ys, "notes": [f"{each['rows']:,}" for each in found]}
    axes, series = [f"{x} (rows beside the point)", y], [{"name": "perfect", "x": ends, "y": ends}, model]
    return chart("Reliability", "lines", axes, series=series, limits=limits)


def chart(title: str, kind: str, axes: list[str], **figures: Any) -> dict[str, Any]:
    """Of evaluation.json, as models/lib/report/charts.py draws it; kinds are lines, steps and matrix."""
    return {"title": title, "kind": kind, "axes": axes} | figures


def score_bin(score: Floats) -> NDArray[np.int64]:
    """The bin of every score, 0 to 9, as the service counts them."""
    return np.minimum((score * BINS).astype(np.int64), BINS - 1)


def interval(draws: Floats, size: float | None = None) -> dict[str, float | None]:
    """The value on the sample itself and the 95 % percentile interval of its resamples; None where it is undefined.

    `size`: that of which it is a difference, which has the digits.
    """
    if np.isnan(draws[0]):
        return {"value": None, "low": None, "high": None}
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return {"value": rounded(draws[0], size), "low": rounded(low, size), "high": rounded(high, size)}


def _mean(values: Floats, counts: NDArray[np.float32]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (counts.astype(np.float64) @ values) / counts.sum(axis=1, dtype=np.float64)
        return mean
