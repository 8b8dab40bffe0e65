"""What each task answers: fields, labels, bins, errors and documents, by contract.json alone."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from serving.runtime import openapi, smoke
from serving.runtime.predictor import Predictor
from serving.runtime.service import create
from tests.serving import toy
from tests.serving.test_smoke import stub
from tests.serving.toy import answer, rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what BentoML calls
    pytest.mark.filterwarnings("ignore:Using `httpx`"),
    pytest.mark.xdist_group("toys-of-every-task"),
]
REQUEST = rows({"amount": 100, "kind": "b"}, {"amount": 1000, "kind": "b"}, {"amount": -1000}, {"amount": 10})
ANSWERS: dict[str, dict[str, Any]] = {
    "scores": {"labels": [1, 1, 0, 0]},
    "probabilities": {"labels": ["fine", "fine", 'a "b" | <ü>', 'a "b" | <ü>']},
    "predictions": {},
}
VALUES: dict[str, list[Any]] = {
    "scores": [0.6655, 0.8, 0.0, 0.2625],
    "probabilities": [
        dict(zip(toy.CLASSES, shares, strict=True))
        for shares in ((0.6655, 0.2509, 0.0836), (0.8, 0.15, 0.05), (0.0, 0.75, 0.25), (0.2625, 0.5531, 0.1844))
    ],
    "predictions": [46.55, 60.0, -20.0, 6.25],
}
BINS = {"scores": {0: 1, 2: 1, 6: 1, 7: 1}, "probabilities": {0: 2, 1: 2}, "predictions": {0: 1, 3: 1, 7: 1, 8: 1}}


@pytest.fixture
def contract(served: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((served / "contract.json").read_text())
    return found


def counted(endpoint: Any, name: str) -> dict[str, float]:
    """Label value -> count of a metric."""
    families = text_string_to_metric_families(endpoint.telemetry.exposition().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {each.labels.get("bin", each.labels.get("reason", "")): each.value for each in samples}


def test_a_caller_gets_values_and_what_follows_from_them(endpoint_of_task: Any, contract: dict[str, Any]) -> None:
    status, found = answer(endpoint_of_task, REQUEST)
    field = contract["answer"]["field"]
    assert status == 200
    values = found.pop(field)
    for got, wanted in zip(values, VALUES[field], strict=True):
        assert got == pytest.approx(wanted, abs=0.01 if field == "predictions" else 1e-4)
    assert found == {**ANSWERS[field], "model": contract["model"], "version": contract["version"]}
    (alone,) = answer(endpoint_of_task, {"rows": REQUEST["rows"][:1]})[1][field]
    assert alone == pytest.approx(values[0], rel=1e-5)


def test_the_typed_api_answers_the_same_and_its_example_can_be_posted(served: Path, endpoint_of_task: Any) -> None:
    service = create(served)
    with TestClient(service.to_asgi()._app) as client:
        assert client.post("/predict", json=REQUEST).json() == answer(endpoint_of_task, REQUEST)[1]
    schemas = service.openapi_spec.asdict()["components"]["schemas"]
    assert answer(endpoint_of_task, schemas["Request"]["example"])[0] == 200


def test_the_document_says_what_is_answered(served: Path, contract: dict[str, Any]) -> None:
    document = openapi.amended(create(served).openapi_spec, contract).asdict()
    schema, field = document["components"]["schemas"]["Answer"]["properties"], contract["answer"]["field"]
    assert schema[field]["description"] == contract["answer"]["description"]
    assert ("labels" in schema) == (field != "predictions")
    items = schema[field]["items"]
    if field == "probabilities":
        assert items["propertyNames"]["enum"] == schema["labels"]["items"]["enum"] == toy.CLASSES
        items = items["additionalProperties"]
    limits = {"type": "number", "x-unit": "EUR"} if field == "predictions" else {"maximum": 1.0, "minimum": 0.0}
    assert items.items() >= limits.items()


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "malformed"),
        (rows({"kind": "c"}), 400, "invalid"),
        (b" " * 5000, 413, "too_large"),
        (rows({"amount": 666}), 500, "not_finite"),
        (rows({}, {"amount": 666}), 500, "not_finite"),
        (rows({"count": 120}), 500, "inference"),
    ],
)
def test_every_error_is_one_of_every_task(endpoint_of_task: Any, body: Any, status: int, kind: str) -> None:
    found, content = answer(endpoint_of_task, body)
    assert (found, set(content["error"])) == (status, {"field", "reason"})
    assert {name for name, count in counted(endpoint_of_task, "ml_errors_total").items() if count} == {kind}


def test_rows_are_counted_by_bin_and_some_as_positives(endpoint_of_task: Any, contract: dict[str, Any]) -> None:
    answer(endpoint_of_task, REQUEST)
    for row in REQUEST["rows"]:
        answer(endpoint_of_task, {"rows": [row]})
    bins = counted(endpoint_of_task, "ml_score_bin_total")
    field = contract["answer"]["field"]
    assert list(bins) == [str(index) for index in range(10)]
    assert {int(name): count for name, count in bins.items() if count} == {
        index: count * 1.25 for index, count in BINS[field].items()
    }
    assert list(counted(endpoint_of_task, "ml_positive_total").values()) == ([2.5] if field == "scores" else [])


def test_the_contract_has_the_file_s_bins_and_the_target_s_unit(contract: dict[str, Any]) -> None:
    found = contract["answer"]
    edges = {"scores": [place / 10 for place in range(1, 10)], "probabilities": None, "predictions": toy.EDGES}
    assert found["edges"] == edges[found["field"]]
    assert found["unit"] == ("EUR" if found["field"] == "predictions" else None)
    assert found["field"] not in ("labels", "model", "version")


def test_an_output_of_another_shape_never_gets_ready(served: Path, contract: dict[str, Any]) -> None:
    other = copy.deepcopy(contract)
    other["answer"]["names"] = None if contract["answer"]["names"] else ["a", "b"]
    with pytest.raises(ValueError, match=r"values of shape \(1"):
        Predictor(served / "model.onnx", other)


def test_the_smoke_test_names_what_is_not_sound(endpoint_of_task: Any, contract: dict[str, Any]) -> None:
    field, many = contract["answer"]["field"], REQUEST["rows"]
    sound = answer(endpoint_of_task, REQUEST)[1]
    values = sound[field]
    broken: list[tuple[Any, str]] = [
        ({field: values[1:]}, f"{field}: not one value for each of 4 rows"),
        ({field: None}, f"{field}: not one value for each of 4 rows"),
        ({field: ["high", *values[1:]]}, f"{field}: a "),
        ({field: [math.nan, *values[1:]]}, f"{field}: a "),
        ({"labels": ["nonsense"] * 4}, "labels: one does not follow from "),
        ({"model": "other"}, "model is 'other' instead of "),
    ]
    if contract["answer"]["names"]:
        name = toy.CLASSES[0]
        broken += [
            ({field: [values[0] | {"more": 0.0}, *values[1:]]}, f"{field}: a row is no object with a share for each"),
            ({field: [values[0] | {name: 0.9}, *values[1:]]}, f"{field}: the shares of a row do not add up to 1"),
            ({field: [values[0] | {name: -0.1}, *values[1:]]}, f"{field}: a value is not in [0, 1]"),
        ]
    replies = iter([sound, [], *(sound | changes for changes, _ in broken)])
    with stub(lambda _: (200, json.dumps(next(replies)).encode())) as address:
        assert smoke.fault(contract, many, address) is None
        assert smoke.fault(contract, many, address) == "the answer is no object"
        for changes, words in broken:
            assert str(smoke.fault(contract, many, address)).startswith(words), changes
