"""A span of days, weeks or months, by their names: 2024-03-01, 2024-W09, 2024-03."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import field_validator, model_validator

from models.lib.limits import Strict


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
    "week": Unit("%G-W%V", lambda day: (day.toordinal() - 1) // 7, lambda number: date.fromordinal(7 * number + 1)),
    "month": Unit(
        "%Y-%m", lambda day: 12 * day.year + day.month - 1, lambda number: date(number // 12, number % 12 + 1, 1)
    ),
}


class Window(Strict):
    """Days, weeks or months, both ends inclusive."""

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
