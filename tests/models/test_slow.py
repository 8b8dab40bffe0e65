"""What is slow for a model is found beside the champion, on one machine, unless the team states it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from models import measure
from models.lib import champion, config, passport
from models.lib.champion import Champion
from serving.runtime import telemetry

Timed = Callable[[float, float, float | None], float]


@pytest.fixture
def timed(model: config.Model, monkeypatch: pytest.MonkeyPatch) -> Timed:
    """The bound of a candidate whose calls take so long, beside a champion, with its own bound in milliseconds."""

    def found(ours: float, theirs: float, its_bound: float | None) -> float:
        standing = None if its_bound is None else Champion("v", "f" * 64, "c", served={"slow_ms": its_bound})
        taken = iter([ours, theirs] * measure.ROUNDS)
        monkeypatch.setattr(champion, "find", lambda _: standing)
        monkeypatch.setattr(champion, "blob", lambda *_: (b"", ""))
        monkeypatch.setattr("models.lib.scoring.session", lambda _: None)
        monkeypatch.setattr(measure, "slowest", lambda *_: next(taken))
        return measure.slow_ms(model, pl.DataFrame())

    return found


def test_a_heavier_model_is_slow_where_its_calls_take_more_than_the_champions(
    timed: Timed, model: config.Model
) -> None:
    budget = model.serving.latency_budget_ms
    assert timed(0.14 * budget, 0.04 * budget, 0.05 * budget) == pytest.approx(0.15 * budget)
    assert timed(0.04 * budget, 0.04 * budget, 0.05 * budget) == pytest.approx(0.05 * budget)
    assert timed(0.01 * budget, 0.04 * budget, 0.05 * budget) == pytest.approx(0.02 * budget)


def test_a_first_model_is_given_what_a_request_takes_beside_its_call(timed: Timed, model: config.Model) -> None:
    found = timed(0.1, 0.0, None)
    assert found >= 0.1 + measure.AROUND_MS
    assert found / model.serving.latency_budget_ms in [pytest.approx(share) for share in measure.BOUNDS]


def test_what_is_measured_is_a_bound_of_every_served_histogram() -> None:
    assert measure.BOUNDS == telemetry.SHARES
    assert telemetry.bounds(10.0, None) == [round(0.01 * share, 9) for share in telemetry.SHARES]


def test_a_bound_that_the_team_states_stays(model: config.Model) -> None:
    stated = model.model_copy(update={"serving": model.serving.model_copy(update={"slow_ms": 1.25})})
    assert passport.slow_ms(stated) == 1.25
    assert np.isclose(telemetry.bounds(10.0, 1.25), 0.00125).any()
