"""Watch a month of data pass a model: its real service answers, and the cluster's own rules judge what it counts.

python -m deploy watch flight_delay [--month 2013-12] [--fault shift|category|nulls|swap|collapse|slow|labels] [--once]

Exit code 0: nothing to do. 1: an alert asks for work. 2: refused, or a planted fault that its alert did not catch.
"""

import argparse
import asyncio
import calendar
import contextlib
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from data_schemas.lib import datasets
from deploy.lib import monitoring
from deploy.lib.passport import parse_passport
from deploy.rehearsal import bentos, faults, ill_rows, prometheus, replay, watched
from deploy.rehearsal.past import STEP, Past
from deploy.rehearsal.replay import DAY
from deploy.rehearsal.screen import Screen
from deploy.rehearsal.watched import Watched
from models.lib import config, drift, importance, samples
from models.lib.split import UNITS
from repo.lib.command import working
from repo.lib.files import read_json, read_yaml
from repo.lib.refusal import Refusal

FOLDER = Path("deploy/build/watched")
BEFORE = 9 * DAY  # windows of seven days, and a day until outcomes are known, are full when the month begins
CHUNK = 5 * DAY  # between two looks of the rules
# Planted in the model: kind, seconds, in words. Slow answers take real time.
MODELS = {
    "collapse": ("collapse", 400 * DAY, "all answers are the same"),
    "slow": ("latency", DAY, "answers are slow for a day"),
}


def main(options: argparse.Namespace) -> int:
    if not prometheus.find():
        raise Refusal("prometheus is not on PATH; install it with `apt-get install prometheus`.")
    model = config.load(options.model)
    with Screen() as screen, tempfile.TemporaryDirectory(prefix="watch-") as temporary:
        rows, first, last = _month(model, options.month, screen)
        past, done = watch(model, rows, first, last, options.fault, Path(temporary), screen)
        with past.running() as address:
            folder = Path(options.report or FOLDER / f"{model.name}-{options.fault or 'as-it-is'}")
            report, (code, lines) = watched.write(done, watched.ask(done, address), folder), done.verdict()
            for line in [f"report: {report}", *lines]:
                screen.say(line)
            if not options.once:
                until = f"g0.end_input={datetime.fromtimestamp(last, UTC):%Y-%m-%d}&g0.range_input=30d"
                screen.say(f"Prometheus: {address}/graph?g0.expr=ml:drift&g0.tab=0&{until}; Ctrl-C stops it")
                with contextlib.suppress(KeyboardInterrupt):
                    threading.Event().wait()
    return code


def watch(
    model: config.Model, rows: pl.DataFrame, first: int, last: int, fault: str | None, folder: Path, screen: Screen
) -> tuple[Past, Watched]:
    """What the rules say of timed rows from BEFORE `first` to `last` (Unix seconds), as the built Bento answers them.

    Servers are stopped when this returns; the blocks are in `folder`.
    """
    path, bento = model.build / "passport.yaml", bentos.candidate(model)
    if not path.is_file():
        raise Refusal(f"{path} is missing; make it with `python -m models run {model.name}`.")
    passport = parse_passport(path.read_bytes(), path)
    if passport.reference is None:
        raise Refusal(f"{path}: reference is missing; make it with `python -m models run {model.name}`.")
    constants = monitoring.group("production", passport, passport.reference)
    past = Past([constants, *read_yaml(monitoring.RULES, "restore it")["spec"]["groups"]], folder / "past")
    done = Watched(model.name, bento.version, fault, first, last, past.alerts)
    served, ill_until = [bento.folder], done.begin
    if fault in MODELS:
        kind, seconds, done.planted = MODELS[fault]
        ill_until += seconds
        with working("planting the fault"):
            served.append(faults.plant(kind, bento.folder, folder / "ill", model.serving.latency_budget_ms / 2))
    elif fault:
        ill = rows.filter(pl.col("at") >= done.begin)
        done.planted, changed = ill_rows.plant(fault, ill, _features(model, bento), model.target.column)
        done.features = frozenset(changed) - {model.target.column}
        rows = pl.concat([rows.filter(pl.col("at") < done.begin), ill.with_columns(**changed)], how="vertical_relaxed")
    screen.say(f"{done.title}: {rows.height:,} rows")
    slots, start, file = replay.slots(model, rows), first - BEFORE, folder / "record.txt"
    with replay.serving(served, folder, model.name) as pods:
        most, ill_from = model.serving.max_rows, done.begin
        recorder = replay.Recorder(pods, past.names, model.name, most, lambda end: int(ill_from < end <= ill_until))
        for end in [*range(start + CHUNK, last, CHUNK), last]:
            with file.open("w") as text:
                asyncio.run(recorder.record(slots, start, end, text))
            past.add(file)
            past.judge(start + STEP, end)
            start, done.at, done.requests, done.refused = end, end, recorder.requests, recorder.refused
            screen.draw(done.table, done.line)
    return past, done


def _month(model: config.Model, month: str | None, screen: Screen) -> tuple[pl.DataFrame, int, int]:
    """Timed rows up to the month's end, and when it begins and ends in Unix seconds."""
    table, unit = datasets.read_all(model.dataset), UNITS["month"]
    column = drift.time_column(model, table)
    newest: Any = table[column].max() if column else datetime.now(UTC)
    if not column:
        table = samples.rows(model, "test")
        screen.say(f"The rows have no date: the {table.height:,} of test are spread over the time, in their order.")
    number = unit.read(month) if month else unit.number(newest)
    if number is None:
        raise Refusal(f"--month {month} is not a month; write it as {unit.name(unit.number(newest))}.")
    first, last = (calendar.timegm(unit.first(each).timetuple()) for each in (number, number + 1))
    rows = replay.timed(model, table, first - BEFORE, last)
    if rows.filter(pl.col("at") >= first).is_empty():
        raise Refusal(f"--month {month}: {model.dataset} has no rows of it; the newest month is {newest:%Y-%m}.")
    return rows, first, last


def _features(model: config.Model, bento: bentos.Bento) -> list[dict[str, Any]]:
    """Of contract.json, those that matter most first, but for personal ones."""
    worth = read_json(model.build / "evaluation.json", f"python -m models run {model.name}")["importance"]
    order = {name: place for place, name in enumerate(importance.matters(worth))}
    features = [each for each in bento.contract["features"] if not each.get("personal")]
    return sorted(features, key=lambda each: order.get(each["name"], len(order)))
