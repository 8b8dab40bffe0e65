"""Which rows train, validate and test a model: `windows:` or `split:` of model.yaml, a type for each kind."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from data_schemas.lib import datasets
from models.lib.limits import Share, Strict

if TYPE_CHECKING:
    import polars as pl

Value = str | bool | int
PARTS = ("train", "valid", "test")  # valid: early stopping and calibration; test: every number and every gate


@dataclass(frozen=True)
class Unit:
    """Of time, counted from the year 1."""

    written: str  # as strftime has it
    number: Callable[[date], int]
    first: Callable[[int], date]  # the first day of the unit with this number

    def name(self, number: int) -> str:
        return self.first(number).strftime(self.written)

    def read(self, text: str) -> int | None:
        """The number of a unit by its name; None where it is no such name."""
        for day in (text, f"{text}-01"):
            with contextlib.suppress(ValueError):
                if self.name(found := self.number(date.fromisoformat(day))) == text:
                    return found
        return None


UNITS = {
    "day": Unit("%Y-%m-%d", date.toordinal, date.fromordinal),
    "week": Unit("%G-W%V", lambda day: (day.toordinal() - 1) // 7, lambda n: date.fromordinal(7 * n + 1)),
    "month": Unit("%Y-%m", lambda day: 12 * day.year + day.month - 1, lambda n: date(n // 12, n % 12 + 1, 1)),
}


class Window(Strict):
    """A span of days, weeks or months by their names (2024-03-01, 2024-W09, 2024-03), both ends inclusive."""

    first: str
    last: str

    @field_validator("first", "last", mode="before")
    @classmethod
    def _named(cls, limit: Any) -> str:
        text = str(limit)  # PyYAML makes a date of 2024-03-01 without quotes, and a text of 2024-03
        if isinstance(limit, (str, date)) and any(unit.read(text) is not None for unit in UNITS.values()):
            return text
        raise ValueError(f"{text!r} is not a day, week or month; write it as 2024-03-01, 2024-W09 or 2024-03")

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if UNITS[self.unit].read(self.last) is None:
            raise ValueError(f"first ({self.first}) and last ({self.last}) are not in the same unit")
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) lies after last ({self.last})")
        return self

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    @property
    def unit(self) -> str:
        return next(name for name, unit in UNITS.items() if unit.read(self.first) is not None)

    @property
    def numbers(self) -> range:
        low, high = (UNITS[self.unit].read(limit) or 0 for limit in (self.first, self.last))
        return range(low, high + 1)

    def moved(self, by: int) -> Window:
        name = UNITS[self.unit].name
        return Window(first=name(self.numbers[0] + by), last=name(self.numbers[-1] + by))


class Parts(Strict):
    """What every kind answers."""

    setting: ClassVar[str] = "split"  # its key in model.yaml

    def months(self, part: str) -> list[str] | None:  # noqa: ARG002 - of one kind alone
        """The months that hold the rows of a part; None where they may be anywhere."""
        return None

    @property
    def columns(self) -> Mapping[str, list[str]]:
        """Setting -> columns of the dataset. A row that is null in all of them is refused: it belongs nowhere."""
        column = getattr(self, "column", None)
        return {"column": [column]} if column else {}

    def select(self, rows: pl.DataFrame, part: str) -> pl.DataFrame:  # noqa: ARG002
        """The rows of a part, in their order."""
        return rows

    def span(self, part: str) -> str:
        """Which rows a part has, in words."""
        raise NotImplementedError

    def others(self, count: int) -> Sequence[Parts]:  # noqa: ARG002
        """So many other ways to divide the rows as this one does; none where there is but one."""
        return ()

    def misfit(self, kinds: Mapping[str, Any], features: Sequence[str]) -> tuple[str, str] | None:  # noqa: ARG002
        """(setting, why) where the polars types of the columns, or the features, do not go with it."""
        return None


class Windows(Parts):
    """One after the other; months as the dataset has them, a file each."""

    setting: ClassVar[str] = "windows"
    train: Window
    valid: Window
    test: Window

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Windows:
        for earlier, later in (("train", "valid"), ("valid", "test")):
            before, after = self.of(earlier), self.of(later)
            if before.unit != after.unit:
                raise ValueError(f"the {earlier} window ({before}) is in {before.unit}s, {later} in {after.unit}s")
            if before.last >= after.first:
                raise ValueError(f"the {earlier} window ({before.last}) overlaps or follows {later}")
        return self

    @model_validator(mode="after")
    def _in_its_unit(self) -> Windows:
        if self.train.unit != "month":
            raise ValueError(f"{self.train} is in {self.train.unit}s, not months; `split` with `by: time` takes those")
        return self

    def of(self, part: str) -> Window:
        found: Window = getattr(self, part)
        return found

    def months(self, part: str) -> list[str] | None:
        return [UNITS["month"].name(number) for number in self.of(part).numbers]

    def span(self, part: str) -> str:
        return str(self.of(part))

    def others(self, count: int) -> Sequence[Windows]:
        """Earlier ones, each by the length of the test window."""
        return [self.moved(-turn * len(self.test.numbers)) for turn in range(1, count + 1)]

    def moved(self, by: int) -> Windows:
        """All of them, by so many units."""
        return self.model_copy(update={part: self.of(part).moved(by) for part in PARTS})

    def there(self, dataset: str) -> Sequence[int]:
        """The units of time that the data has, by number, from the oldest to the newest."""
        return [UNITS["month"].read(name) or 0 for name in datasets.months(dataset)]

    def lacking(self, there: Sequence[int]) -> tuple[str, str] | None:
        """(part, unit): the first unit of time that a window needs and the data lacks."""
        units = ((part, number) for part in PARTS for number in self.of(part).numbers if number not in there)
        return next(((part, UNITS[self.test.unit].name(number)) for part, number in units), None)


class ByTime(Windows):
    """Days, weeks or months of a column."""

    setting: ClassVar[str] = "split"
    by: Literal["time"]
    column: str
    unit: Literal["day", "week", "month"]

    @model_validator(mode="after")
    def _in_its_unit(self) -> ByTime:
        if self.train.unit != self.unit:
            raise ValueError(f"the windows are in {self.train.unit}s, and `unit` is {self.unit}")
        return self

    def months(self, part: str) -> None:  # noqa: ARG002
        return None

    def select(self, rows: pl.DataFrame, part: str) -> pl.DataFrame:
        import polars as pl

        first, numbers = UNITS[self.unit].first, self.of(part).numbers
        low, high = first(numbers[0]), first(numbers[-1] + 1) - timedelta(days=1)
        return rows.filter(pl.col(self.column).dt.date().is_between(low, high))

    def there(self, dataset: str) -> Sequence[int]:
        days = datasets.read_all(dataset)[self.column].dt.date().drop_nulls()
        if days.is_empty():
            return ()
        oldest, newest = (UNITS[self.unit].number(day) for day in (days.min(), days.max()))  # type: ignore[arg-type]
        # A training window that begins before the data takes all there is, wherever it is moved.
        return range(0 if self.train.numbers[0] < oldest else oldest, newest + 1)

    def misfit(self, kinds: Mapping[str, Any], features: Sequence[str]) -> tuple[str, str] | None:  # noqa: ARG002
        import polars as pl

        kind = kinds[self.column]
        return None if kind in (pl.Date, pl.Datetime) else ("column", f"{self.column!r} is {kind}, not a date")


class ByColumn(Parts):
    """Values of a column that says which part a row is in; a row with any other value is in none."""

    by: Literal["column"]
    column: str
    train: list[Value] = Field(default=["train"], min_length=1)
    valid: list[Value] = Field(default=["valid"], min_length=1)
    test: list[Value] = Field(default=["test"], min_length=1)

    @model_validator(mode="after")
    def _once(self) -> ByColumn:
        values = [*self.train, *self.valid, *self.test]
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{twice[0]!r} is listed twice, and a row is in one part")
        return self

    def select(self, rows: pl.DataFrame, part: str) -> pl.DataFrame:
        import polars as pl

        return rows.filter(pl.col(self.column).is_in(getattr(self, part)))

    def span(self, part: str) -> str:
        return f"{self.column} {', '.join(map(str, getattr(self, part)))}"

    def misfit(self, kinds: Mapping[str, Any], features: Sequence[str]) -> tuple[str, str] | None:
        import polars as pl

        if self.column in features:
            return "column", f"{self.column!r} is a feature, of which no row of test has a value that training knows"
        kind = kinds[self.column]
        fitting = bool if kind == pl.Boolean else int if kind.is_integer() else str
        for part in PARTS:
            for value in getattr(self, part):
                if type(value) is not fitting:
                    return part, f"{value!r} is not a value of {self.column!r}, which is {kind}"
        return None


class Shares(Strict):
    """Of the distinct keys."""

    train: Annotated[Share, Field(gt=0)]
    valid: Annotated[Share, Field(gt=0)]
    test: Annotated[Share, Field(gt=0)]

    @model_validator(mode="after")
    def _whole(self) -> Shares:
        if abs(self.train + self.valid + self.test - 1) > 1e-9:
            raise ValueError(f"they sum to {self.train + self.valid + self.test:g}, not to 1")
        return self


class ByHash(Parts):
    """A part for each distinct key, drawn by its SHA-256: rows of one key are together, and new rows move no other."""

    by: Literal["hash"]
    key: list[str] = Field(min_length=1)  # columns
    shares: Shares
    salt: str = ""  # another one is another draw

    @property
    def columns(self) -> Mapping[str, list[str]]:
        return {"key": self.key}

    def select(self, rows: pl.DataFrame, part: str) -> pl.DataFrame:
        import polars as pl

        train, valid = self.shares.train, self.shares.train + self.shares.valid
        low, high = {"train": (0.0, train), "valid": (train, valid), "test": (valid, 1.0)}[part]
        keys = rows.select(list(dict.fromkeys(self.key))).iter_rows()
        return rows.filter(pl.Series([low <= _draw(self.salt, key) < high for key in keys], dtype=pl.Boolean))

    def span(self, part: str) -> str:
        salt = f", salt {self.salt}" if self.salt else ""
        keys = ", ".join(self.key) if len(self.key) < 4 else f"{len(self.key)} columns"
        return f"{100 * getattr(self.shares, part):g} % by a hash of {keys}{salt}"

    def others(self, count: int) -> Sequence[ByHash]:
        return [self.model_copy(update={"salt": f"{self.salt}{turn}"}) for turn in range(1, count + 1)]


def _draw(salt: str, key: tuple[Any, ...]) -> float:
    """From 0 to below 1, by the text of Python's values: polars may write them another way some day."""
    text = "\x1f".join([salt, *map(str, key)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


Split = Annotated[ByTime | ByColumn | ByHash, Field(discriminator="by")]
