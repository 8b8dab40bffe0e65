"""What the contract takes from a schema, what it refuses to leave out, and that it carries everything."""

import hashlib
import json
from typing import Any

import numpy as np
import pandera.polars as pa
import polars as pl
import pytest

from data_schemas.lib import datasets
from models.lib import config, settings
from repo.lib.refusal import Refusal
from serving.lib import derivation
from serving.runtime import request
from tests.serving import toy
from tests.support.specimens import DATASET, NAME


def derive(monkeypatch: pytest.MonkeyPatch, **columns: Any) -> dict[str, dict[str, Any]]:
    """The features of a schema with these columns (name -> (type, field)), by name."""
    fields = {name: field for name, (_, field) in columns.items()}
    types = {"__annotations__": {name: kind for name, (kind, _) in columns.items()}}
    schema = type("Schema", (pa.DataFrameModel,), {**fields, **types})
    monkeypatch.setattr(datasets, "schema", lambda _: schema)
    model = config.load(NAME, check_columns=False).model_copy(update={"features": list(columns)})
    return {feature["name"]: feature for feature in derivation.derive(model)["features"]}


def test_every_kind_of_column_becomes_a_feature_with_its_limits_and_meaning(contract: dict[str, Any]) -> None:
    kind, code, count, size, amount, weight, free = contract["features"]
    assert (kind["type"], kind["allowed"], kind["unit"]) == ("string", ["a", "b", "ü"], "code")
    assert (code["pattern"], code["nullable"], code["example"]) == ("^[A-Z]{3}$", True, "ABC")
    assert (count["type"], count["min"], count["max"], count["description"]) == ("integer", 0, 150, "How many")
    assert (size["type"], size["allowed"], size["min"]) == ("integer", [1, 2, 3], None)
    assert (amount["type"], amount["nullable"], amount["unit"]) == ("number", True, "EUR")
    assert (weight["above"], weight["below"], weight["min"], weight["example"]) == (0, 50, None, 1.5)
    assert free["max"] == pytest.approx(3.4e38, rel=0.01)  # the tensor's limit, so that no request becomes infinite
    assert [feature["name"] for feature in contract["features"]] == list(toy.ROW)  # the order of the graph's inputs


def test_the_contract_names_model_file_and_limits(contract: dict[str, Any]) -> None:
    keys = ("model", "max_rows", "max_body_bytes", "latency_budget_ms", "slow_ms")
    assert [contract[key] for key in keys] == [toy.NAME, 5, 4000, 10.0, 5.0]
    assert contract["version"] == f"onnx-{contract['onnx_sha256'][:12]}"


def test_the_contract_has_the_file_s_bins_but_of_no_personal_column(contract: dict[str, Any]) -> None:
    bins = {feature["name"]: feature["bins"] for feature in contract["features"]}
    assert bins == {**toy.BINS, "size": None, "free": None}
    assert [feature["name"] for feature in contract["features"] if feature["personal"]] == ["free"]
    assert contract["profile"] == hashlib.sha256(json.dumps(toy.BINS, sort_keys=True).encode()).hexdigest()[:12]
    assert (contract["answer"]["fine"], contract["feedback_days"], contract["log"]) == (toy.FINE, 60, None)


@pytest.mark.parametrize(
    ("field", "pattern", "accepted", "refused"),
    [
        ({"str_matches": "[ab]x"}, "^(?:[ab]x)", "bxy", "ybx"),  # pandera anchors it at the start only
        ({"str_contains": "x$"}, "x$", "yx", "xy"),
        ({"str_startswith": "a."}, r"^a\.", "a.b", "aab"),
        ({"str_endswith": "+"}, r"\+$", "a+", "+a"),
        ({"str_length": {"min_value": 2, "max_value": 3}}, r"^[\s\S]{2,3}$", "a\n", "abcd"),
    ],
)
def test_text_checks_become_the_pattern_that_pandera_enforces(
    field: dict[str, Any], pattern: str, accepted: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature = derive(monkeypatch, name=(str, pa.Field(**field, metadata={"example": accepted})))["name"]
    assert feature["pattern"] == pattern
    schema = datasets.schema("any")
    schema.validate(pl.DataFrame({"name": [accepted]}))
    with pytest.raises(pa.errors.SchemaError):
        schema.validate(pl.DataFrame({"name": [refused]}))
    decode = request.decoder({"features": [feature], "max_rows": 9})
    decode(json.dumps({"rows": [{"name": accepted}]}).encode())
    with pytest.raises(ValueError, match="does not match its pattern"):
        decode(json.dumps({"rows": [{"name": refused}]}).encode())


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [
        (int, pa.Field(ne=3), "cannot enforce the check 'not_equal_to'"),
        (int, pa.Field(nullable=True), "has no null"),
        (float, pa.Field(isin=[0.1, 0.2]), "allowed floats"),
        (str, pa.Field(isin=["a"], str_matches="a"), "keep the list alone"),
        (str, pa.Field(str_matches="^b$"), 'add one to its field as `metadata={"example": "…"}`'),
        (str, pa.Field(str_matches="^b$", metadata={"example": "a"}), "the example 'a' is refused"),
        (int, pa.Field(in_range=(0, 9), ge=1), "two checks set 'min'"),
        (int, pa.Field(isin=[1.5]), "the allowed value 1.5 is no integer"),
        (float, pa.Field(ge=float("inf")), "no value is on the right side"),
        (str, pa.Field(ge="a"), "cannot compare with 'a'"),
        (bool, pa.Field(), "must be text, an integer or a float"),
    ],
)
def test_what_the_service_could_not_enforce_is_refused_with_file_and_column(
    kind: Any, field: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal, match=words) as refusal:
        derive(monkeypatch, column=(kind, field))
    assert f"{DATASET}/schema.py: column: " in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "field", "limits"),
    [
        (int, {"in_range": (0, 1e6)}, {"min": 0, "max": 1_000_000}),
        (int, {"in_range": (0.5, 9.5)}, {"min": 1, "max": 9}),
        (int, {"gt": 0.5, "lt": 9.5}, {"above": 0, "below": 10}),
        (int, {"ge": 0, "le": float("inf")}, {"min": 0, "max": 2**63 - 1}),
        (int, {"isin": np.array([3, 1])}, {"allowed": [3, 1]}),
        (int, {"isin": {30, 4, 12}}, {"allowed": [4, 12, 30]}),
        (str, {"isin": frozenset("cab")}, {"allowed": ["a", "b", "c"]}),
        (float, {"in_range": (np.float64(0.25), np.float32(5))}, {"min": 0.25, "max": 5.0}),
        (float, {"ge": 0, "le": 1e300}, {"min": 0, "max": request.FLOAT32_MAX}),
    ],
)
def test_limits_as_python_writes_them_are_served(
    kind: Any, field: dict[str, Any], limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    feature = derive(monkeypatch, column=(kind, pa.Field(**field)))["column"]
    written = json.dumps({key: feature[key] for key in limits})
    assert written == json.dumps(limits)
    accepted = {"rows": [{"column": feature["example"]}]}
    request.decoder({"features": [feature], "max_rows": 1})(json.dumps(accepted).encode())


def test_a_feature_that_is_no_column_is_refused() -> None:
    model = config.load(NAME, check_columns=False).model_copy(update={"features": ["nonsense"]})
    with pytest.raises(Refusal, match="'nonsense' is not a column of specimen_trips"):
        derivation.derive(model)


@pytest.mark.parametrize(("features", "dropped"), [(['a"b'], []), (["a"], ["a\n"]), (["a"], [""]), (["a"], ["b", "b"])])
def test_a_name_that_no_key_of_a_request_can_have_is_refused(
    features: list[str], dropped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = pa.DataFrameSchema({name: pa.Column(float) for name in [*features, "arr_delay"]})
    monkeypatch.setattr(datasets, "schema", lambda _: type("Schema", (), {"to_schema": lambda _=None: schema}))
    model = config.load(NAME, check_columns=False)
    serving = model.serving.model_copy(update={"dropped": dropped})
    with pytest.raises(Refusal, match="cannot be a key of a request"):
        derivation.derive(model.model_copy(update={"features": features, "serving": serving}))


def test_the_contract_says_its_number_and_starts_at_1() -> None:
    model = config.load(NAME, check_columns=False)
    served = model.model_copy(update={"serving": model.serving.model_copy(update={"api": 7})})
    found = derivation.derive(served)
    assert (found["api"], found["onnx_sha256"]) == (7, None)  # without a file it compares two commits
    assert {found["profile"], found["answer"]["fine"], *(each["bins"] for each in found["features"])} == {None}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert settings.Serving.model_fields["api"].default == 1
