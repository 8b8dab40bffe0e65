"""What the specimen must do; a gate of its pipeline. Ten tests, because model.yaml asks for ten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_schemas.lib import datasets
from models.lib import config, scoring

MODEL = config.load(Path(__file__).parent.name)  # a copy of this folder tests the copy
RUNTIME = scoring.session(MODEL.onnx)
KINDS = datasets.schema(MODEL.dataset).to_schema().dtypes
PLAIN: dict[str, Any] = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "ORD",
    "weekday": 3,
    "sched_dep_minute": 900,
    "distance": 719,
    "temp": 50.0,
    "humid": 60.0,
    "wind_speed": 9.0,
    "precip": 0.0,
    "pressure": 1016.0,
    "visib": 6.0,
}


def score(*changes: dict[str, Any]) -> Any:
    """Scores [rows], one row a change."""
    rows = [PLAIN | change for change in changes]
    return scoring.scores(RUNTIME, pl.DataFrame(rows, schema={name: KINDS[name].type for name in MODEL.features}))


@pytest.mark.parametrize("change", [{"sched_dep_minute": 1200}, {"humid": 90.0}, {"visib": 2.0}, {"carrier": "EV"}])
def test_what_is_worse_scores_higher(change: dict[str, Any]) -> None:
    plain, worse = score({}, change)
    assert worse > plain


@pytest.mark.parametrize("column", ["temp", "humid", "wind_speed", "pressure"])
def test_a_missing_number_gives_a_probability_near_the_plain_one(column: str) -> None:
    plain, missing = score({}, {column: None})
    assert abs(missing - plain) < 0.25


@pytest.mark.parametrize("name", ["", "ZZZ", "日本"])
def test_a_name_never_seen_gives_a_probability(name: str) -> None:
    assert 0 < score({"dest": name})[0] < 1
