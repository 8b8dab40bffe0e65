"""What the model must do whatever its accuracy is; run on the ONNX file, as a gate and with every test run.

The first ones hold for any model; what every dispatcher would call worse raises the delay.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.lib.behaviour import Asked

ASKED = Asked(Path(__file__).parent.name)
ROWS = ASKED.rows()


def test_rows_of_the_contract_are_answered() -> None:
    ASKED.answer(ROWS)


def test_unknown_names_are_answered() -> None:
    for column in ASKED.texts:
        ASKED.answer(ROWS.with_columns(pl.lit("never seen before").alias(column)))


def test_missing_values_are_answered() -> None:
    for column in ASKED.nullable:
        ASKED.answer(ROWS.with_columns(pl.lit(None, ROWS.schema[column]).alias(column)))


def test_the_order_of_rows_changes_nothing() -> None:
    np.testing.assert_allclose(ASKED.answer(ROWS.reverse())[::-1], ASKED.answer(ROWS), rtol=1e-4, atol=1e-6)


def test_a_row_alone_is_answered_as_among_others() -> None:
    alone = np.concatenate([ASKED.answer(ROWS.slice(place, 1)) for place in range(5)])
    np.testing.assert_allclose(alone, ASKED.answer(ROWS)[:5], rtol=1e-4, atol=1e-6)


def test_one_feature_at_a_time_over_its_range() -> None:
    plain = pl.concat([ROWS.head(1)] * ROWS.height)
    for column in ROWS.columns:
        ASKED.answer(plain.with_columns(ROWS[column]))


def test_not_every_row_gets_the_same_answer() -> None:
    assert np.ptp(ASKED.answer(ROWS), axis=0).max() > 0


@pytest.mark.parametrize(
    ("better", "worse", "minutes"),
    [
        ({"precip": 0.0, "humid": 60.0, "visib": 10.0}, {"precip": 0.3, "humid": 95.0, "visib": 4.0}, 5.0),
        ({"visib": 10.0, "humid": 60.0}, {"visib": 0.5, "humid": 98.0}, 3.0),
        ({"sched_dep_minute": 7 * 60}, {"sched_dep_minute": 18 * 60}, 5.0),
        ({"pressure": 1025.0}, {"pressure": 1000.0}, 2.0),
    ],
    ids=["rain", "fog", "evening peak", "low pressure"],
)
def test_worse_conditions_delay_the_arrival(better: dict[str, Any], worse: dict[str, Any], minutes: float) -> None:
    plain = {"weekday": 3, "distance": 719, "temp": 70.0, "wind_speed": 9.0, "precip": 0.0, "pressure": 1016.0}
    plain |= {"humid": 55.0, "visib": 10.0, "sched_dep_minute": 15 * 60}
    calm, rough = (
        ROWS.with_columns(pl.lit(value, ROWS.schema[name]).alias(name) for name, value in (plain | change).items())
        for change in (better, worse)
    )
    assert (ASKED.answer(rough) - ASKED.answer(calm)).mean() > minutes
