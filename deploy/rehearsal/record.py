"""What a rehearsal is and finds, for the screen and the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.canary.judge import BINS, Limits, Result
from deploy.canary.steps import Steps
from deploy.rehearsal.meters import Bounds, Meter


@dataclass(frozen=True)
class Pace:
    """How fast and how hard a rehearsal goes, in seconds of a wall clock unless stated otherwise."""

    steps: float = 30.0  # all pauses of the Rollout together: the factor by which time is compressed follows
    scrape: float = 0.5
    interval: float = 1.0  # of evaluation: one stratum of the judge
    rate: float = 150.0  # requests a second, both arms together: two busy cores carry it
    warm: int = 10  # requests to each arm before the first weight: a fresh server is slow for the first five
    ready: float = 60.0  # a server that is not ready by then never will be
    evidence: float = 30.0  # longest wait at one weight after its pause, where the cluster may wait an hour
    seed: int = 7
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Tick:
    """One look of the judge: seconds since the first scrape, the candidate's weight in percent, every check."""

    at: float
    weight: int
    results: list[Result]


@dataclass
class Rehearsal:
    model: str
    fault: str | None
    champion: str  # one sentence: which version, and where it comes from
    candidate: str
    plan: Steps
    pace: Pace
    started: datetime
    bounds: Bounds  # of the candidate
    champion_bounds: Bounds
    answer: Mapping[str, Any]  # of the candidate's contract.json
    itself: bool = False  # whether the candidate stands in the champion's place, too
    judge: str = ""  # who judges, and who splits the requests: a phrase each
    split: str = ""
    notes: list[str] = field(default_factory=list)  # what else a reader must know, a sentence each
    ticks: list[Tick] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)  # champion, candidate
    missing: str = ""  # tools that are not installed, and who does their work
    verdict: str = "inconclusive"  # or promote, abort
    reason: str = "it was not finished"
    bad: str = ""  # of an abort: how long, and how many bad answers, it took
    kept: str = ""  # of a promotion: how many requests failed on the way
    seconds: float = 0.0  # from the start of the servers to the verdict

    @property
    def slow_ms(self) -> float:
        """Requests to the candidate above it are slow."""
        return self.bounds.slow_ms

    @property
    def bins(self) -> list[str]:
        """What each bin of `ml_score_bin_total` holds: a name, or values from an edge on."""
        if names := self.answer["names"]:
            return names if len(names) <= BINS else [*names[: BINS - 1], f"{len(names) - BINS + 1} others"]
        return ["below", *(f"{edge:.3g}" for edge in self.answer["edges"])]

    @property
    def factor(self) -> float:
        """How many times faster than the cluster's its steps go."""
        return self.plan.seconds / self.pace.steps

    def conclude(self, verdict: str, reason: str) -> None:
        self.verdict, self.reason = verdict, reason
