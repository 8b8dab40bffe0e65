"""Counters of predictions whose outcome is known, of the version that predicted: sums that give each metric.

deploy/monitoring/prometheusrule.yaml makes ROC AUC, Brier score, log-loss, calibration error, F1 and RMSE of them.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import Metric

from serving.runtime.answer import edges
from serving.runtime.telemetry import family

VERSIONS = 8  # that have series at once
CLASSES, OTHER = 9, "other"  # that have labels of their own
TENTHS = 10
CLIP = 1e-7  # of a score, for its logarithm
Counts = dict[str, dict[tuple[str, ...], float]]  # metric -> its own labels' values -> count
# Metric -> its labels.
BINARY = {
    "ml_outcome_bin_total": ("bin", "outcome"),
    "ml_outcome_tenth_total": ("tenth", "outcome"),
    "ml_outcome_score_sum": ("tenth",),
    "ml_outcome_label_total": ("label", "outcome"),
    "ml_outcome_squared_error_sum": (),
    "ml_outcome_log_loss_sum": (),
}
CLASSED = {"ml_outcome_label_total": ("label", "outcome")}
NUMBERS = ("count_total", "squared_error_sum", "absolute_error_sum", "error_sum", "value_sum", "value_squared_sum")
NUMBER: dict[str, tuple[str, ...]] = {f"ml_outcome_{name}": () for name in NUMBERS}


class Predicted(NamedTuple):
    """What an id says: `value` is the score, the number or the place of the class; `fine` the bin of a score."""

    version: str
    fine: int
    value: float
    label: int


class Outcomes:
    """Of one model: counts by version, all there from the start for its own."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        answer = contract["answer"]
        self._own: str = contract["version"]
        self._threshold, self._names = answer["threshold"], answer["names"]
        self._edges: list[float] = answer.get("fine") or edges(answer)
        self._classes = [*(self._names or ())[:CLASSES], *([OTHER] if len(self._names or ()) > CLASSES else [])]
        self._families = CLASSED if self._names else NUMBER if self._threshold is None else BINARY
        self._add: Callable[[Counts, Predicted, Any], None] = (
            self._class if self._names else self._number if self._threshold is None else self._binary
        )
        self._versions = {self._own: self._empty()}

    def fine(self, value: float) -> tuple[int, bool]:
        """(bin of a score, one at an edge being in the upper one; whether it is labelled 1)."""
        if self._threshold is None:
            return 0, False
        return bisect_right(self._edges, value), value >= self._threshold

    def room(self, versions: set[str]) -> bool:
        """Whether all of them have series or can get some."""
        return len(versions | self._versions.keys()) <= VERSIONS

    def count(self, predicted: Predicted, outcome: Any) -> None:
        self._add(self._versions.setdefault(predicted.version, self._empty()), predicted, outcome)

    def families(self, labels: Mapping[str, str]) -> Iterator[Metric]:
        for name, own in self._families.items():
            values = {
                (version, *key): count
                for version, every in self._versions.items()
                for key, count in every[name].items()
            }
            yield family(name, "Of predictions whose outcome is known", labels, ["version", *own], values)

    def _empty(self) -> Counts:
        known = {
            "bin": [str(each) for each in range(len(self._edges) + 1)],
            "tenth": [str(each) for each in range(TENTHS)],
            "label": self._classes or ["0", "1"],
            "outcome": self._classes or ["0", "1"],
        }
        found: Counts = {}
        for name, own in self._families.items():
            keys: list[tuple[str, ...]] = [()]
            for label in own:
                keys = [(*key, value) for key in keys for value in known[label]]
            found[name] = dict.fromkeys(keys, 0.0)
        return found

    @staticmethod
    def _binary(counts: Counts, predicted: Predicted, outcome: int) -> None:
        score, true = predicted.value, str(outcome)
        tenth = str(min(int(score * TENTHS), TENTHS - 1))  # as models/lib/metrics.score_bin
        clipped = min(max(score, CLIP), 1 - CLIP)
        bins, key = counts["ml_outcome_bin_total"], (str(predicted.fine), true)
        bins[key] = bins.get(key, 0) + 1  # another version may have more bins
        counts["ml_outcome_tenth_total"][tenth, true] += 1
        counts["ml_outcome_score_sum"][(tenth,)] += score
        counts["ml_outcome_label_total"][str(predicted.label), true] += 1
        counts["ml_outcome_squared_error_sum"][()] += (score - outcome) ** 2
        counts["ml_outcome_log_loss_sum"][()] -= math.log(clipped if outcome else 1 - clipped)

    def _class(self, counts: Counts, predicted: Predicted, outcome: str) -> None:
        places = int(predicted.value), self._names.index(outcome)
        label, true = (self._classes[min(place, len(self._classes) - 1)] for place in places)
        counts["ml_outcome_label_total"][label, true] += 1

    @staticmethod
    def _number(counts: Counts, predicted: Predicted, outcome: float) -> None:
        error = predicted.value - outcome
        sums = (1.0, error**2, abs(error), error, outcome, outcome**2)
        for name, value in zip(NUMBERS, sums, strict=True):
            counts[f"ml_outcome_{name}"][()] += value
