"""A contract from the dataset's schema and `model.yaml`: what a request may hold, as one plain dict."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data_schemas.lib import datasets
from models.lib.config import Model
from models.lib.tasks import task
from repo.lib.refusal import Refusal
from serving.runtime.request import FLOAT32_MAX, INT64, decoder

if TYPE_CHECKING:
    from pandera.api.polars.components import Column

BOUNDS = {"integer": INT64, "number": (-FLOAT32_MAX, FLOAT32_MAX)}


# msgspec takes no other key; an empty one names nothing in a graph either.
KEY = re.compile(r'[^\x00-\x1f"\\]+')


def derive(
    model: Model, version: str = "unversioned", onnx_sha256: str | None = None, notes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """contract.json: the request, the limits and what the answers hold.

    Each feature has name, type (string, integer or number), nullable, min, max (inclusive), above, below (exclusive),
    allowed, pattern, description, unit, example, personal and bins; what does not apply is null. `dropped` are names
    that are accepted and ignored. `answer` is what models/lib/tasks/ says of the task, with the edges that the file
    noted. `notes` are the file's: `edges` and `fine` of answers, and `bins` of features, of which those that are
    personal get none: they are not counted. `profile` names these bins. `version` and `onnx_sha256` identify the file;
    without them the contract only says what callers send and get, which is what two commits compare.
    """
    notes = notes or {}
    columns = datasets.schema(model.dataset).to_schema().columns
    for name in model.features:
        if name not in columns:
            at = f"{model.folder}/model.yaml: features"
            raise Refusal(f"{at}: {name!r} is not a column of {model.dataset}; fix it there.")
    names = [*model.features, *model.serving.dropped]
    for name in names:
        if not KEY.fullmatch(name) or names.count(name) > 1:
            raise Refusal(
                f"{model.folder}/model.yaml: {name!r} cannot be a key of a request: it is empty, there twice, or holds "
                "a quotation mark, a backslash or a control character; fix it there."
            )
    bins: dict[str, Any] = notes.get("bins") or {}
    features = [_feature(model.dataset, name, columns[name]) for name in model.features]
    for feature in features:
        feature["bins"] = None if feature["personal"] else bins.get(feature["name"])
    answer = task.of(model).answer(notes.get("edges")) | {"fine": notes.get("fine")}
    if answer["maximum"] is None:  # values as the target has them, in its unit; a probability has none
        answer["unit"] = _unit(columns[model.target.column])
    return {
        "model": model.name,
        "description": model.description,
        "api": model.serving.api,
        "version": version,
        "onnx_sha256": onnx_sha256,
        "answer": answer,
        "max_rows": model.serving.max_rows,
        "max_body_bytes": model.serving.max_body_bytes,
        "latency_budget_ms": model.serving.latency_budget_ms,
        "slow_ms": model.serving.slow_ms,
        "features": features,
        "dropped": model.serving.dropped,
        "profile": hashlib.sha256(json.dumps(bins, sort_keys=True).encode()).hexdigest()[:12] if bins else None,
        "feedback_days": model.serving.feedback_days,
        "log": model.serving.log and model.serving.log.model_dump(),
    }


def _unit(column: Column) -> str | None:
    """None where a draft's was not filled in."""
    unit: str | None = (column.metadata or {}).get("unit")
    return None if unit == datasets.UNKNOWN else unit


def _feature(dataset: str, name: str, column: Column) -> dict[str, Any]:
    """One column as a feature; a type or a check that the service could not enforce is refused, never dropped."""
    where = f"data_schemas/{dataset}/schema.py: {name}"
    feature: dict[str, Any] = {
        "name": name,
        "type": _type(where, column),
        "nullable": column.nullable,
        **dict.fromkeys(("min", "max", "above", "below", "allowed", "pattern")),
        "description": column.description or column.title or name,
        "unit": _unit(column),
        "personal": name in datasets.personal(dataset),
    }
    if feature["type"] == "integer" and column.nullable:
        raise Refusal(f"{where}: an integer of a request has no null; make the column a float or not nullable.")
    for check in column.checks:
        found = _limits(check.name, check.statistics or {})
        if found is None:
            raise Refusal(
                f"{where}: the service cannot enforce the check {check.name!r}; state it as in_range, ge, gt, le, lt, "
                "eq, isin, str_matches, str_contains, str_startswith, str_endswith or str_length, or over the table."
            )
        for key, value in found.items():
            if feature[key] is not None:
                raise Refusal(f"{where}: two checks set {key!r} (the second is {check.name!r}); keep one.")
            feature[key] = value
    if feature["allowed"] is not None:  # else the service would have to guess
        if any(feature[key] is not None for key in ("min", "max", "above", "below", "pattern")):
            raise Refusal(f"{where}: a list of allowed values and another limit; keep the list alone.")
        if feature["type"] == "number":
            raise Refusal(f"{where}: a list of allowed floats has no exact meaning; take an integer, text or a range.")
    _as_python(where, feature)
    _bound(feature)
    feature["example"] = (column.metadata or {}).get("example")
    if feature["example"] is None:
        feature["example"] = _example(where, feature)
    try:
        decoder({"features": [feature], "max_rows": 1})(json.dumps({"rows": [{name: feature["example"]}]}).encode())
    except ValueError as error:
        raise Refusal(f"{where}: the example {feature['example']!r} is refused ({error}); give another.") from None
    return feature


def _example(where: str, feature: dict[str, Any]) -> str | int | float:
    """For the OpenAPI page and the warm-up: the first allowed value, any text, or the middle of the range."""
    if feature["allowed"]:
        first: str | int | float = feature["allowed"][0]
        return first
    if feature["pattern"]:
        raise Refusal(
            f"{where}: a column with a pattern needs an example of a value that it accepts; add one to its field as "
            '`metadata={"example": "…"}`.'
        )
    if feature["type"] == "string":
        return "text"
    limits = (feature["min"], feature["above"]), (feature["max"], feature["below"])
    low, high = (next(limit for limit in pair if limit is not None) for pair in limits)
    # Half and half, not half of the sum: the widest limits would overflow.
    middle: float = low / 2 + high / 2
    return round(middle) if feature["type"] == "integer" else round(middle, 3)


def _type(where: str, column: Column) -> str:
    """string, integer or number: the three that a graph's inputs know."""
    import polars as pl

    dtype = getattr(column.dtype, "type", column.dtype)
    if dtype == pl.String:
        return "string"
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "number"
    raise Refusal(f"{where}: a feature must be text, an integer or a float, not {dtype}; choose another column.")


def _limits(check: str | None, statistics: dict[str, Any]) -> dict[str, Any] | None:
    """What one pandera check means for a request; None if nothing here can say it."""
    match check, statistics:
        case "in_range", {"min_value": low, "max_value": high, "include_min": closed_low, "include_max": closed_high}:
            return {"min" if closed_low else "above": low, "max" if closed_high else "below": high}
        case "greater_than_or_equal_to", {"min_value": low}:
            return {"min": low}
        case "greater_than", {"min_value": low}:
            return {"above": low}
        case "less_than_or_equal_to", {"max_value": high}:
            return {"max": high}
        case "less_than", {"max_value": high}:
            return {"below": high}
        case "equal_to", {"value": value}:
            return {"allowed": datasets.listed([value])}
        case "isin", {"allowed_values": values}:
            return {"allowed": datasets.listed(values)}
        case "str_matches", {"pattern": pattern}:  # pandera anchors it at the start
            return {"pattern": pattern if pattern.startswith("^") else f"^(?:{pattern})"}
        case "str_contains", {"pattern": pattern}:
            return {"pattern": pattern}
        case "str_length", {"min_value": low, "max_value": high, "exact_value": exact}:
            low, high = (low or 0, "" if high is None else high) if exact is None else (exact, exact)
            return {"pattern": rf"^[\s\S]{{{low},{high}}}$"}
        case "str_startswith", {"string": text}:
            return {"pattern": f"^{_escape(text)}"}
        case "str_endswith", {"string": text}:
            return {"pattern": f"{_escape(text)}$"}
    return None


def _escape(text: str) -> str:
    """Only what a pattern gives a meaning to: re.escape also escapes what JSON Schema's dialect then refuses."""
    return "".join(f"\\{character}" if character in r"\.^$*+?{}[]|()" else character for character in text)


def _as_python(where: str, feature: dict[str, Any]) -> None:
    """Limits as the feature's own type: whole numbers of an integer, whatever number the schema gives."""
    for key in ("min", "max", "above", "below"):
        if (limit := feature[key]) is None:
            continue
        (limit,) = datasets.listed([limit])
        if feature["type"] == "string" or not isinstance(limit, int | float):
            raise Refusal(f"{where}: the service cannot compare with {limit!r}; give a number, and text a pattern.")
        low, high = BOUNDS[feature["type"]]
        if limit < low if key in ("min", "above") else limit > high:
            limit = None  # no value of a request is there
        elif not math.isfinite(limit):
            raise Refusal(f"{where}: no value is on the right side of the limit {limit}; correct it.")
        elif feature["type"] == "integer":  # below 9.5 is below 10, at most 9.5 is at most 9
            limit = math.ceil(limit) if key in ("min", "below") else math.floor(limit)
        feature[key] = limit
    if feature["type"] == "integer" and feature["allowed"] is not None:
        if wrong := [value for value in feature["allowed"] if not isinstance(value, int | float) or value % 1]:
            raise Refusal(f"{where}: the allowed value {wrong[0]!r} is no integer; correct it.")
        feature["allowed"] = [int(value) for value in feature["allowed"]]


def _bound(feature: dict[str, Any]) -> None:
    """A number without a limit ends where the graph's tensor does: beyond it a request must be a 400, not a NaN."""
    if feature["type"] in BOUNDS and feature["allowed"] is None:
        for pair, limit in zip((("min", "above"), ("max", "below")), BOUNDS[feature["type"]], strict=True):
            if all(feature[key] is None for key in pair):
                feature[pair[0]] = limit
