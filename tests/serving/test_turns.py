"""Requests that are ready together share an inference, and none of them can tell but by its speed."""

import asyncio
import json
from typing import Any

import pytest

from serving.runtime.batching import Turns
from tests.serving.toy import ask, rows


class Model:
    """Scores that are the rows' own numbers; fails on a negative one. Remembers how many rows it got at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, rows: list[tuple[Any, ...]], sizes: list[int]) -> list[float]:
        assert sum(sizes) == len(rows)
        self.sizes.append(len(rows))
        if any(number < 0 for (number,) in rows):
            raise ArithmeticError
        return [number for (number,) in rows]


def together(turns: Turns, *requests: list[float]) -> list[Any]:
    """What each of the requests gets, all of them ready at the same moment."""

    async def crowd() -> list[Any]:
        found = (turns.values([(number,) for number in request]) for request in requests)
        return list(await asyncio.gather(*found, return_exceptions=True))

    return asyncio.run(crowd())


def test_requests_that_are_ready_together_are_scored_together_and_each_gets_its_own() -> None:
    model = Model()
    assert together(Turns(model, 10), [1.0], [2.0, 3.0], [4.0]) == [[1.0], [2.0, 3.0], [4.0]]
    assert model.sizes == [4]


def test_an_inference_never_has_more_rows_than_one_request_may() -> None:
    model = Model()
    requests = [[float(number)] * 3 for number in range(5)]
    assert together(Turns(model, 7), *requests) == requests
    assert model.sizes == [6, 6, 3]


def test_a_request_that_fails_takes_nobody_with_it_and_is_tried_once_alone() -> None:
    model = Model()
    one, bad, two = together(Turns(model, 10), [1.0], [-1.0], [2.0])
    assert (one, two) == ([1.0], [2.0])
    assert isinstance(bad, ArithmeticError)
    model.sizes.clear()
    assert [type(found) for found in together(Turns(model, 10), [-1.0])] == [ArithmeticError]
    assert model.sizes == [1]


def test_one_after_the_other_each_is_scored_at_once() -> None:
    model = Model()
    turns = Turns(model, 10)

    async def sequence() -> list[list[float]]:
        return [await turns.values([(float(number),)]) for number in range(3)]

    assert asyncio.run(sequence()) == [[0.0], [1.0], [2.0]]
    assert model.sizes == [1, 1, 1]


def test_company_does_not_change_an_answer(endpoint: Any) -> None:
    bodies = [json.dumps(rows({"amount": amount})).encode() for amount in (-300, 0, 12.5, 666, 900)]

    async def crowd() -> list[Any]:
        return list(await asyncio.gather(*(ask(endpoint, body) for body in bodies)))

    async def queue() -> list[Any]:
        return [await ask(endpoint, body) for body in bodies]

    joint, single = asyncio.run(crowd()), asyncio.run(queue())
    assert [status for status, _ in joint] == [200, 200, 200, 500, 200]
    for (_, with_others), (_, alone) in zip(joint, single, strict=True):
        assert with_others.get("scores", []) == pytest.approx(alone.get("scores", []), abs=1e-6)
