"""One AnalysisRun: which metrics are due, what a measurement means, and when the run is over.

As the controller of Argo Rollouts 1.9 assesses it (analysis/analysis.go), but pure: the clock and what Prometheus
answered are passed in. Two of its habits matter most: a metric is Inconclusive where neither condition holds (no data,
NaN), and a run without a single measurement is Successful when it is stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from deploy.canary.template import Metric

ERROR_RETRY = 10.0  # seconds until a measurement that was an Error is tried again, whatever the interval


class Phase(StrEnum):
    """Of a measurement, a metric or a run; completed ones from best to worst."""

    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"
    FAILED = "Failed"


SEVERITY = [Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED]


@dataclass(frozen=True)
class Measurement:
    """`at` is when it was finished, seconds of the run's clock; `values` one number a series, empty for no data."""

    at: float
    phase: Phase
    values: tuple[float, ...] = ()
    message: str = ""


@dataclass
class MetricResult:
    """What was measured of one metric, and its phase so far."""

    metric: Metric
    measurements: list[Measurement] = field(default_factory=list)
    phase: Phase = Phase.RUNNING
    reason: str = ""  # why the phase is neither Running nor Successful
    consecutive_errors: int = 0
    consecutive_successes: int = 0

    def count(self, *phases: Phase) -> int:
        return sum(measurement.phase in phases for measurement in self.measurements)

    @property
    def counted(self) -> int:
        """Measurements that `count` counts: those that were no Error."""
        return len(self.measurements) - self.count(Phase.ERROR)

    @property
    def last(self) -> Measurement | None:
        return self.measurements[-1] if self.measurements else None


class Run:
    """`metrics` measured from `started` on; `error_retry` in seconds of the same clock."""

    def __init__(self, metrics: Sequence[Metric], started: float, error_retry: float = ERROR_RETRY) -> None:
        self.results = [MetricResult(metric) for metric in metrics]
        self.phase = Phase.RUNNING
        self._started = started
        self._error_retry = error_retry

    @property
    def worst(self) -> MetricResult | None:
        """The metric that gave the run its phase; None while nothing is wrong."""
        wrong = [result for result in self.results if result.phase in SEVERITY[1:]]
        return max(wrong, key=lambda result: SEVERITY.index(result.phase), default=None)

    def due(self, now: float) -> list[MetricResult]:
        """Metrics to measure now; measure each and `record` it, then `assess`."""
        if self.phase != Phase.RUNNING:
            return []
        return [each for each in self.results if each.phase == Phase.RUNNING and self._next(each) <= now]

    def _next(self, result: MetricResult) -> float:
        metric, last = result.metric, result.last
        if last is None:
            return self._started + metric.initial_delay
        if metric.count is not None and result.counted >= metric.count:
            return float("inf")
        if last.phase == Phase.ERROR or metric.interval is None:
            return last.at + self._error_retry
        return last.at + metric.interval

    def record(self, result: MetricResult, now: float, values: Sequence[float], error: str = "") -> Measurement:
        """One measurement of a metric that was `due`; `error` says why there are no values, and makes it an Error."""
        measurement = _measured(result.metric, now, tuple(values), error)
        result.measurements.append(measurement)
        failed, successful = measurement.phase == Phase.ERROR, measurement.phase == Phase.SUCCESSFUL
        result.consecutive_errors = result.consecutive_errors + 1 if failed else 0
        result.consecutive_successes = result.consecutive_successes + 1 if successful else 0
        return measurement

    def assess(self, terminate: bool = False) -> Phase:
        """The run's phase after what was recorded; `terminate` ends it, as the end of a rollout does."""
        terminating = terminate or self.worst is not None
        for result in self.results:
            if result.phase == Phase.RUNNING:
                result.phase, result.reason = _phase(result, terminating)
        if self.worst is not None and not terminating:
            return self.assess()  # one bad metric ends the run: the others stop where they are
        if all(result.phase != Phase.RUNNING for result in self.results):
            self.phase = max((result.phase for result in self.results), key=SEVERITY.index)
        return self.phase


def _measured(metric: Metric, now: float, values: tuple[float, ...], error: str) -> Measurement:
    if error:
        return Measurement(now, Phase.ERROR, (), error)
    try:
        good, bad = metric.success.holds(values), metric.failure.holds(values)
    except IndexError:
        return Measurement(now, Phase.ERROR, values, "a condition asks for result[0], and the query gave no data")
    phase = Phase.FAILED if bad else Phase.SUCCESSFUL if good else Phase.INCONCLUSIVE
    return Measurement(now, phase, values)


def _phase(result: MetricResult, terminating: bool) -> tuple[Phase, str]:
    metric = result.metric
    if not result.measurements:
        return (Phase.SUCCESSFUL if terminating else Phase.RUNNING), ""
    if result.consecutive_errors > metric.consecutive_error_limit:
        last = result.measurements[-1].message
        return Phase.ERROR, f"{result.consecutive_errors} measurements in a row were errors, the last: {last}"
    inconclusive, failed = result.count(Phase.INCONCLUSIVE), result.count(Phase.FAILED)
    if inconclusive > metric.inconclusive_limit:
        return Phase.INCONCLUSIVE, f"{inconclusive} measurements were inconclusive, {metric.inconclusive_limit} may be"
    if 0 <= metric.failure_limit < failed:
        return Phase.FAILED, f"{failed} measurements failed, {metric.failure_limit} may"
    needed = metric.consecutive_success_limit
    if needed and result.consecutive_successes >= needed:
        return Phase.SUCCESSFUL, ""
    if metric.count is not None and result.counted >= metric.count:
        if not needed:
            return Phase.SUCCESSFUL, ""
        reason = f"{metric.count} measurements, but never {needed} good ones in a row"
        return (Phase.INCONCLUSIVE if metric.failure_limit >= 0 else Phase.FAILED), reason
    return (Phase.SUCCESSFUL if terminating else Phase.RUNNING), ""
