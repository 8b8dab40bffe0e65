"""What the model must do whatever its accuracy is; run on the ONNX file, as a gate and with every test run.

Drafted: these hold for any model. Add what a person who knows the matter would call worse or better.
"""

from pathlib import Path

import numpy as np
import polars as pl

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
