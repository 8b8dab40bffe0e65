"""The contract as types: msgspec structs that decode a request cheaply, pydantic models that declare and explain it.

Both are made from contract.json, and tests/serving/test_request.py holds them to the same verdicts.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
import pydantic
from pydantic import AfterValidator, ConfigDict, FailFast, Field, create_model

from serving.runtime.answer import labels

FLOAT32_MAX = 3.4028234663852886e38  # a number beyond it is infinite once the graph takes it as float32
INT64 = (-(2**63), 2**63 - 1)

Contract = Mapping[str, Any]
TYPES: dict[str, Any] = {"string": str, "integer": int, "number": float}
LIMITS = {"ge": "min", "gt": "above", "le": "max", "lt": "below"}
KNOWN, SHORT = 4096, 64  # values of a pattern that are remembered, and their length at most: a quarter of a megabyte
DROPPED = "No longer read: accepted and ignored until the API is raised."
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def decoder(
    contract: Contract, noticed: Callable[[str], None] = lambda _: None
) -> Callable[[bytes], list[tuple[Any, ...]]]:
    """A function from a body to its rows, each a tuple in the order of the features.

    `noticed` is called with each dropped feature that a request still sends, once; its values are not looked at.

    Strict: no coercion but an integer where a number is wanted, no unknown keys, no NaN, no infinity. Raises
    ValueError, of which msgspec.DecodeError is one, for what breaks the contract.
    """
    names = {f"column_{index}": feature["name"] for index, feature in enumerate(contract["features"])}
    fields: list[Any] = [
        (field, _struct_type(feature), *([None] if feature["nullable"] else []))
        for field, feature in zip(names, contract["features"], strict=True)
    ]
    dropped = {f"dropped_{index}": name for index, name in enumerate(contract.get("dropped", ()))}
    fields += [(field, Any, msgspec.UNSET) for field in dropped]
    row = msgspec.defstruct(
        "Row",
        fields,
        kw_only=True,  # a nullable feature has a default, and one without may follow it
        rename=names | dropped,
        forbid_unknown_fields=True,
        gc=False,  # holds no containers, so the collector need not look at it
    )
    rows = Annotated[list[row], msgspec.Meta(min_length=1, max_length=contract["max_rows"])]  # type: ignore[valid-type]
    body = msgspec.defstruct("Request", [("rows", rows)], forbid_unknown_fields=True)
    typed: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode
    as_tuple = msgspec.structs.astuple
    patterns = [
        (index, Pattern(feature["pattern"], feature["nullable"]))
        for index, feature in enumerate(contract["features"])
        if feature["pattern"] is not None
    ]

    many = len(names)

    def kept(found: Any) -> list[tuple[Any, ...]]:
        rows = [as_tuple(row) for row in found]
        for place, name in enumerate(dropped.values(), many):
            if any(row[place] is not msgspec.UNSET for row in rows):
                noticed(name)
        return [row[:many] for row in rows]

    def decode(content: bytes) -> list[tuple[Any, ...]]:
        found = typed(content).rows
        rows = kept(found) if dropped else [as_tuple(row) for row in found]
        for index, pattern in patterns:
            pattern.check([row[index] for row in rows])
        return rows

    return decode


class Pattern:
    """A pattern that remembers what has matched it: msgspec would try every value again, half of its time in all."""

    def __init__(self, pattern: str, nullable: bool) -> None:
        self._search = re.compile(python_pattern(pattern)).search
        self.known: set[str | None] = {None} if nullable else set()

    def check(self, values: list[str]) -> None:
        """ValueError unless all match."""
        if self.known.issuperset(values):
            return
        for value in set(values) - self.known:
            if self._search(value) is None:
                raise ValueError("text that does not match its pattern")
            if len(self.known) < KNOWN and len(value) <= SHORT:
                self.known.add(value)


def _struct_type(feature: Mapping[str, Any]) -> Any:
    kind = TYPES[feature["type"]]
    if feature["allowed"] is not None:
        kind = Literal[tuple(feature["allowed"])]
    elif feature["type"] != "string":
        limits: dict[str, Any] = {name: feature[key] for name, key in LIMITS.items()}
        kind = Annotated[kind, msgspec.Meta(**limits)]
    return kind | None if feature["nullable"] else kind


def python_pattern(pattern: str) -> str:
    r"""The pattern with `\Z` for `$`, which in Python also matches before a final newline, unlike anywhere else."""
    found, escaped, in_set = "", False, False
    for character in pattern:
        if not escaped:
            in_set = character == "[" or (in_set and character != "]")
        found += r"\Z" if character == "$" and not escaped and not in_set else character
        escaped = character == "\\" and not escaped
    return found


def models(contract: Contract) -> tuple[type[pydantic.BaseModel], type[pydantic.BaseModel]]:
    """(request, answer) as pydantic models: the typed API, its schema in OpenAPI, and the judge of what is wrong."""
    sample = {feature["name"]: feature["example"] for feature in contract["features"]}
    # Named by place: pydantic takes no field called _c0 or model_dump, which a column may be.
    columns: dict[str, Any] = {f"column_{index}": _field(each) for index, each in enumerate(contract["features"])}
    for index, name in enumerate(contract.get("dropped", ())):
        columns[f"dropped_{index}"] = (Any, Field(default=None, alias=name, deprecated=True, description=DROPPED))
    row = create_model("Row", __config__=_strict({"example": sample}), **columns)
    rows = Annotated[
        list[row],  # type: ignore[valid-type]
        FailFast(),  # one wrong row is enough to refuse; two hundred would be two hundred errors
        Field(min_length=1, max_length=contract["max_rows"], description="One object a row."),
    ]
    request = create_model("Request", __config__=_strict({"example": {"rows": [sample]}}), rows=(rows, ...))
    return request, _answer(contract["answer"])


def _answer(answer: Mapping[str, Any]) -> type[pydantic.BaseModel]:
    limits = {"minimum": answer["minimum"], "maximum": answer["maximum"], "x-unit": answer["unit"]}
    extra = {name: limit for name, limit in limits.items() if limit is not None}
    value: Any = Annotated[float, Field(json_schema_extra=extra)]
    if answer["names"]:
        value = dict[Literal[tuple(answer["names"])], value]  # type: ignore[misc]
    fields: dict[str, Any] = {answer["field"]: (list[value], Field(description=answer["description"]))}
    if label := labels(answer):
        fields["labels"] = (label[0], Field(description=label[1]))
    fields["model"] = (str, Field(description="Name of the model."))
    fields["version"] = (str, Field(description="Version of the model."))
    return create_model("Answer", **fields)


def _strict(extra: dict[str, Any]) -> ConfigDict:
    return ConfigDict(**STRICT, json_schema_extra=extra)


def _field(feature: Mapping[str, Any]) -> tuple[Any, Any]:
    """Type and default of one feature; unit and limits are in its schema, in words and as keys."""
    kind = TYPES[feature["type"]]
    extra: dict[str, Any] = {"example": feature["example"]}
    if feature["unit"]:
        extra["x-unit"] = feature["unit"]
    if feature["allowed"] is not None:
        # Not Literal: it takes true for 1.
        kind = Annotated[kind, AfterValidator(lambda value: _one_of(value, feature["allowed"]))]
        extra["enum"] = [*feature["allowed"], *([None] if feature["nullable"] else [])]
    limits = {name: feature[key] for name, key in LIMITS.items() if feature[key] is not None}
    kind = Annotated[kind, Field(pattern=feature["pattern"], **limits)]
    text = Field(alias=feature["name"], description=_text(feature), json_schema_extra=extra)
    return (Annotated[kind | None, text], None) if feature["nullable"] else (Annotated[kind, text], ...)


def _one_of(value: Any, allowed: list[Any]) -> Any:
    if value not in allowed:
        raise ValueError("not one of the allowed values")
    return value


def _text(feature: Mapping[str, Any]) -> str:
    """The OpenAPI text of one feature."""
    unit = f" [{feature['unit']}]" if feature["unit"] else ""
    return f"{feature['description']}{unit}." + (" Null or left out when unknown." if feature["nullable"] else "")
