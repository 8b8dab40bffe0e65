"""A record of simulated time by a service, and what rules say of a record: groups in order, `for`, following spans."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiohttp import web

from deploy.rehearsal import ill_rows, past, replay
from deploy.rehearsal.past import STEP, Alert, Past
from deploy.rehearsal.prometheus import Pod
from models.lib import config
from repo.lib.refusal import Refusal
from tests.deploy.rehearsals import needs_prometheus
from tests.support.specimens import NAME

FIRST = 1_385_856_000  # 2013-12-01
GROUPS = [
    {"name": "counts", "rules": [{"record": "by:15m", "expr": "sum by (model) (increase(seen_total[901s]))"}]},
    {"name": "sums", "rules": [{"record": "of:1h", "expr": "sum_over_time(by:15m[59m])", "labels": {"window": "1h"}}]},
    {
        "name": "alerts",
        "rules": [{"alert": "Many", "expr": "of:1h > 35", "for": "30m", "labels": {"severity": "ticket"}}],
    },
]


@needs_prometheus
def test_groups_read_what_earlier_ones_record_and_alerts_wait_across_spans(tmp_path: Path) -> None:
    """Ten a quarter of an hour for two hours, then none: four quarters of ten are above 35 from the fourth on."""
    judged = Past(GROUPS, tmp_path / "past")
    assert judged.names == {"seen_total"}
    for start, end in ((0, 5), (5, 20)):
        file = tmp_path / "record.txt"
        lines = [f'seen_total{{model="a \\"b\\""}} {10 * min(at, 8)} {FIRST + at * STEP}\n' for at in range(start, end)]
        file.write_text("".join([*lines, "# EOF\n"]))
        judged.add(file)
        judged.judge(FIRST + start * STEP, FIRST + (end - 1) * STEP)
    (alert,) = judged.alerts.values()
    assert alert.labels == {"model": 'a "b"', "window": "1h", "severity": "ticket"}
    assert alert.firing == [[FIRST + 6 * STEP, FIRST + 8 * STEP]]  # pending at 4 and 5
    with judged.running() as address:
        ((labels, values),) = past.query(address, "of:1h", FIRST, FIRST + 4 * STEP)
        assert [round(float(value)) for _, value in values] == [10, 20, 30, 40]
        assert labels["window"] == "1h"
        with pytest.raises(Refusal, match=r"refuses .*parse error"):
            past.query(address, "sum(", FIRST, FIRST)


@pytest.mark.parametrize(
    ("active", "firing"),
    [
        ([1, 2, 3], [[3, 3]]),
        ([1, 2, 4, 5, 6, 7], [[6, 7]]),  # a gap starts the wait again
        ([1, 2, 3, 5, 6, 7], [[3, 3], [7, 7]]),
    ],
)
def test_an_alert_fires_once_its_expression_held_for_so_long(active: list[int], firing: list[list[int]]) -> None:
    alert = Alert("Many", {})
    for step in active:
        alert.active(step * STEP, 2 * STEP)
    assert alert.firing == [[start * STEP, end * STEP] for start, end in firing]


def test_rows_have_their_own_time_or_are_spread_through_their_day_or_the_span() -> None:
    model = config.load(NAME, check_columns=False)
    days = pl.DataFrame({"flight_date": [date(2013, 12, 2)] * 2 + [date(2013, 12, 1), date(2013, 11, 1)]})
    timed = replay.timed(model, days, FIRST, FIRST + 2 * replay.DAY)
    assert [(at - FIRST) / 3600 for at in timed["at"]] == [12, 30, 42]
    times = pl.DataFrame({"flight_date": [datetime(2013, 12, 1, 7, 30, tzinfo=UTC)]})
    assert replay.timed(model, times, FIRST, FIRST + replay.DAY)["at"].to_list() == [FIRST + 7 * 3600 + 1800]
    undated = replay.timed(model, pl.DataFrame({"x": [1, 2]}), FIRST, FIRST + 4 * STEP)
    assert [(at - FIRST) / STEP for at in undated["at"]] == [1, 3]


@asynccontextmanager
async def service(*routes: web.RouteDef) -> AsyncIterator[Pod]:
    (application := web.Application()).add_routes(routes)
    await (runner := web.AppRunner(application)).setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    yield Pod("a-0", "5d", f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}")  # type: ignore[union-attr]
    await runner.cleanup()


@pytest.mark.parametrize(("status", "answer"), [(200, {}), (400, {"error": {"field": "prediction_ids"}})])
def test_a_service_without_prediction_ids_is_refused(status: int, answer: dict[str, Any]) -> None:
    """Quality would be silent."""

    async def predict(_: web.Request) -> web.Response:
        return web.json_response(answer, status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response()

    async def recorded() -> None:
        async with service(web.post("/predict", predict), web.get("/metrics", metrics)) as pod:
            recorder = replay.Recorder([pod], frozenset(), "a", 2, lambda _: 0)
            await recorder.record({FIRST + STEP: [(b"{}", 1)]}, FIRST, FIRST + STEP, io.StringIO())

    with pytest.raises(Refusal, match="a-0 answers without prediction ids"):
        asyncio.run(recorded())


def test_a_record_has_a_scrape_each_quarter_and_outcomes_come_a_day_later() -> None:
    """A quarter without requests repeats the metrics, and the service is not asked."""
    asked: list[str] = []
    told: list[dict[str, Any]] = []

    async def predict(request: web.Request) -> web.Response:
        assert request.query["prediction_ids"] == "true"
        row = (await request.json())["rows"][0]
        if row["x"] < 0:
            return web.json_response({"error": {"field": "rows[0].x"}}, status=400)
        return web.json_response({"prediction_ids": [f"id-{row['x']}"]})

    async def feedback(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.json_response({})

    async def metrics(_: web.Request) -> web.Response:
        asked.append("metrics")
        lines = ["# TYPE seen_total counter", f'seen_total{{model="a"}} {len(asked)}.0', 'other_total{model="a"} 1.0']
        return web.Response(text="\n".join([*lines, f"plain_total {len(told)}", ""]))

    async def recorded() -> tuple[str, replay.Recorder]:
        names, file = frozenset({"seen_total", "plain_total"}), io.StringIO()
        bodies = [(json.dumps({"rows": [{"x": x}]}).encode(), outcome) for x, outcome in ((1, 0), (2, 1), (3, 1))]
        refused = (b'{"rows":[{"x":-1}]}', 1), (b'{"rows":[{"x":4}]}', None)  # without an outcome
        routes = [web.post("/predict", predict), web.post("/feedback", feedback), web.get("/metrics", metrics)]
        async with service(*routes) as pod:
            recorder = replay.Recorder([pod], names, "a", 2, lambda _: 0)
            await recorder.record({FIRST + STEP: [*bodies, *refused]}, FIRST, FIRST + 98 * STEP, file)
        return file.getvalue(), recorder

    text, recorder = asyncio.run(recorded())
    assert (recorder.requests, recorder.refused) == (5, 1)
    assert [len(each["feedback"]) for each in told] == [2, 1]
    pairs = [(each["prediction_id"], each["outcome"]) for body in told for each in body["feedback"]]
    assert sorted(pairs) == [("id-1", 0), ("id-2", 1), ("id-3", 1)]
    assert len(asked) == 3  # before the first, after the requests, after the outcomes
    *lines, end = text.splitlines()
    assert end == "# EOF"
    scraped = 'namespace="models-production",job="a",pod="a-0",rollouts_pod_template_hash="5d"'
    seen = [line for line in lines if line.startswith("seen")]
    assert seen[0] == f'seen_total{{model="a",{scraped}}} 1.0 {FIRST}'
    assert [line.split()[-2] for line in seen] == ["1.0", *["2.0"] * 96, *["3.0"] * 2]
    assert [int(line.split()[-1]) for line in seen] == [FIRST + place * STEP for place in range(99)]
    assert lines[1] == f"plain_total{{{scraped}}} 0 {FIRST}"
    assert "other_total" not in text


def feature(name: str, kind: str = "number", **more: Any) -> dict[str, Any]:
    limits = dict.fromkeys(("min", "max", "above", "below", "allowed", "pattern", "bins"))
    return {"name": name, "type": kind, "nullable": False, **limits, **more}


ROWS = pl.DataFrame({"n": [1, 2, 3], "x": [0.0, 5.0, 10.0], "y": [1.0, 2.0, 3.0], "t": ["AB", "BA", "AB"]})


@pytest.mark.parametrize(
    ("fault", "features", "planted"),
    [
        ("shift", [feature("t", "string"), feature("x", min=0, max=15)], {"x": [10.0, 15.0, 15.0]}),
        ("shift", [feature("n", "integer", above=0)], {"n": [3, 4, 5]}),
        ("shift", [feature("n", "integer", above=0, below=5)], {"n": [3, 4, 4]}),
        ("category", [feature("x"), feature("t", "string", pattern="^[A-C]{2}$", bins=["AC"])], {"t": ["CA"] * 3}),
        ("nulls", [feature("x"), feature("t", "string", nullable=True, allowed=["AB"])], {"t": [None] * 3}),
        (
            "swap",
            [feature("n", "integer"), feature("x"), feature("y", min=0, max=10)],
            {"x": [1.0, 2, 3], "y": [0.0, 5, 10]},
        ),
    ],
)
def test_a_fault_of_rows_is_the_first_that_the_contract_allows(
    fault: str, features: list[dict[str, Any]], planted: dict[str, list[Any]]
) -> None:
    _, changed = ill_rows.plant(fault, ROWS, features, "n")
    assert ROWS.with_columns(**changed).select(*planted).to_dict(as_series=False) == planted


@pytest.mark.parametrize("fault", ["shift", "category", "nulls", "swap"])
def test_a_fault_that_the_contract_rules_out_is_refused(fault: str) -> None:
    with pytest.raises(Refusal, match=f"--fault {fault} cannot be planted, as the contract allows it of no feature"):
        ill_rows.plant(fault, ROWS, [feature("t", "string", allowed=["AB", "BA"])], "n")


def test_labels_are_those_of_other_rows() -> None:
    _, changed = ill_rows.plant("labels", pl.DataFrame({"late": list(range(50))}), [], "late")
    assert sorted(changed["late"]) == list(range(50)) != changed["late"].to_list()
