"""Values of the features by bin, the bins being those that `models profile` took from the training rows.

A number is above the edge before its bin and at most at the next one; a text has the place it has in the list, and any
other comes after the last. The last bin of both is null.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


class Numbers:
    """Counts of a feature that is a number, by rising edges."""

    def __init__(self, edges: list[float]) -> None:
        self._edges = edges
        self.counts = [0.0] * (len(edges) + 2)

    def one(self, value: float | None) -> None:
        self.counts[-1 if value is None else bisect_left(self._edges, value)] += 1

    def many(self, values: Sequence[float | None]) -> None:
        """Each value of N counts 1/N; a sort and a look-up an edge cost less than a look-up a value."""
        rows = len(values)
        ordered = sorted([value for value in values if value is not None])
        up_to = (0, *[bisect_right(ordered, edge) for edge in self._edges], len(ordered))
        for index, (first, last) in enumerate(pairwise(up_to)):
            self.counts[index] += (last - first) / rows
        self.counts[-1] += (rows - len(ordered)) / rows


class Texts:
    """Counts of a feature that is text, by its most frequent values."""

    def __init__(self, texts: list[str]) -> None:
        self._other = len(texts)
        self._places: dict[str | None, int] = {text: place for place, text in enumerate(texts)}
        self._places[None] = self._other + 1
        self.counts = [0.0] * (len(texts) + 2)

    def one(self, value: str | None) -> None:
        self.counts[self._places.get(value, self._other)] += 1

    def many(self, values: Sequence[str | None]) -> None:
        """Each value of N counts 1/N."""
        for value, times in Counter(values).items():
            self.counts[self._places.get(value, self._other)] += times / len(values)


class Features:
    """The features that have bins. Rows are in the order of the contract's features."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        kinds = {"string": Texts, "integer": Numbers, "number": Numbers}
        self._counted = {
            place: (feature["name"], kinds[feature["type"]](feature["bins"]))
            for place, feature in enumerate(contract.get("features", ()))
            if feature.get("bins") is not None
        }
        self._one = [(place, counter.one) for place, (_, counter) in self._counted.items()]

    def count(self, rows: Sequence[Sequence[Any]]) -> None:
        if len(rows) == 1:
            row = rows[0]
            for place, count in self._one:
                count(row[place])
        elif rows and self._counted:
            columns = list(zip(*rows, strict=True))
            for place, (_, counter) in self._counted.items():
                counter.many(columns[place])

    def counts(self) -> dict[tuple[str, int], float]:
        """(feature, bin) -> rows, each of a request of N as 1/N."""
        named = self._counted.values()
        return {(name, index): count for name, each in named for index, count in enumerate(each.counts)}
