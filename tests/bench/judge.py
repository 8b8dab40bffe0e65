"""How often the judge aborts a candidate that is well, and how often and early it catches one that is not, simulated.

python tests/bench/judge.py [--runs 1000]
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages

from deploy.canary.judge import Array, Limits, log_evidence, score_shift  # noqa: E402

LIMITS = Limits()
SCORES = np.array([0.02, 0.15, 0.24, 0.20, 0.14, 0.10, 0.07, 0.05, 0.02, 0.01])  # shares of ten bins, like flights'
PROMISE = np.diag(SCORES * 27_000)  # of a month's test window; the candidate promises the same scores


@dataclass(frozen=True)
class Plan:
    """When the weight rises, and how much traffic there is; a stratum is one evaluation interval."""

    rate: float  # requests a second
    weights: tuple[float, ...] = (0.05, 0.25, 0.50)
    strata: int = 10  # at each weight
    seconds: float = 30.0  # of a stratum


@dataclass(frozen=True)
class Case:
    """What the two arms do; by default two identical, healthy ones."""

    name: str
    errors: tuple[float, float] = (0.001, 0.001)  # champion, candidate
    slow: tuple[float, float] = (0.10, 0.10)
    refused: tuple[float, float] = (0.0, 0.0)  # for what callers get wrong
    late: tuple[float, float] = (0.001, 0.001)  # beyond the budget
    scores: Array = field(default_factory=lambda: SCORES)  # the candidate's
    incident: tuple[int, int, float, float] | None = None  # first and last stratum, errors and slow share of both arms
    burst: int = 1  # slow requests come in groups of so many in one arm: a stalled process


def shifted(psi: float) -> Array:
    """The score distribution, moved upward until its PSI is as given: each bin hands a share to the next one."""
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        moved = SCORES - share * SCORES * (np.arange(10) < 9)
        moved[1:] += share * SCORES[:-1]
        low, high = (share, high) if ((moved - SCORES) * np.log(moved / SCORES)).sum() < psi else (low, share)
    return moved


def slower(share: float, factor: float, spread: float = 0.5) -> float:
    """Share above the slow bound once log-normal latencies (sigma = `spread`) are `factor` times as long."""
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) / 2 > share else (low, middle)
    return math.erfc((low - math.log(factor) / spread) / math.sqrt(2)) / 2


def first_aborts(plan: Plan, case: Case, runs: int, seed: int = 7) -> dict[str, Array]:
    """For each check, the stratum after which each run aborts (infinity: never), looking after every stratum."""
    random = np.random.default_rng(seed)
    weights = np.repeat(plan.weights, plan.strata)
    shape = (runs, len(weights))
    rates = np.array([[case.errors, case.slow]] * len(weights))  # [strata, errors or slow, champion or candidate]
    if case.incident:
        first, last, *both = case.incident
        rates[first : last + 1] = np.array(both)[:, None]
    traffic = random.poisson(plan.rate * plan.seconds, shape)
    candidate = random.binomial(traffic, weights)
    arms = np.stack([traffic - candidate, candidate], axis=-1)
    failed, refused, late = (random.binomial(arms, share) for share in (rates[:, 0], case.refused, case.late))
    slowed = random.binomial(arms // case.burst, rates[:, 1]) * case.burst
    answered = np.maximum(arms - failed - refused, 0)
    bins = [
        random.multinomial(answered[..., arm], share).cumsum(axis=1).astype(np.float64)
        for arm, share in enumerate((SCORES, case.scores))
    ]
    aborts = {}
    for name, bad, among, tested, tolerated, limit in (
        ("errors", failed, arms, 5.0, 1.0, LIMITS.evidence),
        ("refusals", refused, arms, 2.0, 1.2, LIMITS.evidence),
        ("latency", slowed, arms, 1.6, 1.2, LIMITS.evidence),
        ("budget", late, arms, 5.0, 1.0, LIMITS.evidence),
    ):
        old_bad, new_bad, old, new = np.moveaxis(np.concatenate([bad, among], axis=-1).astype(np.float64), -1, 0)
        aborts[name] = log_evidence(new_bad, old_bad, new, old, tested, tolerated) > limit
    seen, errors = arms[..., 1].cumsum(axis=1), failed[..., 1].cumsum(axis=1)
    aborts["errors"] &= errors > LIMITS.error_share * seen
    for name, bad, share in (("refusals", refused, LIMITS.error_share), ("budget", late, LIMITS.budget_share)):
        aborts[name] &= bad[..., 1].cumsum(axis=1) > share * seen
    as_champion = (arms[..., 1] * failed[..., 0] / np.maximum(arms[..., 0], 1)).cumsum(axis=1)
    aborts["success"] = (seen >= LIMITS.backstop_requests) & (errors > (1 - LIMITS.success) * seen)
    aborts["success"] &= as_champion <= (1 - LIMITS.success) * seen
    aborts["score shift"] = score_shift(bins[1], bins[0], PROMISE) > LIMITS.score_shift
    aborts["any"] = np.any(list(aborts.values()), axis=0)
    return {name: np.where(hit.any(axis=1), hit.argmax(axis=1), np.inf) for name, hit in aborts.items()}


HEALTHY = [
    Case("clean, 0.1 % errors"),
    Case("both at 1 % errors", errors=(0.01, 0.01)),
    Case("shared incident, four intervals", incident=(12, 15, 0.05, 0.5)),
    Case("slow requests in threes", burst=3),
    Case("both at 8 % errors", errors=(0.08, 0.08)),
    Case("one request in ten refused in both", refused=(0.1, 0.1)),
    Case("one in three refused in both", refused=(0.33, 0.33)),
]
FAULTY = [
    Case("errors 0.1 -> 1 %", errors=(0.001, 0.01)),
    Case("errors 0.1 -> 8 %", errors=(0.001, 0.08)),
    Case("latency +50 %", slow=(0.10, slower(0.10, 1.5))),
    Case("latency +100 %", slow=(0.10, slower(0.10, 2.0))),
    Case("refuses one in ten that the champion takes", refused=(0.0, 0.1)),
    Case("the same among callers who are careless once in ten", refused=(0.1, 0.19)),
    Case("beyond the budget 0.1 -> 5 %", late=(0.001, 0.05)),
    Case("score PSI 0.25", scores=shifted(0.25)),
]
# A rehearsal: thirty seconds at three weights of ten, judged every second; no errors, and few slow requests.
REHEARSAL = Plan(rate=150, weights=(0.25, 0.50, 0.75), seconds=1.0)
CHECKS = ("errors", "refusals", "latency", "budget", "score shift", "success", "any")


def tables(runs: int) -> list[Table]:
    """False aborts, then detection, in percent of runs; a column for each rate of traffic."""
    plans = {f"{rate}/s": Plan(rate) for rate in (5, 20, 100)} | {"rehearsal": REHEARSAL}
    false = Table(title=f"False aborts, % of {runs} runs at {' · '.join(plans)}", title_justify="left")
    false.add_column("two identical arms")
    for check in CHECKS:
        false.add_column(check, justify="right")
    for case in HEALTHY:
        found = [first_aborts(plan, case, runs) for plan in plans.values()]
        false.add_row(case.name, *(_cell(np.isfinite(hits[check]) for hits in found) for check in CHECKS))
    caught = Table(title="Caught, % of runs, and the median interval of the abort", title_justify="left")
    caught.add_column("the candidate's fault")
    for title in ("before the last weight", "by the end", "median interval"):
        caught.add_column(title, justify="right")
    for case in FAULTY:
        hits = [first_aborts(plan, case, runs)["any"] for plan in plans.values()]
        before = [hit < 2 * plan.strata for hit, plan in zip(hits, plans.values(), strict=True)]
        medians = [np.median(hit) for hit in hits]
        times = "/".join(f"{middle + 1:.0f}" if np.isfinite(middle) else "-" for middle in medians)
        caught.add_row(case.name, _cell(before), _cell(np.isfinite(hit) for hit in hits), times)
    return [false, caught]


def _cell(hits: Iterable[NDArray[np.bool_]]) -> str:
    """Percent of runs, one number for each rate of traffic: a decimal where it is small."""
    shares = [100 * float(hit.mean()) for hit in hits]
    return "/".join(f"{share:.0f}" if share >= 2 or share == 0 else f"{share:.1f}" for share in shares)


def rehearsal_false_aborts(runs: int) -> list[str]:
    """A sentence for each kind of machine: how many clean rehearsals abort, by all checks together."""
    clean = Case("clean", errors=(0.0, 0.0))
    kinds = {
        "one request in ten slow": clean,
        "one in two hundred slow, in threes, as on two cores with other work": replace(
            clean, slow=(0.005, 0.005), burst=3
        ),
    }
    aborts = {kind: np.isfinite(first_aborts(REHEARSAL, case, runs)["any"]).sum() for kind, case in kinds.items()}
    return [f"Of {runs} clean rehearsals with {kind}, {count} abort." for kind, count in aborts.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    console = Console(width=140)
    for table in tables(options.runs):
        console.print(table)
    for line in rehearsal_false_aborts(10 * options.runs):
        console.print(line)


if __name__ == "__main__":
    main()
