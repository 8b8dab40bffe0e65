"""The metrics, held against scikit-learn's; resample counts are its sample weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models.lib import metrics
from models.lib.tasks.binary import Behaviour

ROWS = 3000
THEIRS = {"roc_auc": roc_auc_score, "log_loss": log_loss, "brier": brier_score_loss}


@pytest.fixture(scope="module")
def target() -> metrics.Floats:
    return (np.random.default_rng(1).random(ROWS) < 0.3).astype(np.float64)


@pytest.fixture(scope="module")
def score(target: metrics.Floats) -> metrics.Floats:
    """Of some use, and rounded, so that a score occurs about thirty times."""
    noise = np.random.default_rng(2).random(ROWS)
    return np.clip(0.6 * noise + 0.3 * target, 0.01, 0.99).round(2)


@pytest.fixture(scope="module")
def counts() -> Any:
    return metrics.resamples(ROWS)


@pytest.mark.parametrize("name", THEIRS)
def test_a_metric_is_scikit_learns_on_the_sample_and_on_every_resample(
    name: str, target: metrics.Floats, score: metrics.Floats, counts: Any
) -> None:
    theirs: Callable[..., float] = THEIRS[name]
    ours = Behaviour.metrics[name](target, score, counts)
    assert ours.shape == (1 + metrics.RESAMPLES,)
    assert ours[0] == pytest.approx(theirs(target, score), abs=1e-9)
    for draw in range(1, 20):
        assert ours[draw] == pytest.approx(theirs(target, score, sample_weight=counts[draw]), abs=1e-9)


def test_roc_auc_of_ties_only_is_one_half() -> None:
    assert metrics.roc_auc(np.array([0.0, 1, 1]), np.full(3, 0.2), np.ones((1, 3), np.float32))[0] == 0.5


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
    assert errors[0] == pytest.approx((3 * abs(1 / 3 - 0.2) + 1 * 0.1) / 4, abs=1e-6)
    assert errors[1] == pytest.approx((3 * abs(1 / 3 - 0.2) + 3 * 0.1) / 6, abs=1e-6)


def test_a_score_of_one_counts_in_the_last_bin() -> None:
    assert metrics.score_bin(np.array([0.0, 0.0999, 0.1, 0.95, 1.0])).tolist() == [0, 0, 1, 9, 9]


def test_certain_scores_that_are_wrong_give_a_finite_log_loss() -> None:
    loss = metrics.log_loss(np.array([0.0, 1]), np.array([1.0, 0]), np.ones((1, 2), np.float32))
    assert 10 < loss[0] < 20


def test_resamples_begin_with_the_sample_and_each_draws_as_many_rows(counts: Any) -> None:
    assert counts.shape == (1 + metrics.RESAMPLES, ROWS)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == ROWS).all()
    assert counts[1:].std() == pytest.approx(1, abs=0.01)  # of a Poisson count of mean 1: drawn with replacement


def test_resamples_depend_on_the_seed_alone(counts: Any) -> None:
    np.random.default_rng().random(9)
    assert (metrics.resamples(ROWS) == counts).all()
    assert not (metrics.resamples(ROWS, seed=1) == counts).all()


@pytest.mark.parametrize("name", Behaviour.metrics)
def test_an_interval_contains_the_value_and_narrows_with_more_rows(
    name: str, target: metrics.Floats, score: metrics.Floats
) -> None:
    widths = []
    for rows in (300, ROWS):
        found: Any = metrics.interval(Behaviour.metrics[name](target[:rows], score[:rows], metrics.resamples(rows)))
        assert found["low"] <= found["value"] <= found["high"]
        widths.append(found["high"] - found["low"])
    assert 0 < widths[1] < widths[0]


def test_a_resample_without_a_value_is_left_out_of_the_interval() -> None:
    draws = np.array([0.7, np.nan, *np.linspace(0.6, 0.8, 101)])
    assert metrics.interval(draws) == {"value": 0.7, "low": 0.605, "high": 0.795}
