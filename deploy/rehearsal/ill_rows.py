"""Faults in requests and outcomes: requests keep the contract, so it is alerts that must show them.

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
    if fault == "labels":
        return "outcomes are those of other rows", {target: rows[target].shuffle(seed=7)}
    free = [each for each in features if each["allowed"] is None]
    kinds = {"shift": _shifts, "category": _categories, "nulls": _nulls, "swap": _swaps}
    found = next(kinds[fault](rows, features if fault == "nulls" else free), None)
    if found is None:
        raise Refusal(f"--fault {fault} cannot be planted, as the contract allows it of no feature; choose another.")
    return found


def _shifts(rows: pl.DataFrame, features: Sequence[Feature]) -> Iterator[Change]:
    """To the side on which the contract leaves more room."""
    for name, (low, high) in _ranges(features).items():
        deviation, mean = (
            float(each) for each in rows.select(pl.col(name).std(), pl.col(name).mean().alias("")).row(0)
        )
        by = DEVIATIONS * deviation * (1 if high - mean >= mean - low else -1)
        by = round(by) if rows[name].dtype.is_integer() else by
        ends = (each if math.isfinite(each) else None for each in (low, high))
        yield f"{name} moves by {by:+.3g}", {name: (rows[name] + by).clip(*ends)}


def _categories(rows: pl.DataFrame, features: Sequence[Feature]) -> Iterator[Change]:
    for each in features:
        if each["type"] == "string":
            known = {*rows[each["name"]].drop_nulls(), *(each["bins"] or [])}
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
    for (one, room), (other, span) in itertools.combinations(_ranges(features).items(), 2):
        fits = rows[one].drop_nulls().is_between(*span).all() and rows[other].drop_nulls().is_between(*room).all()
        nulls = [each["nullable"] for each in features if each["name"] in (one, other)]
        if fits and nulls[0] == nulls[1] and rows[one].dtype == rows[other].dtype:
            yield f"{one} and {other} are swapped", {one: rows[other], other: rows[one]}


def _ranges(features: Sequence[Feature]) -> dict[str, tuple[float, float]]:
    """Of each number, the range in which the contract takes every value."""
    found = {}
    for each in features:
        if each["type"] != "string":
            low, high = each["min"], each["max"]
            if low is None:
                low = -math.inf if each["above"] is None else _beyond(each, each["above"], math.inf)
            if high is None:
                high = math.inf if each["below"] is None else _beyond(each, each["below"], -math.inf)
            found[each["name"]] = low, high
    return found


def _beyond(each: Feature, limit: float, towards: float) -> float:
    """The number next to a limit that is itself left out."""
    return limit + math.copysign(1, towards) if each["type"] == "integer" else math.nextafter(limit, towards)
