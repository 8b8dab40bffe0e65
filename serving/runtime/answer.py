"""From what the model's file gives to what a caller gets, by `answer` of contract.json and nothing else."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

Values = list[Any]  # one number a row, or a list of one number for each name
Answer = tuple[dict[str, Any], list[float], int]


def former(answer: Mapping[str, Any]) -> Callable[[Values], Answer]:
    """A function from values to (the fields of the JSON answer, one number a row to count by `edges`, positives).

    Made once, so that a request asks nothing about the model.
    """
    field, names, threshold = answer["field"], answer["names"], answer["threshold"]

    def named(values: Values) -> Answer:
        places = [row.index(max(row)) for row in values]
        shares = [dict(zip(names, row, strict=True)) for row in values]
        return {field: shares, "labels": [names[place] for place in places]}, places, 0

    def labelled(values: Values) -> Answer:
        labels = [1 if value >= threshold else 0 for value in values]  # in double precision, as the caller sees them
        return {field: values, "labels": labels}, values, sum(labels)

    def plain(values: Values) -> Answer:
        return {field: values}, values, 0

    return named if names else plain if threshold is None else labelled


def edges(answer: Mapping[str, Any]) -> list[float]:
    """Of the ten bins; with names the first nine have a bin each, and all others share the last."""
    found: list[float] = list(range(1, 10)) if answer["names"] else answer["edges"]
    return found


def labels(answer: Mapping[str, Any]) -> tuple[Any, str] | None:
    """Type and meaning of `labels`; None where rows get none."""
    if answer["names"]:
        name = Literal[tuple(answer["names"])]  # type: ignore[valid-type]
        return list[name], f"The name of the largest of `{answer['field']}`."  # type: ignore[valid-type]
    if answer["threshold"] is not None:
        return list[int], f"1 where the value of `{answer['field']}` is at least {answer['threshold']}, else 0."
    return None
