"""The contract of a specimen row: text with and without a list of names, numbers with and without gaps, four rules."""

from __future__ import annotations

from typing import Any

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "UA", "WN"]
ORIGINS = ["EWR", "JFK", "LGA"]


def text(title: str, **settings: Any) -> Any:
    metadata = {"unit": "code", **settings.pop("metadata", {})}
    return pa.Field(title=title, description=f"{title}, a code", metadata=metadata, **settings)


def number(title: str, low: float, high: float, unit: str, example: float | None = None, **settings: Any) -> Any:
    metadata = {"unit": unit} if example is None else {"unit": unit, "example": example}
    about: dict[str, Any] = {"title": title, "description": f"{title} at departure", "metadata": metadata}
    return pa.Field(in_range=(low, high), **about, **settings)


class Trips(pa.DataFrameModel):
    """One row a trip."""

    flight_date: pl.Date = pa.Field(title="Date", description="Day of departure", metadata={"unit": "date"})
    carrier: str = text("Carrier", isin=CARRIERS, metadata={"example": "UA"})
    flight: int = number("Number", 1, 9999, "number")
    origin: str = text("Origin", isin=ORIGINS)
    dest: str = text("Destination", str_matches=r"^[A-Z]{3}$", metadata={"example": "ORD"})
    weekday: int = number("Weekday", 1, 7, "day")
    sched_dep_minute: int = number("Scheduled departure", 0, 1439, "min", 840)
    distance: int = number("Distance", 50, 6000, "mi", 719)
    temp: float = number("Temperature", -40, 130, "°F", 55.0, nullable=True)
    humid: float = number("Humidity", 0, 100, "%", 60.0, nullable=True)
    wind_speed: float = number("Wind speed", 0, 150, "mph", 9.2, nullable=True)
    precip: float = number("Precipitation", 0, 12, "in", 0.0, nullable=True)
    pressure: float = number("Pressure", 900, 1080, "hPa", 1017.0, nullable=True)
    visib: float = number("Visibility", 0, 10, "mi", 10.0, nullable=True)
    arr_delay: int = number("Arrival delay", -180, 3000, "min")

    class Config:
        strict = True
        ordered = True
        coerce = False
        metadata = {
            "owner": "trip data",
            "source": "made up by source.py",
            "licence": "CC0-1.0",
            "purpose": "tests",
            "retention": "no limit: nobody's trips",
        }

    @pa.dataframe_check(title="origin, dest", description="origin differs from dest")
    @classmethod
    def leaves_its_origin(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("origin") != pl.col("dest"))

    @pa.dataframe_check(title="flight_date, weekday", description="weekday is that of flight_date")
    @classmethod
    def weekday_of_the_date(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("weekday") == pl.col("flight_date").dt.weekday())

    @pa.dataframe_check(
        title="origin, dest, distance",
        description="from LGA at most 1,500 miles, but for DEN and on Saturdays",
    )
    @classmethod
    def within_the_perimeter(cls, data: PolarsData) -> pl.LazyFrame:
        exempt = (pl.col("origin") != "LGA") | (pl.col("dest") == "DEN") | (pl.col("weekday") == 6)
        return data.lazyframe.select(exempt | (pl.col("distance") <= 1500))

    @pa.dataframe_check(
        title="flight_date, carrier, flight, origin, sched_dep_minute",
        description="a trip occurs once",
    )
    @classmethod
    def trip_occurs_once(cls, data: PolarsData) -> pl.LazyFrame:
        key = ["flight_date", "carrier", "flight", "origin", "sched_dep_minute"]
        return data.lazyframe.select(pl.struct(key).is_unique())
