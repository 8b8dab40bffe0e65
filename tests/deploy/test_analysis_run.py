"""An AnalysisRun ends as the controller of Argo Rollouts would end it: planted cases, measurement by measurement."""

import math
from typing import Any

import pytest

from deploy.canary import condition
from deploy.canary.run import Phase, Run
from deploy.canary.template import Metric

GOOD, BAD, NOTHING, NAN = [1.0], [9.0], [], [math.nan]  # type: ignore[var-annotated]
ERROR = None  # Prometheus did not answer


def metric(name: str = "errors", **settings: Any) -> Metric:
    """Good up to 4, measured every 10 s."""
    success, failure = (condition.parse(f"len(result) > 0 && result[0] {sign} 4", "") for sign in ("<=", ">"))
    given: dict[str, Any] = {"name": name, "template": "t", "query": "q", "success": success, "failure": failure}
    return Metric(**(given | settings))


def measured(run: Run, now: float, **values: list[float] | None) -> Phase:
    """Measure what is due at `now`, by default well."""
    for result in run.due(now):
        found = values.get(result.metric.name, GOOD)
        run.record(result, now, found or [], "no answer" if found is None else "")
    return run.assess()


def after(one: Metric, *found: list[float] | None) -> Run:
    """A run of one metric after these measurements, each as soon as it is due."""
    run, now = Run([one], 0.0), 0.0
    for values in found:
        while not run.due(now):
            now += 1.0
            assert now < 1000, "it is never due"
        measured(run, now, errors=values)
    return run


def test_a_metric_without_count_goes_on_until_it_is_told_to_stop() -> None:
    run = after(metric(interval=10.0), *[GOOD] * 50)
    assert run.phase == Phase.RUNNING
    assert run.assess(terminate=True) == Phase.SUCCESSFUL


def test_a_run_without_a_single_measurement_is_successful_when_it_stops() -> None:
    run = Run([metric(interval=10.0, initial_delay=60.0)], 0.0)
    assert run.due(59.0) == []
    assert run.assess() == Phase.RUNNING
    assert run.assess(terminate=True) == Phase.SUCCESSFUL


BARE = {"success": condition.parse("result[0] <= 4", "")}  # asks for what may not be there
TWICE: dict[str, Any] = {"count": 4, "consecutive_success_limit": 2, "inconclusive_limit": 4}
ROW, WAITING = "measurements in a row were errors, the last: no answer", "measurements were inconclusive, 2 may be"
CASES: list[tuple[dict[str, Any], list[Any], Phase, str]] = [  # settings, what is measured, phase, reason
    ({}, [GOOD, BAD], Phase.FAILED, "1 measurements failed, 0 may"),
    ({"failure_limit": 2}, [BAD, GOOD, BAD], Phase.RUNNING, ""),
    ({"failure_limit": 2}, [BAD, GOOD, BAD, BAD], Phase.FAILED, "3 measurements failed, 2 may"),
    ({"failure_limit": -1, "consecutive_success_limit": 3}, [BAD] * 9, Phase.RUNNING, ""),
    ({}, [NOTHING], Phase.INCONCLUSIVE, "1 measurements were inconclusive, 0 may be"),
    ({}, [NAN], Phase.INCONCLUSIVE, "1 measurements were inconclusive, 0 may be"),
    ({"inconclusive_limit": 2}, [NAN, GOOD, NOTHING], Phase.RUNNING, ""),
    ({"inconclusive_limit": 2}, [NOTHING, GOOD, NAN, NAN], Phase.INCONCLUSIVE, f"3 {WAITING}"),
    (
        {"consecutive_error_limit": 0, **BARE},
        [NOTHING],
        Phase.ERROR,
        "1 measurements in a row were errors, the last: a ",
    ),
    ({}, [ERROR] * 4, Phase.RUNNING, ""),
    ({}, [*[ERROR] * 4, GOOD, *[ERROR] * 4], Phase.RUNNING, ""),
    ({}, [ERROR] * 5, Phase.ERROR, f"5 {ROW}"),
    ({"consecutive_error_limit": 60}, [ERROR] * 60, Phase.RUNNING, ""),
    ({"count": 3}, [GOOD, GOOD], Phase.RUNNING, ""),
    ({"count": 3}, [GOOD, GOOD, GOOD], Phase.SUCCESSFUL, ""),
    ({"count": 3, "failure_limit": 1}, [GOOD, BAD, GOOD], Phase.SUCCESSFUL, ""),
    (TWICE, [NOTHING, GOOD, GOOD], Phase.SUCCESSFUL, ""),
    (TWICE, [GOOD, NOTHING, GOOD], Phase.RUNNING, ""),
    (TWICE, [GOOD, NOTHING] * 2, Phase.INCONCLUSIVE, "4 measurements, but never 2 good ones in a row"),
    (
        TWICE | {"failure_limit": -1},
        [GOOD, NOTHING] * 2,
        Phase.FAILED,
        "4 measurements, but never 2 good ones in a row",
    ),
]


@pytest.mark.parametrize(("settings", "found", "phase", "reason"), CASES)
def test_measurements_end_a_run_as_its_limits_say(
    settings: dict[str, Any], found: list[Any], phase: Phase, reason: str
) -> None:
    run = after(metric(interval=10.0, **settings), *found)
    assert run.phase == phase
    assert (run.worst.reason if run.worst else "").startswith(reason)
    assert bool(run.worst) is bool(reason)


def test_errors_are_tried_again_after_ten_seconds_and_counted_by_no_count() -> None:
    run = Run([metric(interval=60.0, count=2)], 0.0)
    measured(run, 0.0, errors=ERROR)
    assert run.due(9.0) == []
    measured(run, 10.0)
    assert run.due(69.0) == []
    assert measured(run, 70.0) == Phase.SUCCESSFUL


def test_one_failed_metric_ends_the_run_and_nothing_more_is_measured() -> None:
    run = Run([metric(interval=10.0), metric("latency", interval=10.0), metric("late", initial_delay=99.0)], 0.0)
    assert measured(run, 0.0) == Phase.RUNNING
    assert measured(run, 10.0, latency=BAD) == Phase.FAILED
    assert run.due(1000.0) == []
    assert [each.phase for each in run.results] == [Phase.SUCCESSFUL, Phase.FAILED, Phase.SUCCESSFUL]
    assert run.worst is not None
    assert run.worst.metric.name == "latency"


@pytest.mark.parametrize(
    ("one", "other", "worst"),
    [
        (BAD, NOTHING, Phase.FAILED),
        (NOTHING, BAD, Phase.FAILED),
        (GOOD, NOTHING, Phase.INCONCLUSIVE),
        (ERROR, NOTHING, Phase.ERROR),
        (ERROR, BAD, Phase.FAILED),
    ],
)
def test_the_worst_metric_is_the_runs(one: list[float] | None, other: list[float] | None, worst: Phase) -> None:
    both = [metric(consecutive_error_limit=0, count=1), metric("latency", count=1)]
    assert measured(Run(both, 0.0), 0.0, errors=one, latency=other) == worst


def test_a_run_is_over_only_when_every_metric_is() -> None:
    run = Run([metric(count=1), metric("slow", interval=30.0, count=2)], 0.0)
    assert measured(run, 0.0) == Phase.RUNNING
    assert [each.metric.name for each in run.due(30.0)] == ["slow"]
    assert measured(run, 30.0) == Phase.SUCCESSFUL
