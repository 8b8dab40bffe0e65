"""A repository that can be rehearsed, and rehearsals that go faster than a person would watch."""

import asyncio
import io
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, chdir, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from deploy.canary.judge import Limits
from deploy.canary.steps import Step, Steps
from deploy.rehearsal import prometheus, proxy
from deploy.rehearsal.cluster import Judge
from deploy.rehearsal.meters import Bounds, Meter
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.rehearsal.reference import ReferenceJudge
from deploy.rehearsal.screen import Screen
from deploy.rehearsal.traffic import Arm, Traffic
from deploy.rehearsal.walk import Walk
from serving import build
from tests.deploy.stub_arm import StubArm
from tests.support import trees
from tests.support.answers import SCORES
from tests.support.repository import commit
from tests.support.specimens import MODEL, NAME

BOUNDS = Bounds(5.0, 10.0)
QUICK = Pace(steps=2.0, rate=300.0, warm=20, evidence=10.0, limits=Limits(requests=100, backstop_requests=50))


def make_repository(workshop: Path, root: Path) -> None:
    """The trained specimen with a second commit, of which the Bento is built."""
    trees.copy(workshop, root)
    trees.append(root / MODEL / "resources.yaml", "# the second commit\n")  # no part of the passport
    commit(root)
    with chdir(root):
        build.build(NAME)


needs_prometheus = pytest.mark.skipif(prometheus.find() is None, reason="apt-get install prometheus")
needs_haproxy = pytest.mark.skipif(proxy.find() is None, reason="apt-get install haproxy")
TWO = Steps((Step(25, 60.0), Step(50, 60.0)), ())


def rehearsal(pace: Pace = QUICK, fault: str | None = None, plan: Steps = TWO, **more: Any) -> Rehearsal:
    """One that has not begun."""
    now, told = datetime.now(UTC), ("the champion", "the candidate")
    return Rehearsal(NAME, fault, *told, plan, pace, now, BOUNDS, BOUNDS, **{"answer": SCORES, **more})


def bodies() -> Iterator[bytes]:
    return itertools.cycle([json.dumps({"rows": [{"x": 1.0}] * count}).encode() for count in (1, 1, 1, 3)])


def walk(
    champion: StubArm,
    candidate: StubArm,
    done: Rehearsal | None = None,
    judge: Callable[[Meter, Meter], AbstractContextManager[Judge]] | None = None,
    kind: type[Traffic] = Traffic,
) -> Rehearsal:
    """A whole walk, by default judged by the reference; what was printed is in `done.printed`."""
    done = done or rehearsal()
    judge = judge or (lambda one, other: nullcontext(ReferenceJudge(one, other, done.pace, np.eye(10) * 1e4)))
    console = Console(file=io.StringIO(), soft_wrap=True)

    async def both() -> None:
        async with champion.running(), candidate.running():
            arms = Arm("champion", champion.address), Arm("candidate", candidate.address)
            split = kind(*arms, bodies(), done.pace.rate, done.pace.seed)
            servers = cast(Any, (champion, candidate))
            with Screen(console) as screen:
                await Walk(done, split, servers, screen, judge).walk()

    asyncio.run(both())
    cast(Any, done).printed = cast(io.StringIO, console.file).getvalue()
    return done
