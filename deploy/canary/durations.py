"""Durations as Argo Rollouts and Prometheus write them (`30s`, `1h30m`, `1h:30s`), and the same in compressed time."""

import re
from typing import Any

from repo.lib.refusal import Refusal

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
PART = r"(\d+(?:\.\d+)?)(ms|[smhdwy])"
DURATION = re.compile(f"(?:{PART})+")
WINDOW = re.compile(rf"({DURATION.pattern})(:{DURATION.pattern})?")  # a range, or a range and the step of a subquery


def seconds(value: Any, where: str) -> float:
    """Seconds of `30s`, `1h30m` or the bare number 30, which `where` (object and field) holds."""
    text = str(value)
    if not isinstance(value, bool) and re.fullmatch(r"\d+", text):
        return float(text)
    if not DURATION.fullmatch(text):
        raise Refusal(f"{where} is {value!r}; write it like 30s, 2m or 1h.")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(PART, text))


def compressed(text: str, factor: float) -> str:
    """A range, with its step if it has one, `factor` times shorter, in milliseconds; any other text as it is."""
    if not WINDOW.fullmatch(text):
        return text
    return ":".join(f"{max(1, round(1000 * seconds(part, text) / factor))}ms" for part in text.split(":"))
