"""Rehearse a release: champion and candidate as real servers, real rows through a weighted split, judged all the time.

python -m deploy rehearse flight_delay [--champion REV] [--fault errors|latency|scores|crash|never-ready|nan|champion]

Exit code 0: promote. 1: abort. 2: inconclusive, refused, or a planted fault that was not caught.
"""

import argparse
import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from deploy.lib.passport import Promise
from deploy.rehearsal import bentos, cluster, faults, prometheus, proxy, rendered, report, traffic
from deploy.rehearsal.cluster import Judge
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.rehearsal.reference import ReferenceJudge
from deploy.rehearsal.rendered import RenderedRelease
from deploy.rehearsal.screen import Screen
from deploy.rehearsal.traffic import Arm, Traffic
from deploy.rehearsal.walk import Walk
from models.lib import config, passport, promise
from repo.lib.command import working
from repo.lib.refusal import Refusal
from serving import serve

EXIT_CODES = {"promote": 0, "abort": 1, "inconclusive": 2}


def main(options: argparse.Namespace) -> int:
    with Screen() as screen:
        done = rehearse(options.model, options.champion, options.fault, Pace(seed=options.seed), screen)
        written = report.write(done, Path(options.report) if options.report else None)
        for line in (done.missing, f"report: {written}", f"next: {what}" if (what := report.advice(done)) else ""):
            if line:
                screen.say(line)
        screen.say(f"{done.verdict}: {done.reason}")
        if options.fault and done.verdict != "abort":
            screen.say(f"The planted fault {options.fault} was not caught: the judge cannot see it.")
            return EXIT_CODES["inconclusive"]
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
    release = rendered.released(model)
    bodies = traffic.requests(model, pace.seed)
    bodies = itertools.chain([next(bodies)], bodies)  # missing data is refused before anything is started
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as temporary:
        folder = Path(temporary)
        candidate = bentos.candidate(model)
        champion = bentos.champion(model, revision, candidate, folder)
        promised = Promise(champion=champion.version, counts=promise.between(model, champion.onnx, candidate.onnx))
        release = release.with_promise(promised)
        slow_ms, itself = passport.slow_ms(model), champion.folder == candidate.folder
        own, its = candidate.bounds(slow_ms), champion.bounds(slow_ms)
        described = champion.description, candidate.description
        if fault == "champion":
            candidate = replace(candidate, folder=_other(champion, candidate))
        elif fault:
            planted = faults.plant(fault, candidate.folder, folder / "candidate", slow_ms)
            candidate = replace(candidate, folder=planted)
        started = datetime.now(UTC)
        rehearsal = Rehearsal(
            name, fault, *described, release.plan, pace, started, own, its, candidate.contract["answer"], itself=itself
        )
        _describe(rehearsal, release)
        for line in _introduction(rehearsal, release):
            screen.say(line)
        start = time.monotonic()
        with contextlib.ExitStack() as stack:  # both start at the same time, each with a home of its own
            old = stack.enter_context(serve.start(champion.folder, serve.free_port(), folder / "champion-home"))
            new = stack.enter_context(serve.start(candidate.folder, serve.free_port(), folder / "candidate-home"))
            if _ready(old, new, rehearsal):
                front = proxy.start(old.address, new.address, folder / "proxy") if proxy.find() else None
                arms = Arm("champion", old.address), Arm("candidate", new.address)
                split = Traffic(*arms, bodies, pace.rate, pace.seed, stack.enter_context(front) if front else None)
                judge = partial(judging, rehearsal, release, promised, folder)
                asyncio.run(Walk(rehearsal, split, (old, new), screen, judge).walk())
        rehearsal.seconds = time.monotonic() - start
    return rehearsal


def _other(champion: bentos.Bento, candidate: bentos.Bento) -> Path:
    """The champion's Bento, for the candidate's place: what a wrong digest does."""
    if champion.onnx.read_bytes() == candidate.onnx.read_bytes():
        raise Refusal(
            "--fault champion serves the champion in the candidate's place, and both are the same model: nobody could "
            "see a difference; name another with --champion REV."
        )
    return champion.folder


def _describe(rehearsal: Rehearsal, release: RenderedRelease) -> None:
    """Who judges and who splits, which depends on what is installed here."""
    rehearsal.notes += release.notes
    rehearsal.judge = f"the AnalysisTemplates of {release.source}, by a real Prometheus"
    rehearsal.split = "HAProxy, by live weights"
    missing = []
    if prometheus.find() is None:
        rehearsal.judge = "deploy/canary/judge.py, the reference implementation of the AnalysisTemplates"
        missing.append("prometheus")
    if proxy.find() is None:
        rehearsal.split = "the rehearsal's own client"
        missing.append("haproxy")
    if missing:
        rehearsal.missing = f"Stand-ins replaced {' and '.join(missing)}: `apt-get install {' '.join(missing)}`."


def _introduction(rehearsal: Rehearsal, release: RenderedRelease) -> list[str]:
    weights = ", ".join(f"{step.weight} %" for step in rehearsal.plan.steps)
    planted = [f"fault      {rehearsal.fault}, planted in the candidate: this must abort"] if rehearsal.fault else []
    return [
        f"champion   {rehearsal.champion}",
        f"candidate  {rehearsal.candidate}",
        *planted,
        f"steps      {weights} of {release.source}, time compressed {rehearsal.factor:.3g} times",
        f"judge      {rehearsal.judge}",
        f"split      {rehearsal.split}",
        *rehearsal.plan.left_out,
        *rehearsal.notes,
    ]


@contextlib.contextmanager
def judging(
    rehearsal: Rehearsal, release: RenderedRelease, promised: Promise, folder: Path, champion: Meter, candidate: Meter
) -> Iterator[Judge]:
    """The templates on a Prometheus of their own, which scrapes from now on; the reference where none is installed."""
    if prometheus.find() is None:
        yield ReferenceJudge(champion, candidate, rehearsal.pace, np.array(promised.counts, np.float64))
        return
    own, its = rehearsal.bounds, rehearsal.champion_bounds
    release = release.with_bounds(
        slow=own.slow_ms, stable_slow=its.slow_ms, budget=own.budget_ms, stable_budget=its.budget_ms
    )
    hashes = ((cluster.CHAMPION, champion.arm), (cluster.CANDIDATE, candidate.arm))
    pods = [prometheus.Pod(arm.name, hashed, arm.address) for hashed, arm in hashes]
    place = folder / "prometheus"
    with prometheus.start(pods, release.rollout, release.monitor, rehearsal.factor, place) as running:
        yield cluster.ClusterJudge(release, running, rehearsal.factor)


def _ready(old: serve.Server, new: serve.Server, rehearsal: Rehearsal) -> bool:
    """Wait for both; a candidate that never gets ready aborts; a champion that does not is refused."""
    with working("starting both servers"):
        for server in (old, new):
            try:
                server.wait_ready(rehearsal.pace.ready)
            except Refusal as refusal:
                if server is old:
                    raise Refusal(f"the champion cannot be rehearsed against: {refusal}") from None
                rehearsal.conclude("abort", f"the candidate was never ready: {str(refusal).rstrip('.')}")
                return False
    return True
