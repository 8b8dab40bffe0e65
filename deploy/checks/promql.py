"""PromQL read as Prometheus reads it: whether a query parses, and which series and labels it names."""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import promql_parser

from repo.lib.refusal import Refusal


@dataclass(frozen=True)
class Series:
    """One selector of a query: the metric, and label -> (operator such as `=` or `=~`, value)."""

    metric: str
    labels: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Query:
    """`labels`: of grouping and matching (`by`, `on`), but for those that `label_replace` makes in the query itself.

    `ranges`: seconds of `[45s]`, those of subqueries left out.
    """

    series: tuple[Series, ...]
    labels: frozenset[str]
    ranges: frozenset[float]
    steps: frozenset[float]  # of subqueries, `[1h:30s]`


def parse(query: str, where: str) -> Query:
    """Read a query; `where` names object and field for the Refusal of one that Prometheus would not take."""
    try:
        return _read(query)
    except ValueError as error:
        raise Refusal(f"{where} is not PromQL ({error}); fix the query.") from None


@lru_cache(maxsize=256)  # each rule asks for every query of a release, and a promise has a hundred cells
def _read(query: str) -> Query:
    nodes: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), lambda node: nodes.append(node))
    found, labels, made, ranges, steps = list[Series](), set[str](), set[str](), set[float](), set[float]()
    for node in nodes:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(_series(node))
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(_series(node.vector_selector))
            ranges.add(node.range.total_seconds())
        if isinstance(node, promql_parser.SubqueryExpr) and isinstance(node.step, timedelta):
            steps.add(node.step.total_seconds())
        if isinstance(node, promql_parser.Call) and node.func.name == "label_replace":
            made.add(node.args[1].val)
        modifier = getattr(node, "modifier", None)
        for named in (modifier, getattr(modifier, "matching", None)):
            labels |= set(getattr(named, "labels", None) or [])
        labels |= set(getattr(modifier, "group_labels", None) or [])
    unique = {(each.metric, *sorted(each.labels.items())): each for each in found}
    return Query(tuple(unique.values()), frozenset(labels - made), frozenset(ranges), frozenset(steps))


def _series(node: promql_parser.VectorSelector) -> Series:
    signs = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    labels = {each.name: (signs[str(each.op).rpartition(".")[2]], each.value) for each in node.matchers.matchers}
    name = node.name or labels.pop("__name__", ("", ""))[1]
    return Series(name, labels)
