"""What the model must do whatever its accuracy is; run on the ONNX file, as a gate and with every test run.

pytest models/flight_delay/test_behaviour.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_schemas.flights.schema import Flights
from models.lib import config, scoring

MODEL = config.load(Path(__file__).parent.name)  # a copy of this folder tests the copy
THRESHOLD: float = MODEL.serving.model_dump()["threshold"]
RUNTIME = scoring.session(MODEL.onnx)
SCHEMA = {name: kind for name, kind in Flights.to_schema().dtypes.items() if name in MODEL.features}

# A plain afternoon flight; every test changes one thing about it.
PLAIN: dict[str, Any] = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "ORD",
    "weekday": 3,
    "sched_dep_minute": 15 * 60,
    "distance": 719,
    "temp": 70.0,
    "humid": 55.0,
    "wind_speed": 9.0,
    "precip": 0.0,
    "pressure": 1016.0,
    "visib": 10.0,
}
WINTER = {"temp": 28.0, "humid": 80.0, "visib": 3.0, "pressure": 1004.0}


def score(*changes: dict[str, Any]) -> Any:
    """Scores [rows], one row a change."""
    rows = [PLAIN | change for change in changes]
    table = pl.DataFrame(rows, schema={name: SCHEMA[name].type for name in MODEL.features})
    return scoring.scores(RUNTIME, table)


# Flights over the day and the airports, so that a test speaks of the model and not of one row.
PANEL = [
    {"carrier": carrier, "origin": origin, "dest": dest, "distance": distance, "sched_dep_minute": 60 * hour}
    for carrier, origin, dest, distance in [
        ("UA", "EWR", "ORD", 719),
        ("B6", "JFK", "MCO", 944),
        ("DL", "LGA", "ATL", 762),
        ("EV", "EWR", "RDU", 416),
    ]
    for hour in (9, 13, 17)
]


# Directional expectation: what every dispatcher would call worse raises the score over the panel, in both seasons.
@pytest.mark.parametrize("season", [{}, WINTER], ids=["summer", "winter"])
@pytest.mark.parametrize(
    ("better", "worse", "by"),
    [
        ({"visib": 10.0, "humid": 60.0}, {"visib": 0.5, "humid": 98.0}, 0.05),
        ({"precip": 0.0, "humid": 60.0}, {"precip": 0.3, "humid": 95.0, "visib": 4.0}, 0.05),
        ({"wind_speed": 5.0}, {"wind_speed": 35.0}, 0.02),
        ({"sched_dep_minute": 7 * 60}, {"sched_dep_minute": 18 * 60}, 0.10),
        ({"humid": 40.0}, {"humid": 95.0}, 0.05),
    ],
    ids=["fog", "rain", "gale", "evening peak", "humid air"],
)
def test_worse_conditions_raise_the_score(season: Any, better: Any, worse: Any, by: float) -> None:
    before, after = (score(*(flight | season | weather for flight in PANEL)) for weather in (better, worse))
    assert after.mean() > before.mean() + by


# Invariance: what says nothing about delay must not move the score.
def test_a_row_scores_the_same_alone_and_among_others() -> None:
    alone = score({})
    among = score({"carrier": "B6"}, {}, {"visib": 0.1})
    np.testing.assert_allclose(alone[0], among[1], atol=1e-6)


def test_the_order_of_rows_does_not_matter() -> None:
    changes = [{"weekday": day} for day in range(1, 8)]
    np.testing.assert_allclose(score(*changes), score(*reversed(changes))[::-1], atol=1e-6)


def test_a_mile_or_a_tenth_of_a_degree_hardly_moves_the_score() -> None:
    plain, mile, tenth = score({}, {"distance": 720}, {"temp": 70.1})
    assert abs(mile - plain) < 0.005
    assert abs(tenth - plain) < 0.005


def test_the_minute_before_midnight_scores_like_the_minute_after() -> None:
    before, after = score({"sched_dep_minute": 1439}, {"sched_dep_minute": 0})
    assert abs(before - after) < 0.01


# Minimum functionality: cases that any model worth shipping gets right.
def test_a_clear_early_morning_is_labelled_on_time() -> None:
    assert score({"sched_dep_minute": 6 * 60, "weekday": 6})[0] < THRESHOLD


def test_a_stormy_evening_is_labelled_late() -> None:
    storm = {"sched_dep_minute": 19 * 60, "visib": 1.0, "precip": 0.5, "humid": 95.0, "pressure": 1000.0}
    assert score(storm)[0] > THRESHOLD


# Extremes, nulls and what training never saw: a probability, never an error.
@pytest.mark.parametrize("side", [0, 1], ids=["lowest", "highest"])
@pytest.mark.parametrize("column", [name for name in MODEL.features if name not in ("carrier", "origin", "dest")])
def test_the_limits_of_the_contract_give_a_probability(column: str, side: int) -> None:
    bounds = next(check.statistics for check in Flights.to_schema().columns[column].checks if check.name == "in_range")
    limit = SCHEMA[column].type.to_python()((bounds["min_value"], bounds["max_value"])[side])
    assert 0 <= score({column: limit})[0] <= 1


@pytest.mark.parametrize("column", ["temp", "humid", "wind_speed", "precip", "pressure", "visib"])
def test_a_missing_measurement_gives_a_probability_near_the_plain_one(column: str) -> None:
    plain, missing = score({}, {column: None})
    assert abs(missing - plain) < 0.25


def test_no_weather_at_all_gives_a_probability_that_is_not_extreme() -> None:
    nothing = dict.fromkeys(["temp", "humid", "wind_speed", "precip", "pressure", "visib"])
    assert 0.02 < score(nothing)[0] < 0.9


@pytest.mark.parametrize("column", ["carrier", "origin", "dest"])
@pytest.mark.parametrize("name", ["", "ZZZ", "a name that no airport has", "日本"])
def test_a_name_never_seen_gives_a_probability_that_is_not_extreme(column: str, name: str) -> None:
    assert 0.02 < score({column: name})[0] < 0.9


def test_all_unknown_names_are_treated_alike() -> None:
    one, other, empty = score({"dest": "ZZZ"}, {"dest": "QQQ"}, {"dest": ""})
    assert one == other == empty
