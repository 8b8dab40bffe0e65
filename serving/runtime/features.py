"""Values of the features by bin, the bins being those that `models profile` took from the training rows.

A number is above the edge before its bin and at most at the next one; a text has the place it has in the list, and any
other comes after the last. The last bin of both is null, which for text is also "", as for the model.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

FEW = 8  # rows up to which a look-up a value costs less than an array a column
ROWS = 8192  # that wait as arrays to be counted together, which is a third of the cost


class Binned:
    """One feature's counts. Rows are counted one at a time, or by the arrays that the model gets of them."""

    def __init__(self, feature: Mapping[str, Any]) -> None:
        import numpy as np  # here: BentoML's supervisor imports this file and needs none

        bins = feature["bins"]
        self.name: str = feature["name"]
        self.counts = [0.0] * (len(bins) + 2)
        self.bin: Callable[[Any], int]  # of a value
        self.kept: Callable[[Any], Any]  # what waits of an array of values: nothing that a caller can make large
        self.bins: Callable[[Any], Any]  # of what waited
        null = len(bins) + 1
        if feature["type"] == "string":
            places = {text: place for place, text in enumerate(bins)} | {"": null, None: null}
            self.bin = lambda value: places.get(value, null - 1)
            self.kept = lambda values: np.fromiter(map(places.get, values, repeat(null - 1)), np.intp, len(values))
            self.bins = lambda places: places
        else:
            # In single precision, as the model gets numbers: 0.1 is not above the edge 0.1.
            edges = np.array(bins, np.float32 if feature["type"] == "number" else np.float64)
            self.bin = lambda value: null if value is None else bisect_left(bins, value)
            self.kept, self.bins = lambda values: values, lambda values: _bins(values, edges)


def _bins(values: Any, edges: Any) -> Any:
    """A comparison an edge takes half the time of a binary search a value; null is NaN, which is not itself."""
    import numpy as np

    found = (values != values) * np.uint8(len(edges) + 1)
    for edge in edges:
        found += values > edge
    return found


class Features:
    """Counts of the features that have bins."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        features = contract.get("features", ())
        self._binned = {i: Binned(each) for i, each in enumerate(features) if each.get("bins") is not None}
        self._singles = [(place, each.bin, each.counts) for place, each in self._binned.items()]
        self._kept = [(each.name, each.kept) for each in self._binned.values()]
        self._waiting: list[list[Any]] = []
        self._sizes: list[int] = []
        self._rows = 0

    def count(self, rows: Sequence[Sequence[Any]], sizes: Sequence[int], feed: Mapping[str, Any]) -> None:
        """Count the rows of requests that have `sizes` rows, each of N as 1/N; `feed` are their arrays by feature."""
        if len(rows) <= FEW:
            for row, share in zip(rows, [1 / size for size in sizes for _ in range(size)], strict=True):
                for place, bin_, counts in self._singles:
                    counts[bin_(row[place])] += share
            return
        self._waiting.append([kept(feed[name]) for name, kept in self._kept])
        self._sizes += sizes
        self._rows += len(rows)
        if self._rows >= ROWS:
            self._settle()

    def _settle(self) -> None:
        import numpy as np

        shares = np.repeat(1 / np.array(self._sizes), self._sizes)
        for each, arrays in zip(self._binned.values(), zip(*self._waiting, strict=True), strict=True):
            more = np.bincount(each.bins(np.concatenate(arrays)), shares, len(each.counts))
            each.counts[:] = [count + float(new) for count, new in zip(each.counts, more, strict=True)]
        self._waiting, self._sizes, self._rows = [], [], 0

    def values(self) -> dict[tuple[str, int], float]:
        """(feature, bin) -> rows."""
        if self._waiting:
            self._settle()
        return {(each.name, bin_): n for each in self._binned.values() for bin_, n in enumerate(each.counts)}
