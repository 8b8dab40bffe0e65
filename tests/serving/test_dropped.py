"""A feature that a model no longer reads is accepted and ignored: both arms of a canary answer its callers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.lib import promise
from deploy.lib.release import Passport, Release
from repo.lib.refusal import Refusal
from serving.lib import compatibility
from serving.runtime import request
from serving.runtime.telemetry import Telemetry
from tests.serving.test_changes import feature, whole

BOTH = whole(feature(), feature("y"))
DROPPED = whole(feature()) | {"dropped": ["y"]}


def decoded(contract: dict[str, Any], *rows: dict[str, Any]) -> tuple[list[tuple[Any, ...]], list[str]]:
    noticed: list[str] = []
    return request.decoder(contract, noticed.append)(json.dumps({"rows": rows}).encode()), noticed


@pytest.mark.parametrize("value", [1.5, "text", None, [1, {"a": 2}], True])
def test_whatever_is_sent_of_it_is_accepted_ignored_and_counted_once(value: Any) -> None:
    assert decoded(DROPPED, {"x": 1, "y": value}, {"x": 2, "y": value}) == ([(1,), (2,)], ["y"])
    request.models(DROPPED)[0].model_validate({"rows": [{"x": 1, "y": value}]})


def test_who_does_not_send_it_is_not_counted() -> None:
    assert decoded(DROPPED, {"x": 1}) == ([(1,)], [])


def test_any_other_key_is_refused_as_before() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        decoded(DROPPED, {"x": 1, "z": 1})


def test_openapi_says_that_it_is_deprecated() -> None:
    schema = request.models(DROPPED)[0].model_json_schema()
    row = next(each for name, each in schema["$defs"].items() if name == "Row")
    assert row["properties"]["y"]["deprecated"] is True
    assert "y" not in row["required"]
    assert "deprecated" not in row["properties"]["x"]


def test_metrics_count_who_still_sends_it_from_zero_on() -> None:
    telemetry = Telemetry(DROPPED)
    assert 'ml_dropped_total{feature="y",model="m",version="v"} 0.0' in telemetry.exposition().decode()
    telemetry.noticed("y")
    assert 'ml_dropped_total{feature="y",model="m",version="v"} 1.0' in telemetry.exposition().decode()


def lines(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(each) for each in compatibility.between(before, after)]


def test_to_drop_a_feature_breaks_nobody_and_to_refuse_it_is_declared() -> None:
    (printed,) = lines(BOTH, DROPPED)
    assert printed.startswith("changes meaning: y: a feature -> dropped: they may stop sending it")
    (broken,) = lines(DROPPED, whole(feature()))
    assert broken.startswith("breaks: y: dropped -> none: callers that still send it are refused")
    declared = lines(DROPPED, whole(feature(), api=2))
    assert any(line.startswith("breaks, declared by api 2: y: dropped -> none") for line in declared)


def test_the_message_names_the_way_that_breaks_nobody() -> None:
    assert "name it in serving.dropped" in lines(BOTH, whole(feature()))[0]
    assert "let it be null first" in lines(whole(feature()), BOTH)[0]


def passport(**serving: Any) -> Passport:
    served = {"strategy": "canary", "slow_ms": 1.0, **serving}
    made = {"model": "m", "version": "0" * 12, "verdict": "pass", "serving": served}
    return Passport.model_validate(made | {"content": {}, "metrics": {}, "gates": [], "judged_by": []})


def test_a_declared_break_never_walks_as_a_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Release("production", "m", {})
    monkeypatch.setattr(Release, "passport", passport(api=1))
    with pytest.raises(Refusal, match=r"raises serving\.api from 1 to 2.*folder of its own.*`strategy: bluegreen`"):
        promise.refuse_declared_break(passport(api=2), standing)
    promise.refuse_declared_break(passport(api=1), standing)
