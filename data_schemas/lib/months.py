"""Months as a dataset names them, such as 2013-01."""

PATTERN = r"\d{4}-(0[1-9]|1[0-2])"


def number(month: str) -> int:
    """Months since year 0."""
    return int(month[:4]) * 12 + int(month[5:]) - 1


def name(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"
