"""The metrics that the judge and the monitoring stand on."""

import asyncio
import json
import random
import time
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.runtime import features
from serving.runtime.errors import KINDS, RULES
from serving.runtime.telemetry import Telemetry, bounds
from tests.serving.toy import answer, ask, rows
from tests.support.answers import NUMBERS, SCORES

NAMES: dict[str, Any] = {"model": "specimen_toy", "version": "abc"}
FEATURES: list[dict[str, Any]] = [
    {"name": "number", "type": "number", "bins": [0.0, 0.1, 1.0, 2.5]},
    {"name": "text", "type": "string", "bins": ["b", "a"]},
    {"name": "whole", "type": "integer", "bins": [7.0]},
    {"name": "none", "type": "number", "bins": None},
]
COUNTED = {"answer": SCORES, "features": FEATURES, "profile": "abcdef012345"}
CONTRACT: dict[str, Any] = {**NAMES, "latency_budget_ms": 10.0, "slow_ms": 4.2, **COUNTED}
ONCE = {("ml_model_info", "1", "abcdef012345"), ("ml_start_time_seconds",)}  # not counts


def series(telemetry: Telemetry) -> dict[tuple[Any, ...], float]:
    """(name, value of a label, …) -> value; labels in the order of their names, without the model's own."""
    found = {}
    for family in text_string_to_metric_families(telemetry.exposition().decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("model") == "specimen_toy"
            labels.pop("version")
            found[(sample.name, *labels.values())] = sample.value
    return found


def test_every_series_is_there_at_zero_before_the_first_request() -> None:
    found = series(Telemetry(CONTRACT))
    assert {name for name, value in found.items() if value} == ONCE
    assert found[("ml_model_info", "1", "abcdef012345")] == 1
    assert found[("ml_start_time_seconds",)] == pytest.approx(time.time(), abs=60)
    assert {("ml_violations_total", "text", rule) for rule in RULES} <= set(found)
    assert {("ml_feature_bin_total", str(index), "number") for index in range(6)} <= set(found)
    assert ("ml_feature_bin_total", "0", "none") not in found
    assert {("ml_errors_total", kind) for kind in KINDS} <= set(found)
    assert {("ml_score_bin_total", str(index)) for index in range(10)} <= set(found)
    assert ("ml_request_duration_seconds_bucket", "0.0042") in found
    assert {("ml_requests_total",), ("ml_positive_total",), ("ml_request_duration_seconds_count",)} <= set(found)


def test_a_request_of_many_rows_counts_once() -> None:
    telemetry = Telemetry(CONTRACT)
    telemetry.answered(0.001, [0.05, 0.15, 0.15, 0.99], positives=1)
    telemetry.answered(0.001, [0.3], positives=0)
    found = series(telemetry)
    assert found[("ml_requests_total",)] == 2
    assert found[("ml_positive_total",)] == 0.25
    bins = [found[("ml_score_bin_total", str(index))] for index in range(10)]
    assert bins == [0.25, 0.5, 0, 1, 0, 0, 0, 0, 0, 0.25]


EDGES = NUMBERS | {"edges": [float(edge) for edge in range(-40, 50, 10)]}
NAMED = NUMBERS | {"names": [str(place) for place in range(12)]}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("answer", "value", "bin_"),
    [
        *((SCORES, *case) for case in ((0.0, 0), (0.0999, 0), (0.1, 1), (0.3, 3), (0.7, 7), (1.0, 9), (-3.0, 0))),
        (EDGES, -40.0, 1),
        (EDGES, 1e9, 9),
        (NUMBERS | {"edges": [0.0] * 7 + [1.0, 2.0]}, 0.0, 7),  # of which seven tenths are the same
        *((NAMED, *case) for case in ((0, 0), (8, 8), (11, 9))),
    ],
)
def test_each_value_falls_into_its_bin(answer: dict[str, Any], value: float, bin_: int, count: int) -> None:
    telemetry = Telemetry({**CONTRACT, "answer": answer})
    telemetry.answered(0.001, [value] * count, positives=0)
    found = series(telemetry)
    bins = [found[("ml_score_bin_total", str(index))] for index in range(10)]
    assert bins == [float(each == bin_) for each in range(10)]
    assert (("ml_positive_total",) in found) == (answer is SCORES)


@pytest.mark.parametrize("few", [1, 8])
@pytest.mark.parametrize(
    ("feature", "value", "bin_"),
    [
        *(
            ("amount", *case)
            for case in ((-11, 0), (-10.0, 0), (-9.9, 1), (0.1, 2), (0.2, 3), (10, 3), (11, 4), (None, 5))
        ),
        *(("kind", *case) for case in (("a", 0), ("b", 1), ("ü", 2))),
        *(("code", *case) for case in (("ABC", 0), ("XYZ", 1), (None, 2))),
        *(("count", *case) for case in ((1, 0), (2, 1), (3, 1), (51, 3))),
        ("weight", 7, 0),
    ],
)
def test_each_value_of_a_feature_falls_into_its_bin_alone_and_in_company(
    feature: str, value: Any, bin_: int, few: int, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "FEW", few)
    sent: dict[str, Any] = {feature: value}
    requests: list[list[dict[str, Any]]] = [[{}], [sent], [sent, {}, {}, {}]]
    for changes in requests:
        assert answer(endpoint, rows(*changes))[0] == 200
    found = {key[1:]: n for key, n in series(endpoint.telemetry).items() if key[0] == "ml_feature_bin_total" and n}
    usual = {"amount": 3, "kind": 0, "code": 0, "count": 1, "weight": 0}
    wanted = {(str(place), name): 3.0 for name, place in usual.items() if name != feature}
    wanted[(str(bin_), feature)] = 1.25
    wanted[(str(usual[feature]), feature)] = wanted.get((str(usual[feature]), feature), 0) + 1.75
    assert found == (wanted if bin_ != usual[feature] else wanted | {(str(bin_), feature): 3.0})


def test_errors_are_requests_too_and_are_counted_by_reason() -> None:
    telemetry = Telemetry(CONTRACT)
    telemetry.failed(0.2, "invalid")
    found = series(telemetry)
    assert found[("ml_requests_total",)] == found[("ml_errors_total", "invalid")] == 1
    assert found[("ml_errors_total", "malformed")] == 0
    assert found[("ml_request_duration_seconds_sum",)] == pytest.approx(0.2)


def test_buckets_are_cumulative_and_a_duration_on_a_bound_is_within_it() -> None:
    telemetry = Telemetry(CONTRACT)
    for seconds in (0.0001, 0.0042, 0.0043, 99.0):
        telemetry.failed(seconds, "invalid")
    buckets = [value for (name, *_), value in series(telemetry).items() if name == "ml_request_duration_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 4
    assert series(telemetry)[("ml_request_duration_seconds_bucket", "0.0042")] == 2


@pytest.mark.parametrize(("budget", "slow"), [(10, 5), (10, 4.2), (10, 4.99), (0.5, 0.1), (250, 400), (3, 0.001)])
def test_the_slow_limit_is_one_bound_and_bounds_are_dense_around_the_budget(budget: float, slow: float) -> None:
    found = bounds(budget, slow)
    assert round(slow / 1000, 9) in found
    assert found == sorted(set(found))
    assert sum(budget * 0.5e-3 <= bound <= budget * 1.5e-3 for bound in found) >= 9
    assert len(found) <= 24


def test_the_number_of_series_is_the_one_of_the_documentation(endpoint: Any, contract: dict[str, Any]) -> None:
    bounds_ = len(bounds(contract["latency_budget_ms"], contract["slow_ms"]))
    bins = sum(len(each["bins"]) + 2 for each in contract["features"] if each["bins"] is not None)
    outcomes = 7 + 2 * (len(contract["answer"]["fine"]) + 1) + 36
    every = 26 + bounds_ + 4 * len(contract["features"]) + bins + len(contract["dropped"]) + outcomes
    assert len(series(endpoint.telemetry)) == every


@pytest.mark.slow
def test_hostile_requests_add_no_series_and_hold_no_memory(endpoint: Any) -> None:
    chance = random.Random(7)  # noqa: S311

    def hostile(number: int) -> list[bytes]:
        """One that is taken, of text and numbers by chance, and four that are not."""
        code = "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3))
        taken = {"code": code, "amount": chance.uniform(-1000, 1000), "free": chance.gauss(0, 1e9)}
        sent = rows(taken), rows({f"key{number}": 1}), rows({"kind": f"kind{number}"}), {f"body{number}": [number]}
        return [*(json.dumps(each).encode() for each in sent), chance.randbytes(200)]

    statuses: set[int] = set()

    async def send(count: int) -> None:
        for number in range(count):
            for body in hostile(chance.randrange(10**12)):
                statuses.add((await ask(endpoint, body))[0])
            if not number % 100:
                series(endpoint.telemetry)

    asyncio.run(send(1000))  # five requests each; after these caches are full
    process, before = psutil.Process(), set(series(endpoint.telemetry))
    memory = process.memory_info().rss
    asyncio.run(send(19000))
    assert set(series(endpoint.telemetry)) == before
    assert process.memory_info().rss <= 1.1 * memory
    assert statuses == {200, 400}
