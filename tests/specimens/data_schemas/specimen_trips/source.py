"""Twelve months of 200 made-up trips each; whether one is late depends on the hour, the weather and the carrier."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator

import numpy as np
import polars as pl

ROWS = 200  # a month


def months() -> Iterator[tuple[str, pl.DataFrame]]:
    for month in range(1, 13):
        yield f"2013-{month:02d}", table(month)


def table(month: int) -> pl.DataFrame:
    random = np.random.default_rng(month)
    days = [
        datetime.date(2013, month, int(day))
        for day in sorted(random.integers(1, calendar.monthrange(2013, month)[1] + 1, ROWS))
    ]
    carrier = random.choice(["UA", "B6", "EV", "AA"], ROWS)
    minute = random.integers(300, 1400, ROWS)
    humid, visib = random.uniform(30, 100, ROWS).round(1), random.uniform(1, 10, ROWS).round(1)
    worse = 2 * (minute - 850) / 300 + 1.5 * (humid - 65) / 20 - (visib - 5) / 4 + 1.5 * (carrier == "EV")
    delay = 15 * (worse - 2 + random.logistic(0, 1, ROWS))
    return pl.DataFrame(
        {
            "flight_date": days,
            "carrier": carrier,
            "flight": np.arange(1, ROWS + 1),
            "origin": random.choice(["EWR", "JFK", "LGA"], ROWS),
            "dest": random.choice(["ORD", "MCO", "ATL", "BOS"], ROWS),
            "weekday": [day.isoweekday() for day in days],
            "sched_dep_minute": minute,
            "distance": random.integers(100, 1400, ROWS),
            "temp": with_gaps(random.normal(30 + 30 * np.sin(month / 12 * np.pi), 8, ROWS)),
            "humid": humid,
            "wind_speed": with_gaps(random.uniform(0, 30, ROWS)),
            "precip": random.exponential(0.02, ROWS).round(2),
            "pressure": random.normal(1016, 6, ROWS).round(1),
            "visib": visib,
            "arr_delay": (15 + delay).clip(-90, 300).astype(np.int64),
        }
    )


def with_gaps(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pl.Series:
    return pl.Series(values.round(1)).set(pl.arange(0, ROWS, eager=True) % 40 == 0, None)
