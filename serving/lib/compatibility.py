"""What differs between two contracts, and what each difference does to those who call."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from repo.lib.markdown import plain, table
from serving.runtime.request import FLOAT32_MAX, INT64, python_pattern

Contract = Mapping[str, Any]
Feature = Mapping[str, Any]
BREAKS, WIDENS, SAYS = "breaks", "widens", "changes meaning"
EFFECTS = (BREAKS, WIDENS, SAYS)
NONE, DROPPED = "none", "dropped"
# key -> what a caller notices; slow_ms, version and onnx_sha256 do not concern callers
WORDS = {"latency_budget_ms": "answers may take another time", "description": "only words"}
WORDS_OF_ANSWER = {"threshold": "labels change, values do not", "unit": "the same number means another thing"}
WORDS_OF_FEATURE = {"unit": "the same number means another thing", "description": "only words", "example": "only words"}


@dataclass(frozen=True)
class Change:
    effect: str  # one of EFFECTS
    what: str
    before: str
    after: str
    callers: str

    def __str__(self) -> str:
        return f"{self.effect}: {self.what}: {self.before} -> {self.after}: {self.callers}"


def between(before: Contract, after: Contract) -> list[Change]:
    """Every change, those that break first; a break that a raised `api` declares says so in its effect."""
    found = [each for part in (_request, _answer, _features) for each in part(before, after)]
    found += _words(before, after, WORDS)
    old, new = (contract.get("api", 1) for contract in (before, after))  # the first contracts had no number
    if new > old:
        declared = f"{BREAKS}, declared by api {new}"
        found = [replace(each, effect=declared) if each.effect == BREAKS else each for each in found]
        found.append(Change(SAYS, "api", str(old), str(new), "callers know that earlier requests may be refused"))
    elif new < old:
        found.append(Change(BREAKS, "api", str(old), str(new), "they already know the higher number"))
    return sorted(found, key=lambda each: EFFECTS.index(each.effect.partition(",")[0]))


def markdown(model: str, found: list[Change], summary: str) -> str:
    """The text for the pull request."""
    marks = {BREAKS: f"❌ **{BREAKS}**"}
    rows = []
    for each in found:
        what = f"{marks.get(each.effect, each.effect)}: {plain(each.what)}"
        rows.append([what, plain(each.before), plain(each.after), each.callers])
    lines = table(["change", "before", "after", "callers"], rows) if rows else []
    return "\n".join([f"## Contract of {model}", "", summary[:1].upper() + summary[1:], "", *lines, ""])


def _either(wider: bool, what: str, before: Any, after: Any, may: str, else_: str = "") -> Change:
    """What callers may do from now on, or are refused for."""
    callers = f"callers may {may}" if wider else f"callers that {else_ or may} are refused"
    return Change(WIDENS if wider else BREAKS, what, str(before), str(after), callers)


def _request(before: Contract, after: Contract) -> Iterator[Change]:
    for key, unit in (("max_rows", "rows"), ("max_body_bytes", "bytes")):
        if before[key] != after[key]:
            yield _either(after[key] > before[key], key, before[key], after[key], f"send more {unit}")


def _answer(before: Contract, after: Contract) -> Iterator[Change]:
    """What callers get. Edges, order of names and description concern none of them, nor the name of the output."""
    # The first contracts were all of a score, and held its threshold.
    first = {"field": "scores", "names": None, "threshold": before.get("threshold"), "unit": None}
    old, new = before.get("answer", first), after["answer"]
    if old["field"] != new["field"]:
        callers = "callers find no such field in the answer"
        yield Change(BREAKS, "answer: field", old["field"], new["field"], callers)
        return
    was, now = (set(answer["names"] or ()) for answer in (old, new))
    if gone := sorted(was - now):
        callers = "callers find no share of it in the answer, and no label of that name"
        yield Change(BREAKS, "answer: names", _list(gone), NONE, callers)
    if more := sorted(now - was):
        callers = "callers get a label that they do not know, and the document listed all of them"
        yield Change(BREAKS, "answer: names", NONE, _list(more), callers)
    if old["threshold"] is not None and new["threshold"] is None:
        yield Change(BREAKS, "answer: labels", "given", NONE, "callers find no labels in the answer")
    else:
        yield from _words(old, new, WORDS_OF_ANSWER, "answer: ")


def _features(before: Contract, after: Contract) -> Iterator[Change]:
    old, new = ({feature["name"]: feature for feature in contract["features"]} for contract in (before, after))
    was_dropped, dropped = (set(contract.get("dropped", ())) for contract in (before, after))
    for name in sorted(was_dropped - dropped - set(new)):
        yield Change(BREAKS, name, DROPPED, NONE, "callers that still send it are refused: the key is unknown")
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new and name in dropped:
            yield Change(SAYS, name, "a feature", DROPPED, "they may stop sending it: it is accepted and ignored")
        elif name not in new:
            callers = "callers that send it are refused: the key is unknown; name it in serving.dropped, and none is"
            yield Change(BREAKS, name, "a feature", NONE, callers)
        elif name in old:
            yield from _feature(old[name], new[name])
        elif new[name]["nullable"]:
            yield Change(WIDENS, name, NONE, "a feature", "callers may leave it out")
        else:
            callers = "callers that do not send it are refused; let it be null first, and required with a raised api"
            yield Change(BREAKS, name, NONE, "a feature", callers)


def _feature(old: Feature, new: Feature) -> Iterator[Change]:
    name = new["name"]
    if old["nullable"] != new["nullable"]:
        was, now = ("allowed" if each["nullable"] else "refused" for each in (old, new))
        yield _either(new["nullable"], f"{name}: null", was, now, "leave it out", "send null or leave it out")
    if old["type"] != new["type"]:
        wider = (old["type"], new["type"]) == ("integer", "number")
        other = f"send a value of type {old['type']}"
        yield _either(wider, f"{name}: type", old["type"], new["type"], "send fractions", other)
    if "string" not in (old["type"], new["type"]) or old["type"] == new["type"]:  # else all of its values differ
        yield from _values(old, new)
    yield from _words(old, new, WORDS_OF_FEATURE, f"{name}: ")


def _values(old: Feature, new: Feature) -> Iterator[Change]:
    """What values the feature takes: a list of them, or limits and a pattern."""
    name, listed, taken = new["name"], old["allowed"], new["allowed"]
    if listed is None and taken is None:
        for side, limit, direction in ((-1, "lower", "less"), (1, "upper", "more")):
            was, now = ((side * value, not is_open) for value, is_open in (_edge(old, side), _edge(new, side)))
            if was != now:
                at = f"{name}: {limit} limit"
                yield _either(now > was, at, _shown(old, side), _shown(new, side), f"send {direction}")
        was, now = old["pattern"], new["pattern"]
        if was != now:
            other = "send text that does not match"
            yield _either(now is None, f"{name}: pattern", was or NONE, now or NONE, "send any text", other)
    elif listed is None:
        yield _either(False, f"{name}: allowed", "any", _list(taken), "send anything else")
    else:
        if gone := [value for value in listed if not _takes(new, value)]:
            yield _either(False, f"{name}: allowed", _list(gone), "no longer allowed", "send it")
        if more := ["others"] if taken is None else [value for value in taken if value not in listed]:
            yield _either(True, f"{name}: allowed", "not allowed", _list(more), "send more")


def _takes(feature: Feature, value: Any) -> bool:
    if feature["allowed"] is not None:
        return value in feature["allowed"]
    if feature["type"] == "string":
        return feature["pattern"] is None or re.search(python_pattern(feature["pattern"]), value) is not None
    (low, open_low), (high, open_high) = _edge(feature, -1), _edge(feature, 1)
    return (low < value or (low == value and not open_low)) and (value < high or (value == high and not open_high))


def _edge(feature: Feature, side: int) -> tuple[float, bool]:
    """The lowest (side -1) or highest value, and whether it is itself refused; infinite where the type ends first."""
    closed, opened = (feature["min"], feature["above"]) if side < 0 else (feature["max"], feature["below"])
    if opened is not None and feature["type"] == "integer" and opened == int(opened):
        closed, opened = int(opened) - side, None  # above 0 is at least 1
    value = opened if closed is None else closed
    if value is None or value in (*INT64, -FLOAT32_MAX, FLOAT32_MAX):
        return side * math.inf, False
    return value, closed is None


def _shown(feature: Feature, side: int) -> str:
    value, is_open = _edge(feature, side)
    if math.isinf(value):
        return NONE
    return f"{('above' if side < 0 else 'below') if is_open else ('at least' if side < 0 else 'at most')} {value}"


def _words(old: Mapping[str, Any], new: Mapping[str, Any], words: Mapping[str, str], at: str = "") -> Iterator[Change]:
    for key, callers in words.items():
        if old[key] != new[key]:
            shown = [NONE if each[key] is None else str(each[key]) for each in (old, new)]
            yield Change(SAYS, f"{at}{key}", shown[0], shown[1], callers)


def _list(values: list[Any]) -> str:
    return ", ".join(str(value) for value in values)
