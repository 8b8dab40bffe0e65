"""What can be wrong with a request, and the words and status for it: one error an answer, two kilobytes at most."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SHOWN = 60  # characters of a caller's own key that an error repeats
LISTED = 20  # allowed values that an error names

# Reason of ml_errors_total -> (status, what it counts).
KINDS = {
    "malformed": (400, "not JSON"),
    "invalid": (400, "JSON against the contract"),
    "too_large": (413, "body over the limit"),
    "timeout": (408, "body not there in time"),
    "overload": (503, "more requests at once than the worker takes"),
    "not_finite": (500, "the model gave a value that is not a number"),
    "inference": (500, "the model failed"),
}

RULES = ("missing", "null", "type", "value")  # that a feature can break; `value`: range, list or pattern
BROKEN = ("shape", "unknown")  # and a request as a whole: an unknown key, or anything else


class RequestError(NamedTuple):
    """One of KINDS, the field as `rows[3].distance`, and a sentence that repeats no value.

    `broken`: of a request that is invalid, the feature and its rule of RULES, or "" and one of BROKEN.
    """

    kind: str
    field: str
    reason: str
    broken: tuple[str, str] | None = None


class RefusedError(Exception):
    """A request that gets an error instead of an answer."""

    def __init__(self, kind: str, field: str, reason: str, broken: tuple[str, str] | None = None) -> None:
        super().__init__(reason)
        self.error = RequestError(kind, field, reason, broken)


class NotFiniteError(ArithmeticError):
    """The model gave a value that is NaN or infinite: an answer that JSON cannot hold and nobody should act on."""


def explain(error: Mapping[str, Any], contract: Mapping[str, Any]) -> RequestError:
    """One entry of a pydantic error list as a RequestError: where, and all that belongs there, never what was sent.

    Its `input` is only asked whether it is null.
    """
    kind, path = error["type"], list(error["loc"])
    if kind == "json_invalid":
        detail = error["msg"].removeprefix("Invalid JSON: ")
        return RequestError("malformed", "body", f"must be JSON: {detail}")
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:SHOWN]}" for part in path).lstrip(".")
    if kind == "extra_forbidden":
        return RequestError("invalid", field, "is not a field of this request; see /docs.json", ("", "unknown"))
    missing = "is missing; it " if kind == "missing" else ""
    shape = ("", "shape")
    if not path:
        return RequestError("invalid", "body", 'must be an object: {"rows": [{…}, …]}', shape)
    if len(path) == 1:
        return RequestError("invalid", field, f"{missing}must be a list of 1 to {contract['max_rows']} rows", shape)
    if len(path) == 2:
        return RequestError("invalid", field, "must be an object with one value a feature; see /docs.json", shape)
    feature = next(feature for feature in contract["features"] if feature["name"] == path[2])
    wrong_type = kind.endswith("_type") or kind == "int_from_float"
    rule = kind if missing else "null" if error.get("input", 0) is None else "type" if wrong_type else "value"
    return RequestError("invalid", field, f"{missing}must be {expectation(feature)}", (feature["name"], rule))


def expectation(feature: Mapping[str, Any]) -> str:
    """All that a value must be, in words: the same whichever part of it was broken."""
    if feature["allowed"] is not None:
        more = len(feature["allowed"]) - LISTED
        text = "one of " + ", ".join(str(value)[:SHOWN] for value in feature["allowed"][:LISTED])
        text = text[:800] + (f" and {more} more, see /docs.json" if more > 0 else "")
    elif feature["type"] == "string":
        text = "text" + (f" that matches {feature['pattern'][:200]}" if feature["pattern"] else "")
    else:
        low = f"above {feature['above']}" if feature["above"] is not None else f"from {feature['min']}"
        high = f"below {feature['below']}" if feature["below"] is not None else f"to {feature['max']}"
        unit = f" ({feature['unit']})" if feature["unit"] else ""
        text = f"{'an integer' if feature['type'] == 'integer' else 'a finite number'} {low} {high}{unit}"
    return text + (" or null" if feature["nullable"] else "")
