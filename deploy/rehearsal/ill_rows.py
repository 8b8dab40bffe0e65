"""Faults in what a model is sent, or is told of it: requests keep the contract, so it is alerts that must tell.

python -m deploy watch flight_delay --fault shift|category|nulls|swap|labels
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from repo.lib.refusal import Refusal

Feature = Mapping[str, Any]  # of contract.json
Change = tuple[str, dict[str, Any]]  # what it does in words, and column -> its new values
DEVIATIONS = 2.0  # by which a feature moves
TRIED = 10_000  # texts that are held against a pattern


def plant(fault: str, rows: pl.DataFrame, features: Sequence[Feature], target: str) -> Change:
    """The first change of this kind that the contract allows; `features` are in the order in which they matter."""
    kinds = {"shift": _shifts, "category": _categories, "nulls": _nulls, "swap": _swaps}
    if fault == "labels":
        return "outcomes are those of other rows", {target: rows[target].shuffle(seed=7)}
    found = next(kinds[fault](rows, features), None)
    if found is None:
        raise Refusal(f"--fault {fault} cannot be planted, as the contract allows it of no feature; choose another.")
    return found


def _shifts(rows: pl.DataFrame, features: Sequence[Feature]) -> Iterator[Change]:
    for name, each, (low, high) in _numbers(features):
        by, mean = DEVIATIONS * rows[name].std(), rows[name].mean()  # type: ignore[operator]
        by = by if high - mean >= mean - low else -by  # where the contract leaves more room
        by = round(by) if each["type"] == "integer" else by
        yield f"{name} moves by {by:+.3g}", {name: (rows[name] + by).clip(low, high)}


def _categories(rows: pl.DataFrame, features: Sequence[Feature]) -> Iterator[Change]:
    for each in features:
        if each["type"] == "string" and each["allowed"] is None:
            known = {*rows[each["name"]].drop_nulls(), *(each.get("bins") or [])}
            texts = ("".join(text) for one in sorted(known) for text in itertools.permutations(one))
            fits = re.compile(each["pattern"] or "").search
            for text in itertools.islice(itertools.chain(["unseen"], texts), TRIED):
                if text not in known and fits(text):
                    yield f"{each['name']} has a value that training never saw", {each["name"]: pl.lit(text)}


def _nulls(rows: pl.DataFrame, features: Sequence[Feature]) -> Iterator[Change]:
    for each in features:
        if each["nullable"]:
            yield f"{each['name']} is null", {each["name"]: pl.lit(None, rows[each["name"]].dtype)}


def _swaps(rows: pl.DataFrame, features: Sequence[Feature]) -> Iterator[Change]:
    for (one, its, span), (other, others, room) in itertools.combinations(_numbers(features), 2):
        fits = rows[one].drop_nulls().is_between(*room).all() and rows[other].drop_nulls().is_between(*span).all()
        if fits and its["type"] == others["type"] and its["nullable"] == others["nullable"]:
            yield f"{one} and {other} are swapped", {one: rows[other], other: rows[one]}


def _numbers(features: Sequence[Feature]) -> Iterator[tuple[str, Feature, tuple[float, float]]]:
    """Name, feature, and the range in which the contract takes every number."""
    for each in features:
        if each["type"] != "string" and each["allowed"] is None:
            whole = each["type"] == "integer"
            low = -math.inf if each["min"] is None else each["min"]
            high = math.inf if each["max"] is None else each["max"]
            if each["above"] is not None:
                low = max(low, each["above"] + 1 if whole else math.nextafter(each["above"], math.inf))
            if each["below"] is not None:
                high = min(high, each["below"] - 1 if whole else math.nextafter(each["below"], -math.inf))
            yield each["name"], each, (low, high)
