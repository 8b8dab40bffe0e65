"""A value that a feature accepts, for the OpenAPI page and the warm-up, where the schema's metadata has no "example".

python -m serving build flight_delay
"""

from __future__ import annotations

import re
from typing import Any

from repo.lib.refusal import Refusal


def value(where: str, feature: dict[str, Any]) -> str | int | float:
    """The first allowed value, the middle of the range, or the shortest text that the pattern accepts."""
    if feature["allowed"]:
        first: str | int | float = feature["allowed"][0]
        return first
    if feature["type"] == "string":
        return _text(where, feature["pattern"])
    limits = (feature["min"], feature["above"]), (feature["max"], feature["below"])
    low, high = (next((limit for limit in pair if limit is not None), 0) for pair in limits)
    # Half and half, not half of the sum: the widest limits would overflow.
    middle = low / 2 + high / 2
    return round(middle) if feature["type"] == "integer" else round(middle, 3)


def _text(where: str, pattern: str | None) -> str:
    if pattern is None:
        return "text"
    # Python's own parser of patterns; private by name since 3.11, so whatever it makes is tried before it is used.
    found = _shortest(re._parser.parse(pattern))  # type: ignore[attr-defined]
    if found is None or not re.search(pattern, found):
        raise Refusal(f'{where}: no example found for the pattern {pattern!r}; give one: metadata={{"example": "…"}}.')
    return found


def _shortest(tokens: Any) -> str | None:
    """The shortest text of a parsed pattern, the first of every choice; None for what this does not know."""
    text = ""
    for kind, argument in tokens:
        match str(kind):
            case "LITERAL":
                part: str | None = chr(argument)
            case "AT":
                part = ""
            case "ANY":
                part = "a"
            case "IN":
                part = _member(argument)
            case "SUBPATTERN":
                part = _shortest(argument[-1])
            case "BRANCH":
                part = _shortest(argument[1][0])
            case "MAX_REPEAT" | "MIN_REPEAT":
                once = _shortest(argument[2])
                part = None if once is None else once * argument[0]
            case _:
                part = None
        if part is None:
            return None
        text += part
    return text


def _member(choices: Any) -> str | None:
    """One character of a set."""
    kind, argument = choices[0]
    match str(kind):
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            return chr(argument[0])
        case "CATEGORY":
            return {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}.get(str(argument), "a")
    return None
