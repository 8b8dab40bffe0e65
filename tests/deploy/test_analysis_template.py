"""Templates and their arguments: filled in as Argo Rollouts does, and refused where it would stumble mid-canary."""

from typing import Any

import pytest

from deploy.canary import template
from repo.lib.refusal import Refusal

ROLLOUT = {
    "metadata": {"name": "specimen-delay", "namespace": "models", "annotations": {"release/slow": "0.005"}},
    "spec": {"replicas": 4, "paused": False, "steps": [{"setWeight": 25}]},
}


ARGS = [{"name": "job"}, {"name": "limit", "value": "4"}, {"name": "range", "value": "45s"}]


def made(name: str = "errors", args: list[Any] | None = None, **metric: Any) -> dict[str, Any]:
    """A template of one metric; keys that are given None are left out."""
    content = {
        "name": name,
        "interval": "30s",
        "successCondition": "len(result) > 0 && result[0] <= {{args.limit}}",
        "failureCondition": "len(result) > 0 && result[0] > {{ args.limit }}",
        "provider": {"prometheus": {"query": 'sum(x{job="{{args.job}}"}[{{args.range}}])'}},
    } | metric
    return {
        "metadata": {"name": f"model-{name}"},
        "spec": {
            "args": ARGS if args is None else args,
            "metrics": [{key: value for key, value in content.items() if value is not None}],
        },
    }


def only(found: dict[str, Any], **values: str) -> template.Metric:
    (metric,) = template.metrics([found], template.arguments([found], {"job": "j", **values}, "Rollout model"))
    return metric


def test_arguments_go_wherever_they_are_named() -> None:
    metric = only(made(), limit="5", range="1m")
    assert metric.query == 'sum(x{job="j"}[1m])'
    assert (metric.success.limit, metric.failure.limit) == (("<=", 5.0), (">", 5.0))
    assert (metric.name, metric.template, metric.interval, metric.count) == ("errors", "model-errors", 30.0, None)


def test_defaults_are_those_of_argo_rollouts() -> None:
    metric = only(made(interval=None))
    assert metric.count == 1
    assert (metric.failure_limit, metric.inconclusive_limit, metric.consecutive_error_limit) == (0, 0, 4)
    assert (metric.consecutive_success_limit, metric.initial_delay) == (0, 0.0)


def test_one_factor_compresses_what_is_time_and_nothing_else() -> None:
    values = {"seconds": "30", "range": "45s", "window": "1h:30s", "limit": "4.6", "requests": "300", "slow": "0.005"}
    shorter = {"seconds": "2.5", "range": "3750ms", "window": "300000ms:2500ms"}
    assert template.compressed(values, 12.0) == values | shorter
    metric = only(made(initialDelay="1m", count=120, inconclusiveLimit=120)).scaled(12.0)
    assert (metric.interval, metric.initial_delay) == (2.5, 5.0)
    assert (metric.count, metric.inconclusive_limit) == (120, 120)


def test_what_a_rollout_gives() -> None:
    args: list[dict[str, Any]] = [
        {"name": "requests", "value": "300"},
        {"name": "canary", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "stable", "valueFrom": {"podTemplateHashValue": "Stable"}},
        {"name": "name", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "slow", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['release/slow']"}}},
        {"name": "weight", "valueFrom": {"fieldRef": {"fieldPath": "spec.steps[0].setWeight"}}},
        {"name": "paused", "valueFrom": {"fieldRef": {"fieldPath": "spec.paused"}}},
    ]
    assert template.given(args, ROLLOUT, "new", "old", "Rollout") == {
        "requests": "300",
        "canary": "new",
        "stable": "old",
        "name": "specimen-delay",
        "slow": "0.005",
        "weight": "25",
        "paused": "false",
    }


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ([{"name": "a"}], "gives the argument a no value"),
        ([{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}], "argument a: the Rollout"),
        ([{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.steps[7]"}}}], r"at spec\.steps\[7\]"),
        ([{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.steps"}}}], r"at spec\.steps;"),
    ],
)
def test_what_a_rollout_cannot_give_is_refused(args: list[Any], fault: str) -> None:
    with pytest.raises(Refusal, match=fault):
        template.given(args, ROLLOUT, "new", "old", "Rollout model")


def test_an_argument_from_elsewhere_than_a_secret_is_refused() -> None:
    other = made(args=[{"name": "job", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])
    with pytest.raises(Refusal, match="argument job comes from no Secret"):
        template.arguments([other], {}, "Rollout model")


def test_two_templates_share_an_argument_and_one_value_is_enough() -> None:
    other = made("latency", [{"name": "job", "value": "default"}, {"name": "limit"}, {"name": "range"}])
    found = template.arguments([other, made()], {}, "Rollout model")
    assert found == {"job": "default", "limit": "4", "range": "45s"}


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (
            {"successCondition": "result[0] < {{args.lmit}}"},
            r"uses \{\{args.lmit\}\}, which its template",
        ),
        ({"interval": "30 s"}, r"interval is '30 s'"),
        ({"count": "many"}, r"count is 'many'"),
        ({"failureLimit": -2}, r"failureLimit is -2"),
        ({"inconclusiveLimit": True}, r"inconclusiveLimit is True"),
        ({"failureLimit": -1}, r"switches failureLimit off"),
        ({"count": 3, "failureLimit": 2, "consecutiveSuccessLimit": 2}, r"count is 3, too few .* at least 4"),
        ({"count": 3, "interval": None}, r"measures 3 times without an interval"),
        ({"provider": {"job": {}}}, r"provider must be prometheus"),
        ({"provider": {"prometheus": {"query": " "}}}, r"provider must be prometheus"),
        ({"provider": {"prometheus": {"query": "1", "rangeQuery": {}}}}, r"rangeQuery is not understood"),
        ({"successCriteria": "x"}, r"successCriteria is not understood"),
    ],
)
def test_a_metric_that_rollouts_would_stumble_over_is_refused(changed: dict[str, Any], fault: str) -> None:
    with pytest.raises(Refusal, match=rf"AnalysisTemplate model-errors: spec\.metrics\[0\].*{fault}"):
        only(made(**changed))


def test_a_template_without_metrics_is_refused() -> None:
    empty = made()
    empty["spec"]["metrics"] = []
    with pytest.raises(Refusal, match=r"model-errors: .* has no name; a template measures something"):
        template.metrics([empty], {})


def test_two_metrics_of_one_name_and_an_unknown_part_are_refused() -> None:
    twin = made() | {"metadata": {"name": "model-twin"}}
    values = template.arguments([made(), twin], {"job": "j"}, "Rollout model")
    with pytest.raises(Refusal, match=r"model-twin: .* is named errors, as a metric of model-errors"):
        template.metrics([made(), twin], values)
    dry = made()
    dry["spec"]["dryRun"] = [{"metricName": ".*"}]
    with pytest.raises(Refusal, match=r"model-errors: spec\.dryRun is not understood"):
        template.metrics([dry], values)


def test_a_range_outside_of_arguments_is_found() -> None:
    assert template.literal_ranges("rate(x[{{args.range}}])[1h:30s] # [5m]") == ["[1h:30s]"]
