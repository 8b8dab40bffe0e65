"""The metrics, held against scikit-learn's; resample counts are its sample weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as skl

from models.lib import metrics
from tests.models.tiny import TASKS

ROWS = 3000
Kind = tuple[metrics.Floats, metrics.Floats]  # outcomes, and what a model answers


def labels(theirs: Callable[..., float], **settings: Any) -> Callable[..., float]:
    """Of scikit-learn's metrics of labels: the class of the largest probability is one."""
    return lambda target, value, **weights: theirs(target, value.argmax(axis=1), **settings, **weights)


THEIRS: dict[tuple[str, str], Callable[..., float]] = {
    ("binary", "roc_auc"): skl.roc_auc_score,
    ("binary", "log_loss"): skl.log_loss,
    ("binary", "brier"): skl.brier_score_loss,
    ("multiclass", "macro_f1"): labels(skl.f1_score, average="macro"),
    ("multiclass", "balanced_accuracy"): labels(skl.balanced_accuracy_score),
    ("multiclass", "log_loss"): skl.log_loss,
    ("regression", "rmse"): skl.root_mean_squared_error,
    ("regression", "mae"): skl.mean_absolute_error,
    ("regression", "r2"): skl.r2_score,
}
OURS = {word: importlib.import_module(f"models.lib.tasks.{word}").Behaviour.metrics for word in TASKS}
EVERY = [(word, name) for word in TASKS for name in OURS[word]]


@pytest.fixture(scope="module")
def kinds() -> dict[str, Kind]:
    """Of some use; the scores are rounded, so that one occurs about thirty times."""
    dice = np.random.default_rng(1)
    late, noise = (dice.random(ROWS) < 0.3).astype(np.float64), dice.random(ROWS)
    kind = dice.choice(4, ROWS, p=[0.6, 0.3, 0.09, 0.01]).astype(np.float64)
    likely = dice.random((ROWS, 4)) + 0.8 * np.eye(4)[kind.astype(int)]
    amount = 1e6 + 3 * dice.normal(size=ROWS)  # its variance is a small part of its square
    return {
        "binary": (late, np.clip(0.6 * noise + 0.3 * late, 0.01, 0.99).round(2)),
        "multiclass": (kind, likely / likely.sum(axis=1, keepdims=True)),
        "regression": (amount, amount + dice.normal(size=ROWS)),
    }


@pytest.fixture(scope="module")
def score(kinds: dict[str, Kind]) -> metrics.Floats:
    return kinds["binary"][1]


@pytest.fixture(scope="module")
def counts() -> Any:
    return metrics.resamples(ROWS)


@pytest.mark.parametrize(("word", "name"), THEIRS)
def test_a_metric_is_scikit_learns_on_the_sample_and_on_every_resample(
    kinds: dict[str, Kind], counts: Any, word: str, name: str
) -> None:
    theirs, given = THEIRS[word, name], kinds[word]
    ours = OURS[word][name](*given, counts)
    assert ours.shape == (1 + metrics.RESAMPLES,)
    assert ours[0] == pytest.approx(theirs(*given), abs=1e-7)
    for draw in range(1, 10):
        assert ours[draw] == pytest.approx(theirs(*given, sample_weight=counts[draw]), abs=1e-7)


def test_a_class_that_a_draw_lacks_counts_in_no_mean_and_one_outcome_has_no_variance() -> None:
    target, value = np.array([0.0, 1, 1, 2]), np.eye(3)[[0, 1, 0, 1]]
    draws = np.array([[1, 1, 1, 1], [2, 1, 1, 0]], np.float32)
    assert metrics.balanced_accuracy(target, value, draws) == pytest.approx([0.5, 0.75])
    assert metrics.macro_f1(target, value, draws) == pytest.approx([(2 / 3 + 1 / 2) / 3, (4 / 5 + 2 / 3) / 2])
    same = metrics.r2(np.full(4, 0.1), np.full(4, 0.2), draws)
    assert np.isnan(same).all()


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_roc_auc_of_one_class_is_nan_and_has_no_interval(outcome: float, score: metrics.Floats, counts: Any) -> None:
    draws = metrics.roc_auc(np.full(ROWS, outcome), score, counts)
    assert np.isnan(draws).all()
    assert metrics.interval(draws) == {"value": None, "low": None, "high": None}


def test_the_calibration_error_of_a_known_example() -> None:
    """Two bins: three rows at 0.2, one of them positive, and one row at 0.9, positive."""
    target, score = np.array([1.0, 0, 0, 1]), np.array([0.2, 0.2, 0.2, 0.9])
    even, twice = np.ones(4), np.array([1.0, 1, 1, 3])
    errors = metrics.calibration_error(target, score, np.array([even, twice], np.float32))
    assert metrics.score_bin(np.array([0.0, 0.0999, 0.1, 0.95, 1.0])).tolist() == [0, 0, 1, 9, 9]
    wrong = metrics.log_loss(np.array([0.0, 1]), np.array([1.0, 0]), np.ones((1, 2), np.float32))
    assert 10 < wrong[0] < 20  # and not endless
    assert errors[0] == pytest.approx((3 * abs(1 / 3 - 0.2) + 1 * 0.1) / 4, abs=1e-6)
    assert errors[1] == pytest.approx((3 * abs(1 / 3 - 0.2) + 3 * 0.1) / 6, abs=1e-6)


def test_resamples_begin_with_the_sample_and_each_draws_as_many_rows(counts: Any) -> None:
    assert counts.shape == (1 + metrics.RESAMPLES, ROWS)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == ROWS).all()
    assert (metrics.resamples(ROWS) == counts).all()
    assert counts[1:].std() == pytest.approx(1, abs=0.01)  # of a Poisson count of mean 1: drawn with replacement


@pytest.mark.parametrize(("word", "name"), EVERY)
def test_an_interval_contains_the_value_and_narrows_with_more_rows(
    kinds: dict[str, Kind], word: str, name: str
) -> None:
    widths = []
    for rows in (300, ROWS):
        target, value = (each[:rows] for each in kinds[word])
        found: Any = metrics.interval(OURS[word][name](target, value, metrics.resamples(rows)))
        assert found["low"] <= found["value"] <= found["high"]
        widths.append(found["high"] - found["low"])
    assert 0 < widths[1] < widths[0]


def test_a_resample_without_a_value_is_left_out_of_the_interval() -> None:
    draws = np.array([0.7, np.nan, *np.linspace(0.6, 0.8, 101)])
    assert metrics.interval(draws) == {"value": 0.7, "low": 0.605, "high": 0.795}


@pytest.mark.parametrize(
    ("value", "size", "shown"),
    [
        (0.1234567, None, 0.12346),
        (0.0000012345678, None, 0.0000012346),
        (-908.36264, None, -908.36),
        (1_234_567.8, None, 1_234_600.0),
        (1_234_567.8, 3.0, 1_234_567.8),  # a mean, of values that differ by little
        (0.000012345, 0.7, 0.00001),  # a difference, of figures that machines know to five digits
        (0.0, None, 0.0),
    ],
)
def test_a_figure_has_five_digits_whatever_its_unit(value: float, size: float | None, shown: float) -> None:
    assert metrics.rounded(value, size) == shown
