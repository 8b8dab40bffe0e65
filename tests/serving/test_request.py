"""The fast path and the typed API hold the same contract: the same answers, and the same faults in the same words."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.runtime import errors, request
from tests.serving import toy
from tests.serving.conftest import in_process
from tests.serving.toy import ROW, answer, rows, without
from tests.support.answers import NUMBERS

# Of what BentoML calls; nothing that this repository could change.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx`"),
]


def raw(text: str, **change: str) -> bytes:
    """The sample request as text, with some values replaced by JSON text that Python would not write."""
    for name, value in change.items():
        text = text.replace(f'"{name}": {json.dumps(ROW[name])}', f'"{name}": {value}')
    return text.encode()


ONE = json.dumps(rows())
ACCEPTED: dict[str, Any] = {
    "a row": rows(),
    "as many rows as allowed": rows(*[{}] * 5),
    "an integer for a number": rows({"amount": 2, "free": 3}),
    "null where it may be": rows({"code": None, "amount": None}),
    "a field left out that may be null": without("code"),
    "the limits themselves": rows({"count": 0, "amount": -1000}, {"count": 99, "amount": 1000}),
    "an exponent": raw(ONE, amount="1.5e2"),
    "minus zero": raw(ONE, amount="-0.0", count="-0"),
    "a key twice, the last counts": raw(ONE, count='4, "count": 3'),
    "an escaped letter": raw(ONE, kind=r'"\u0061"'),
    "a large integer for a number": raw(ONE, free="1" + "0" * 30),
}
MALFORMED: dict[str, bytes] = {
    "half a document": ONE.encode()[:-3],
    "two documents": ONE.encode() * 2,
    "not JSON at all": b"rows=1",
    "broken UTF-8": raw(ONE, kind='"?"').replace(b"?", b"\xff"),
    "half a surrogate pair": raw(ONE, kind=r'"\ud800"'),
    "a byte order mark": b"\xef\xbb\xbf" + ONE.encode(),
    "a trailing comma": ONE.encode()[:-1] + b",}",
    "a leading zero": raw(ONE, count="03"),
    "single quotes": ONE.replace('"', "'").encode(),
    "a comment": b"// hello\n" + ONE.encode(),
    "brackets without end": b"[" * 3000,
}
# name -> (request, field)
INVALID: dict[str, tuple[Any, str]] = {
    "a list": ([], "body"),
    "nothing": (b"", "rows"),
    "no rows key": ({}, "rows"),
    "no rows": ({"rows": []}, "rows"),
    "too many rows": (rows(*[{}] * 6), "rows"),
    "another key beside rows": ({**rows(), "id": 1}, "id"),
    "a row that is a list": ({"rows": [ROW, []]}, "rows[1]"),
    "an unknown field": (rows({}, {"color": 1}), "rows[1].color"),
    "a missing field": (without("count"), "rows[0].count"),
    "text for a number": (rows({"amount": "1.5"}), "rows[0].amount"),
    "a number for an integer": (rows({"count": 1.0}), "rows[0].count"),
    "a number for an integer of a list": (rows({"size": 1.0}), "rows[0].size"),
    "true for an integer of a list": (rows({"size": True}), "rows[0].size"),
    "a number for text": (rows({"kind": 1}), "rows[0].kind"),
    "null where it may not be": (rows({"count": None}), "rows[0].count"),
    "over the maximum": (rows({}, {}, {"count": 151}), "rows[2].count"),
    "under the minimum": (rows({"amount": -1000.5}), "rows[0].amount"),
    "on an exclusive limit": (rows({"weight": 0}), "rows[0].weight"),
    "a value that is not allowed": (rows({"kind": "c"}), "rows[0].kind"),
    "text against the pattern": (rows({"code": "abc"}), "rows[0].code"),
    "a newline after the pattern": (rows({"code": "ABC\n"}), "rows[0].code"),
    "NaN": (raw(ONE, amount="NaN"), "rows[0].amount"),
    "infinity": (raw(ONE, free="Infinity"), "rows[0].free"),
    "1e999": (raw(ONE, free="1e999"), "rows[0].free"),
    "beyond float32": (raw(ONE, free="1e39"), "rows[0].free"),
    "four hundred digits": (raw(ONE, free="3" * 400), "rows[0].free"),
}


@pytest.fixture(scope="module")
def typed(bento: Path) -> Iterator[Any]:
    """The typed API of the toy's service in this process: BentoML's application without the endpoint before it."""
    from starlette.testclient import TestClient

    from serving.runtime.service import create

    application = create(bento / "src").to_asgi()
    with TestClient(application._app) as client:
        yield client


def both(endpoint: Any, typed: Any, contract: dict[str, Any], body: Any) -> tuple[tuple[int, Any], tuple[int, Any]]:
    """(status, answer or {field, reason}) of the fast path and of the typed API."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, fast = answer(endpoint, content)
    response = typed.post("/predict", content=content, headers={"content-type": "application/json"})
    slow = response.json()
    if response.status_code == 400:
        fault = errors.explain(slow["detail"][0], contract)
        slow = {"field": fault.field, "reason": fault.reason}
    return (status, fast.get("error", fast)), (response.status_code, slow)


@pytest.mark.parametrize("name", ACCEPTED)
def test_both_paths_give_the_same_answer(name: str, endpoint: Any, typed: Any, contract: dict[str, Any]) -> None:
    fast, slow = both(endpoint, typed, contract, ACCEPTED[name])
    assert fast == slow
    assert fast[0] == 200
    assert list(fast[1]) == ["scores", "labels", "model", "version"]


@pytest.mark.parametrize("name", MALFORMED)
def test_both_paths_call_it_malformed(name: str, endpoint: Any, typed: Any, contract: dict[str, Any]) -> None:
    fast, slow = both(endpoint, typed, contract, MALFORMED[name])
    assert fast == slow
    assert fast[0] == 400
    assert fast[1]["field"] == "body"
    assert fast[1]["reason"].startswith("must be JSON: ")


@pytest.mark.parametrize("name", INVALID)
def test_both_paths_refuse_with_the_same_reason(name: str, endpoint: Any, typed: Any, contract: dict[str, Any]) -> None:
    body, field = INVALID[name]
    fast, slow = both(endpoint, typed, contract, body)
    assert fast == slow
    assert (fast[0], fast[1]["field"]) == (400, field)


RULES = {
    "a missing field": "missing",
    "null where it may not be": "null",
    "text for a number": "type",
    "a number for an integer": "type",
    "true for an integer of a list": "type",
    "over the maximum": "value",
    "a value that is not allowed": "value",
    "text against the pattern": "value",
    "NaN": "value",
    "an unknown field": "unknown",
    "another key beside rows": "unknown",
    "no rows": "shape",
    "a row that is a list": "shape",
}


def test_what_is_invalid_is_counted_by_feature_and_rule(endpoint: Any) -> None:
    def violations() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(endpoint.telemetry.exposition().decode())
        (family,) = [each for each in families if each.name == "ml_violations"]
        return {(each.labels["feature"], each.labels["rule"]): each.value for each in family.samples}

    before = violations()
    for name, (body, field) in INVALID.items():
        assert answer(endpoint, body)[0] == 400
        now = violations()
        assert set(now) == set(before)
        ((feature, rule),) = [key for key, count in now.items() if count != before[key]]
        assert rule == RULES.get(name, rule)
        assert feature == ("" if rule in errors.BROKEN else field.rpartition(".")[2]), name
        before = now


def test_both_paths_agree_on_requests_of_chance(endpoint: Any, typed: Any, contract: dict[str, Any]) -> None:
    chance = random.Random(3)  # noqa: S311
    values: list[Any] = [None, True, False, 0, 1, -1, 3, 151, 2**63, 10**25, 0.0, -0.5, 1.0, 49.99, 1e38, 1e300]
    values += ["", "a", "ABC", "AB", "1", "ABCD", "\n", "ü", [], [1], {}, {"a": 1}]
    verdicts = []
    for _ in range(250):
        request = rows(*[{}] * chance.randint(1, 3))
        for _ in range(chance.randint(0, 2)):
            chance.choice(request["rows"])[chance.choice([*ROW, "more"])] = chance.choice(values)
        if chance.random() < 0.2:
            del chance.choice(request["rows"])[chance.choice(list(ROW))]
        fast, slow = both(endpoint, typed, contract, request)
        assert fast == slow, request
        verdicts.append(fast[0])
    assert min(verdicts.count(200), verdicts.count(400)) > 40


TAKEN = ["_c0", "model_dump", "model_config", "a b", "a-b", "class", "__x__", "rows", "é", "schema"]


@pytest.mark.parametrize("name", TAKEN)
def test_a_column_may_have_any_name_that_json_can_spell(name: str) -> None:
    limits = dict.fromkeys(("above", "below", "allowed", "pattern", "unit")) | {"min": -1.0, "max": 1.0}
    feature = {"name": name, "type": "number", "nullable": False, "description": "d", "example": 0.5} | limits
    contract = {"max_rows": 3, "features": [feature], "dropped": [f"{name}2"], "answer": NUMBERS}
    body = json.dumps({"rows": [{name: 0.25, f"{name}2": 1}]})
    typed = request.models(contract)[0]
    found: Any = typed.model_validate_json(body)
    assert request.decoder(contract)(body.encode()) == [(0.25,)]
    assert [tuple(row.model_dump().values())[:1] for row in found.rows] == [(0.25,)]
    assert set(typed.model_json_schema()["$defs"]["Row"]["properties"]) == {name, f"{name}2"}
    with pytest.raises(pydantic.ValidationError) as refused:
        typed.model_validate_json(json.dumps({"rows": [{name: 7}]}))
    assert errors.explain(refused.value.errors()[0], contract).field == f"rows[0].{name}"
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        typed.model_validate_json(json.dumps({"rows": [{name: 0.25, "column_0": 1}]}))


def test_a_reason_says_all_that_belongs_there(endpoint: Any) -> None:
    def reason(body: Any) -> Any:
        return answer(endpoint, body)[1]["error"]["reason"]

    assert reason(rows({"kind": "z"})) == "must be one of a, b, ü"
    assert reason(rows({"code": 1})) == "must be text that matches ^[A-Z]{3}$ or null"
    assert reason(rows({"count": -1})) == "must be an integer from 0 to 150 (pieces)"
    assert reason(rows({"amount": "x"})) == "must be a finite number from -1000 to 1000 (EUR) or null"
    assert reason(rows({"weight": 99})) == "must be a finite number above 0 below 50 (kg)"
    assert reason(without("count")).startswith("is missing; it must be an integer")
    assert reason({"rows": []}) == "must be a list of 1 to 5 rows"


@pytest.mark.parametrize(
    "body",
    [
        rows(*[{"kind": "x" * 300, "count": "y" * 100}] * 5),
        rows({"k" * 3000: 1}),
        {**rows(), "é" * 500: 1},
        rows({"kind": "z" * 3500}),
        {"rows": [{str(number): number for number in range(300)}]},
        {"rows": [[]] * 900},
    ],
)
def test_an_error_stays_below_two_kilobytes_whatever_was_sent(body: Any, endpoint: Any) -> None:
    status, found = answer(endpoint, body)
    assert status == 400
    assert len(json.dumps(found, ensure_ascii=False).encode()) < 2048
    assert "xxx" not in json.dumps(found)
    assert "zzz" not in json.dumps(found)


def test_a_key_twice_with_a_value_that_does_not_fit_is_refused(endpoint: Any) -> None:
    status, found = answer(endpoint, raw(ONE, count='9999, "count": 3'))
    reason = "must fit the contract and name every key once; see /docs.json"
    assert (status, found["error"]) == (400, {"field": "body", "reason": reason})


def test_a_dropped_feature_of_many_levels_is_malformed(bento: Path, contract: dict[str, Any]) -> None:
    endpoint = in_process(bento / "src", contract | {"dropped": ["old"]})
    status, found = answer(endpoint, raw(ONE, kind=f'"a", "old": {"[" * 1500}{"]" * 1500}'))
    assert (status, found["error"]["reason"][:40]) == (400, "must be JSON: recursion limit exceeded a")


def test_two_hundred_wrong_rows_are_one_error(contract: dict[str, Any], endpoint: Any) -> None:
    wide = {**contract, "max_rows": 200}
    with pytest.raises(pydantic.ValidationError) as refused:
        request.models(wide)[0].model_validate_json(json.dumps(rows(*[{"count": -1}] * 200)))
    assert [error["loc"] for error in refused.value.errors()] == [("rows", 0, "count")]
    assert answer(endpoint, rows({"count": -1}, {"count": -2}))[1]["error"]["field"] == "rows[0].count"


def test_many_allowed_values_are_cut_short_in_an_error() -> None:
    feature = {"allowed": [f"value {number} " + "v" * 500 for number in range(300)], "nullable": False}
    text = errors.expectation(feature)
    assert len(text) < 1000
    assert text.endswith("and 280 more, see /docs.json")


def test_a_pattern_remembers_what_matched_within_bounds() -> None:
    pattern = request.Pattern("^[a-z]+[0-9]*$", nullable=True)
    pattern.check(["a", None, "b", "a" * 5000])  # type: ignore[list-item]
    assert pattern.known == {None, "a", "b"}
    for number in range(5000):
        pattern.check([f"a{number}"])
    assert len(pattern.known) == request.KNOWN
    for _ in range(2):  # what did not match is not remembered as if it had
        with pytest.raises(ValueError, match="does not match"):
            pattern.check(["a", "A"])


def test_python_and_other_patterns_end_at_the_same_place() -> None:
    assert request.python_pattern(r"^a$|[$]\$$") == r"^a\Z|[$]\$\Z"


def test_nulls_reach_the_graph_as_empty_text_and_nan(endpoint: Any) -> None:
    one = answer(endpoint, rows({"code": None, "amount": None}))[1]["scores"]
    many = answer(endpoint, rows({"code": None, "amount": None}, {}))[1]["scores"]
    assert one == pytest.approx([0.25 + 0.05], abs=1e-6)  # sigmoid(0) / 2, and what the graph adds for no code
    assert many[0] == one[0]
    assert many[1] != one[0]
    # The arrays of a single row are used again: nothing of the row before may be left.
    assert answer(endpoint, rows())[1]["scores"] == pytest.approx([many[1]], abs=1e-6)


def test_labels_follow_the_threshold_as_the_caller_sees_the_scores(endpoint: Any) -> None:
    status, found = answer(endpoint, rows({"amount": 1000}, {"amount": -1000}, {"amount": 0, "kind": "b"}))
    assert status == 200
    assert found["labels"] == [int(score >= 0.5) for score in found["scores"]]
    assert set(found["labels"]) == {0, 1}
    assert (found["model"], found["version"][:5]) == (toy.NAME, "onnx-")
