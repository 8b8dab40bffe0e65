"""What is measured of scores, each as a vector over bootstrap resamples, so that every figure has an interval.

A resample is a vector of counts: how often each row was drawn. One matrix of them serves every metric, every slice and
both models of a comparison, which makes comparisons paired.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 400  # the 95 % bounds are then known to about a tenth of their distance from the value
BINS = 10  # calibration error and reliability curve
DIGITS = 5  # printed and recorded: below that machines differ in the last bit of a float32


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


METRICS = {"roc_auc": roc_auc, "log_loss": log_loss, "brier": brier, "calibration_error": calibration_error}


def score_bin(score: Floats) -> NDArray[np.int64]:
    """The bin of every score, 0 to 9, as the service counts them."""
    return np.minimum((score * BINS).astype(np.int64), BINS - 1)


def interval(draws: Floats) -> dict[str, float | None]:
    """The value on the sample itself and the 95 % percentile interval of its resamples; None where it is undefined."""
    if np.isnan(draws[0]):
        return {"value": None, "low": None, "high": None}
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return {
        "value": round(float(draws[0]), DIGITS),
        "low": round(float(low), DIGITS),
        "high": round(float(high), DIGITS),
    }


def _mean(values: Floats, counts: NDArray[np.float32]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (counts.astype(np.float64) @ values) / counts.sum(axis=1, dtype=np.float64)
        return mean
