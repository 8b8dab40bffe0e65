"""Rehearse a release: champion and candidate as real servers, real rows through a weighted split, judged all the time.

python -m deploy rehearse flight_delay [--champion REV] [--fault errors|latency|scores|crash|never-ready|nan]

Exit code 0: promote. 1: abort. 2: inconclusive (or refused).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from data_schemas.command import Refusal, working
from deploy import steps
from deploy.rehearsal import arms, faults, report, traffic
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.rehearsal.screen import Screen
from deploy.rehearsal.traffic import Arm, Traffic
from deploy.rehearsal.walk import Walk
from models import config
from serving import serve

EXIT_CODES = {"promote": 0, "abort": 1, "inconclusive": 2}


def main(options: argparse.Namespace) -> int:
    with Screen() as screen:
        done = rehearse(options.model, options.champion, options.fault, Pace(seed=options.seed), screen)
        written = report.write(done, Path(options.report) if options.report else None)
        screen.say(f"{done.verdict}: {done.reason}")
        screen.say(f"report: {written}")
    return EXIT_CODES[done.verdict]


def rehearse(
    name: str,
    revision: str | None = None,
    fault: str | None = None,
    pace: Pace | None = None,
    screen: Screen | None = None,
) -> Rehearsal:
    """Both servers are stopped and every temporary file is gone when this returns or raises."""
    pace, screen = pace or Pace(), screen or Screen()
    model = config.load(name)
    plan = steps.read()
    bodies = traffic.requests(model, pace.seed)
    bodies = itertools.chain([next(bodies)], bodies)  # missing data is said before anything is started
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as temporary:
        folder = Path(temporary)
        candidate = arms.candidate(model)
        champion = arms.champion(model, revision, candidate, folder)
        if fault:
            planted = faults.plant(fault, candidate.folder, folder / "candidate", model.serving.slow_ms)
            candidate = replace(candidate, folder=planted)
        described = champion.description, candidate.description
        rehearsal = Rehearsal(name, fault, *described, plan, pace, datetime.now(UTC), model.serving.slow_ms)
        for line in _introduction(rehearsal):
            screen.say(line)
        start = time.monotonic()
        with _servers(champion, candidate, folder) as (old, new):
            if _ready(old, new, rehearsal):
                split = Traffic(
                    Arm("champion", old.address), Arm("candidate", new.address), bodies, pace.rate, pace.seed
                )
                asyncio.run(Walk(rehearsal, split, new, screen).walk())
        rehearsal.seconds = time.monotonic() - start
    return rehearsal


def _introduction(rehearsal: Rehearsal) -> list[str]:
    weights = ", ".join(f"{step.weight} %" for step in rehearsal.plan.steps)
    planted = [f"fault      {rehearsal.fault}, planted in the candidate: this must abort"] if rehearsal.fault else []
    return [
        f"champion   {rehearsal.champion}",
        f"candidate  {rehearsal.candidate}",
        *planted,
        f"steps      {weights} of {steps.ROLLOUT}, time compressed {rehearsal.factor:.3g} times",
        *rehearsal.plan.left_out,
        "judge      log evidence: below 0 the candidate is no worse than the champion, above the limit it aborts",
    ]


@contextlib.contextmanager
def _servers(champion: arms.Bento, candidate: arms.Bento, folder: Path) -> Iterator[tuple[serve.Server, serve.Server]]:
    """Both starting at the same time, each with a home of its own."""
    with (
        serve.start(champion.folder, serve.free_port(), folder / "champion-home") as old,
        serve.start(candidate.folder, serve.free_port(), folder / "candidate-home") as new,
    ):
        yield old, new


def _ready(old: serve.Server, new: serve.Server, rehearsal: Rehearsal) -> bool:
    """Wait for both; a candidate that never gets ready aborts, but a champion's fault is no verdict on a candidate."""
    with working("starting both servers"):
        try:
            old.wait_ready(rehearsal.pace.ready)
        except Refusal as refusal:
            raise Refusal(f"the champion cannot be rehearsed against: {refusal}") from None
        try:
            new.wait_ready(rehearsal.pace.ready)
        except Refusal as refusal:
            rehearsal.conclude("abort", f"the candidate was never ready: {str(refusal).rstrip('.')}")
            return False
    return True
