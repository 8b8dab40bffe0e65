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


def test_one_bad_measurement_fails_and_a_limit_tolerates_as_many() -> None:
    assert after(metric(interval=10.0), GOOD, BAD).phase == Phase.FAILED
    tolerant = metric(interval=10.0, failure_limit=2)
    assert after(tolerant, BAD, GOOD, BAD).phase == Phase.RUNNING
    assert after(tolerant, BAD, GOOD, BAD, BAD).phase == Phase.FAILED
    endless = metric(interval=10.0, failure_limit=-1, consecutive_success_limit=3)
    assert after(endless, *[BAD] * 9).phase == Phase.RUNNING


@pytest.mark.parametrize("found", [NOTHING, NAN])
def test_no_data_and_nan_are_inconclusive_and_never_a_pass(found: list[float]) -> None:
    assert after(metric(interval=10.0), found).phase == Phase.INCONCLUSIVE
    patient = metric(interval=10.0, inconclusive_limit=2)
    assert after(patient, found, GOOD, found).phase == Phase.RUNNING
    run = after(patient, found, GOOD, found, found)
    assert run.phase == Phase.INCONCLUSIVE
    assert run.worst is not None
    assert run.worst.reason == "3 measurements were inconclusive, 2 may be"


def test_a_condition_that_asks_for_what_is_not_there_is_an_error() -> None:
    bare = condition.parse("result[0] <= 4", "")
    run = after(metric(interval=10.0, success=bare), NOTHING)
    assert run.results[0].measurements[0].phase == Phase.ERROR


def test_five_errors_in_a_row_are_too_many_by_default_and_one_answer_starts_anew() -> None:
    assert after(metric(interval=10.0), *[ERROR] * 4).phase == Phase.RUNNING
    assert after(metric(interval=10.0), *[ERROR] * 4, GOOD, *[ERROR] * 4).phase == Phase.RUNNING
    run = after(metric(interval=10.0), *[ERROR] * 5)
    assert run.phase == Phase.ERROR
    assert run.worst is not None
    assert run.worst.reason == "5 measurements in a row were errors, the last: no answer"
    assert after(metric(interval=10.0, consecutive_error_limit=60), *[ERROR] * 60).phase == Phase.RUNNING


def test_errors_are_tried_again_after_ten_seconds_and_counted_by_no_count() -> None:
    run = Run([metric(interval=60.0, count=2)], 0.0)
    measured(run, 0.0, errors=ERROR)
    assert run.due(9.0) == []
    measured(run, 10.0)
    assert run.due(69.0) == []
    assert measured(run, 70.0) == Phase.SUCCESSFUL


def test_a_count_without_a_failure_is_successful() -> None:
    assert after(metric(interval=10.0, count=3), GOOD, GOOD).phase == Phase.RUNNING
    assert after(metric(interval=10.0, count=3), GOOD, GOOD, GOOD).phase == Phase.SUCCESSFUL
    assert after(metric(interval=10.0, count=3, failure_limit=1), GOOD, BAD, GOOD).phase == Phase.SUCCESSFUL


def test_good_ones_in_a_row_end_it_before_the_count() -> None:
    waiting = metric(interval=10.0, count=5, consecutive_success_limit=2, inconclusive_limit=5)
    assert after(waiting, NOTHING, GOOD, GOOD).phase == Phase.SUCCESSFUL
    assert after(waiting, GOOD, NOTHING, GOOD).phase == Phase.RUNNING


def test_a_count_without_enough_good_ones_in_a_row_is_inconclusive_and_failed_without_a_failure_limit() -> None:
    found = [GOOD, NOTHING, GOOD, NOTHING]
    waiting = metric(interval=10.0, count=4, consecutive_success_limit=2, inconclusive_limit=4)
    assert after(waiting, *found).phase == Phase.INCONCLUSIVE
    waiting = metric(interval=10.0, count=4, consecutive_success_limit=2, inconclusive_limit=4, failure_limit=-1)
    assert after(waiting, *found).phase == Phase.FAILED


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
