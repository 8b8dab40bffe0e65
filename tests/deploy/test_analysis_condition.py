"""Conditions: what the templates write is understood exactly, anything else is refused by name."""

import math

import pytest

from deploy.canary import condition, durations
from repo.lib.refusal import Refusal

NAN = math.nan


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        ("len(result) > 0 && result[0] <= 4.6", [4.6], True),
        ("len(result) > 0 && result[0] <= 4.6", [], False),
        ("len(result) > 0 && result[0] <= 4.6", [NAN], False),
        ("len(result) > 0 && result[0] < -2", [-3.0], True),
        ("len(result) == 1&&result[0]>=3e2", [300.0], True),
        ("len(result) == 1 && result[0] >= 3e2", [300.0, 1.0], False),
        ("result[ 0 ] != 1", [NAN], True),
    ],
)
def test_a_condition_holds_as_argo_rollouts_finds_it(text: str, result: list[float], holds: bool) -> None:
    assert condition.parse(text, "here").holds(result) is holds


def test_the_first_value_of_nothing_is_an_error_as_it_is_there() -> None:
    with pytest.raises(IndexError):
        condition.parse("result[0] > 1", "here").holds([])


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("isNaN(result[0]) && result[0] < 1", "isNaN"),
        ("len(result) == 0 || result[0] < 1", "||"),
        ("result[1] < 1", "result[1]"),
        ("result < 1", "result < 1"),
        ("1 > result[0]", "1 > result[0]"),
        ("result[0] < 1 && ", "&&"),
        ("result[0] < {{args.limit}}", "{{args.limit}}"),
        ("result[0] =< 1", "result[0] =< 1"),
    ],
)
def test_anything_else_is_refused_by_name(text: str, unknown: str) -> None:
    with pytest.raises(Refusal) as refused:
        condition.parse(text, "AnalysisTemplate model-errors: spec.metrics[0].successCondition")
    assert str(refused.value).startswith("AnalysisTemplate model-errors: spec.metrics[0].successCondition: ")
    assert f"`{unknown}`" in str(refused.value)


@pytest.mark.parametrize("text", [None, "", "  ", 3])
def test_a_condition_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(Refusal, match="holds no condition"):
        condition.parse(text, "here")


def test_the_limit_is_that_of_the_value() -> None:
    assert condition.parse("len(result) > 0 && result[0] >= 0.95", "here").limit == (">=", 0.95)
    assert condition.parse("len(result) > 0", "here").limit is None


@pytest.mark.parametrize(
    ("text", "factor", "compressed"),
    [
        ("45s", 12.0, "3750ms"),
        ("1h:30s", 12.0, "300000ms:2500ms"),
        ("1h30m", 2.0, "2700000ms"),
        ("4.6", 12.0, "4.6"),
        ("specimen-delay", 12.0, "specimen-delay"),
        ("1ms", 12.0, "1ms"),
    ],
)
def test_only_durations_are_compressed(text: str, factor: float, compressed: str) -> None:
    assert durations.compressed(text, factor) == compressed


@pytest.mark.parametrize("value", ["2 minutes", "", True, "-3s", "1h:30s", None])
def test_a_duration_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(Refusal, match=r"Rollout: pause is .* write it like 30s"):
        durations.seconds(value, "Rollout: pause")
