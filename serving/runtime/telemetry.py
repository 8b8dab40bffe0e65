"""Prometheus metrics that the judge and the monitoring stand on: bounded, and every series there from the first scrape.

curl localhost:3000/metrics

Kept as plain numbers and made into families when scraped: prometheus_client's own counters write to a shared file on
every increment, which was a fifteenth of a request. So they are one process's, and a server has one worker.
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from serving.runtime.answer import edges
from serving.runtime.errors import BROKEN, KINDS, RULES
from serving.runtime.features import Features

# Bounds as shares of the latency budget: dense where it is decided whether a request was in budget.
SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 3, 5, 10, 50)


def bounds(budget_ms: float, slow_ms: float | None) -> list[float]:
    """Upper bounds of the duration histogram in seconds; slow_ms, where it is given, is exactly one of them."""
    if slow_ms is None:
        return [round(budget_ms * share / 1000, 9) for share in SHARES]
    slow = round(slow_ms / 1000, 9)  # the bound is also a label that a query names: 0.0042, not 0.004200000000000001
    found = (round(budget_ms * share / 1000, 9) for share in SHARES)
    # A bound within a percent of it would only double its series.
    return sorted({slow, *(bound for bound in found if abs(bound - slow) > 0.01 * slow)})


def family(name: str, text: str, labels: Mapping[str, str], own: Sequence[str], values: Mapping[Any, float]) -> Metric:
    """One family of counts; `values`: the value of its `own` label, or a tuple of several or none -> count."""
    found = Metric(name.removesuffix("_total"), text, "counter" if name.endswith("_total") else "unknown")
    for key, count in values.items():
        each = map(str, key if isinstance(key, tuple) else (key,))
        found.add_sample(name, {**labels, **dict(zip(own, each, strict=True))}, count)
    return found


class Telemetry(Collector):
    """The metrics of one model in one worker; `others` are exposed beside its own."""

    def __init__(self, contract: Mapping[str, Any], *others: Collector) -> None:
        self._labels = {"model": contract["model"], "version": contract["version"]}
        self._started = time.time()
        self._info = [str(contract.get("api", 1)), contract.get("profile") or ""]
        self.features = Features(contract)
        names = [feature["name"] for feature in contract.get("features", ())]
        self._violations = {(name, rule): 0 for name in names for rule in RULES} | {("", rule): 0 for rule in BROKEN}
        self._bounds = bounds(contract["latency_budget_ms"], contract["slow_ms"])
        self._requests = 0
        self._errors = dict.fromkeys(KINDS, 0)
        self._durations = [0] * (len(self._bounds) + 1)
        self._seconds = 0.0
        self._positive = None if contract["answer"]["threshold"] is None else 0.0
        self._dropped = dict.fromkeys(contract.get("dropped", ()), 0)
        self._edges = edges(contract["answer"])  # a value at one is in the upper bin
        self._bins = [0.0] * (len(self._edges) + 1)
        self._registry = CollectorRegistry()
        for each in (self, *others):
            self._registry.register(each)

    def answered(self, seconds: float, values: Sequence[float], positives: int) -> None:
        """Count a request answered with 200. Rows of one request are not independent, so together they weigh one."""
        self._timed(seconds)
        rows = len(values)
        if self._positive is not None:
            self._positive += positives / rows
        if rows == 1:
            self._bins[bisect_right(self._edges, values[0])] += 1
            return
        ordered = sorted(values)  # a sort and nine look-ups cost less than a look-up a value
        below = (0, *(bisect_left(ordered, edge) for edge in self._edges), rows)
        for index, (first, last) in enumerate(pairwise(below)):
            self._bins[index] += (last - first) / rows

    def failed(self, seconds: float, kind: str, broken: tuple[str, str] | None = None) -> None:
        """Count a request answered with anything else; `broken` is which feature broke which rule."""
        self._timed(seconds)
        self._errors[kind] += 1
        if broken is not None:
            self._violations[broken] += 1

    def noticed(self, feature: str) -> None:
        """Count a request that still sends a dropped feature."""
        self._dropped[feature] += 1

    def _timed(self, seconds: float) -> None:
        self._requests += 1
        self._seconds += seconds
        self._durations[bisect_left(self._bounds, seconds)] += 1

    def exposition(self) -> bytes:
        """The text of /metrics."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's seam: the families with their values now."""
        text = "Answered predict requests, whatever the outcome"
        yield self._counter("ml_requests_total", text, {(): self._requests})
        yield self._counter("ml_errors_total", "Predict requests not answered with 200", self._errors, "reason")
        duration = HistogramMetricFamily(
            "ml_request_duration_seconds", "From the request's headers to its answer", labels=list(self._labels)
        )
        limits = [*map(floatToGoString, self._bounds), "+Inf"]
        counts = map(float, accumulate(self._durations))
        duration.add_metric(list(self._labels.values()), list(zip(limits, counts, strict=True)), self._seconds)
        yield duration
        text = "Positive labels; a row of a request of N counts 1/N"
        if self._positive is not None:
            yield self._counter("ml_positive_total", text, {(): self._positive})
        text = "Requests that still send a dropped feature; at none, a raised API may refuse it"
        yield self._counter("ml_dropped_total", text, self._dropped, "feature")
        text = "Answers by bin of their values; a row of a request of N counts 1/N"
        yield self._counter("ml_score_bin_total", text, dict(enumerate(self._bins)), "bin")
        text = "Features by bin of their values, the last for null; a row of a request of N counts 1/N"
        yield self._counter("ml_feature_bin_total", text, self.features.values(), "feature", "bin")
        text = "Requests with reason invalid, by the first thing that is wrong; no feature: the request as a whole"
        yield self._counter("ml_violations_total", text, self._violations, "feature", "rule")
        info = GaugeMetricFamily("ml_model_info", "What is served", labels=[*self._labels, "api", "profile"])
        info.add_metric([*self._labels.values(), *self._info], 1)
        yield info
        start = GaugeMetricFamily("ml_start_time_seconds", "Unix time of the start", labels=list(self._labels))
        start.add_metric(list(self._labels.values()), self._started)
        yield start

    def _counter(self, name: str, text: str, values: Mapping[Any, float], *own: str) -> Metric:
        return family(name, text, self._labels, own, values)
