"""What a rehearsal shows while it runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.canary.judge import Result, Verdict

if TYPE_CHECKING:
    from deploy.rehearsal.record import Rehearsal

PLAIN_SECONDS = 5.0  # between two lines where there is no terminal
RECENT = 500  # answers that the quantiles on screen are of
COLOURS = {Verdict.HEALTHY: "green", Verdict.ABORT: "bold red", Verdict.INCONCLUSIVE: "yellow"}
LABELS = {
    "evidence": "requests compared",
    "errors": "errors, log evidence",
    "refusals": "requests refused, log evidence",
    "latency": "slow requests, log evidence",
    "budget": "beyond the budget, log evidence",
    "score-shift": "answers against the promise, PSI less its noise",
    "success": "success, share without error",
    "downtime": "scrapes missed",
}


def quantiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile; NaN of nothing."""
    if not milliseconds:
        return float("nan"), float("nan")
    middle, tail = np.percentile(milliseconds, [50, 99])
    return float(middle), float(tail)


def limit(result: Result) -> str:
    """`at most 4.6`, in words that show on which side of the limit it aborts."""
    return f"{'at least' if result.least else 'at most'} {result.limit:g}"


def label(name: str) -> str:
    """What a check is called for people; its own name if a template brings one that is not known here."""
    return LABELS.get(name, name)


def title(name: str) -> str:
    """Its label without the unit."""
    return label(name).partition(", ")[0]


def number(value: float) -> str:
    """A value, or that there was none."""
    return "no data" if math.isnan(value) else f"{value:g}"


def measured(result: Result) -> str:
    """`log evidence 2.1, at most 4.6`."""
    if math.isnan(result.value):
        return f"{number(result.value) if result.asked else 'not asked yet'}, {limit(result)}"
    return f"{label(result.name).partition(', ')[2]} {number(result.value)}, {limit(result)}".lstrip()


def described(results: Sequence[Result], verdict: Verdict) -> str:
    """Every check of this verdict with value and limit."""
    chosen = [each for each in results if each.verdict == verdict]
    return "; ".join(f"{label(each.name)} {number(each.value)}, {limit(each)}" for each in chosen)


def counts(result: Result) -> bool:
    """Whether it waits for a number of requests, of which too few abort nothing."""
    return result.least and result.limit >= 1


def share(result: Result) -> float:
    """Of the way to abort, 0 to 1; NaN without data."""
    if math.isnan(result.value):
        return math.nan
    way, all_of_it = (1 - result.value, 1 - result.limit) if result.least else (result.value, result.limit)
    return min(max(way / all_of_it, 0.0), 1.0) if all_of_it > 0 else float(way > all_of_it)


def percent(share: float) -> str:
    return "no data" if math.isnan(share) else f"{100 * share:.0f} %"


def servers(rehearsal: Rehearsal, recent: int = 0) -> list[list[str]]:
    """What a person asks first: rows of a name, the champion's figure and the candidate's.

    Quantiles are of the last `recent` answers, or of all.
    """
    if not rehearsal.meters:
        return []
    times = [quantiles(meter.arm.milliseconds[-recent:]) for meter in rehearsal.meters]
    bounds = rehearsal.champion_bounds.slow_ms, rehearsal.bounds.slow_ms
    reasons = [", ".join(f"{name} {count}" for name, count in meter.reasons().items()) for meter in rehearsal.meters]
    slow = [f"{meter.slow_share:.1%} over {ms:g} ms" for meter, ms in zip(rehearsal.meters, bounds, strict=True)]
    return [
        ["requests", *(f"{meter.requests:,.0f}" for meter in rehearsal.meters)],
        ["errors", *(f"{meter.errors:,.0f}" for meter in rehearsal.meters)],
        ["errors and refusals by reason", *reasons],
        ["p99 at the client", *(_milliseconds(tail) for _, tail in times)],
        ["p50 at the client", *(_milliseconds(middle) for middle, _ in times)],
        ["slow in the server", *slow],
        *_answers(rehearsal),
    ]


def _answers(rehearsal: Rehearsal) -> list[list[str]]:
    """What they answer, by the bins of the service: share of each name, share of positives, or the mean tenth."""
    shares, rates = ([getattr(meter, name) for meter in rehearsal.meters] for name in ("shares", "positive_rate"))
    if rehearsal.answer["names"]:
        return [
            [f"labelled {name}", *(f"{share[place]:.1%}" for share in shares)]
            for place, name in enumerate(rehearsal.bins)
        ]
    if rehearsal.answer["threshold"] is not None:
        return [["labelled positive", *("" if rate is None else f"{rate:.1%}" for rate in rates)]]
    tenths = [f"{share @ np.arange(1, len(share) + 1):.2f}" for share in shares]
    return [[f"mean tenth of {rehearsal.answer['field']}", *tenths]]


def _milliseconds(value: float) -> str:
    return f"{value:.2f} ms" if math.isfinite(value) else "no answer"


class Screen:
    """A context manager around the whole rehearsal; nothing it prints without a terminal holds a control code."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._printed = (-PLAIN_SECONDS, 0)  # when the last plain line was printed, and at which weight

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """One line that stays."""
        self._console.print(line, markup=False)

    def show(self, rehearsal: Rehearsal) -> None:
        """The newest tick; called after each."""
        tick = rehearsal.ticks[-1]
        at, weight = self._printed
        due = tick.weight != weight or tick.at - at >= PLAIN_SECONDS
        self._printed = (tick.at, tick.weight) if due else self._printed
        self.draw(lambda: self._tables(rehearsal), (lambda: self._line(rehearsal)) if due else None)

    def draw(self, tables: Callable[[], RenderableType], line: Callable[[], str] | None) -> None:
        """In a terminal the tables, in the place of those before; elsewhere the line, if one is due."""
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            self._live.update(tables(), refresh=True)
        elif line:
            self.say(line())

    def _line(self, rehearsal: Rehearsal) -> str:
        tick = rehearsal.ticks[-1]
        arms = []
        for meter in rehearsal.meters:
            middle, tail = quantiles(meter.arm.milliseconds[-RECENT:])
            asked = f"{meter.requests:.0f} requests, {meter.errors:.0f} errors"
            arms.append(f"{meter.arm.name} {asked}, p50 {middle:.1f} p99 {tail:.1f} ms")
        worst = max(
            (each for each in tick.results if not counts(each)), key=lambda each: np.nan_to_num(share(each), nan=-1)
        )
        judged = f"nearest to abort: {title(worst.name)}, {percent(share(worst))} of the way"
        return f"{tick.at:5.1f} s  {tick.weight:2d} % to the candidate  {'  '.join(arms)}  {judged}"

    def _tables(self, rehearsal: Rehearsal) -> RenderableType:
        tick = rehearsal.ticks[-1]
        weights = Text("traffic to the candidate  ")
        for step in rehearsal.plan.steps:
            style = "bold reverse" if step.weight == tick.weight else "dim" if step.weight > tick.weight else ""
            weights.append(f" {step.weight} % ", style=style).append(" ")
        weights.append(f" {tick.at:.1f} s of about {rehearsal.pace.steps:.0f} s", style="dim")
        arms = Table(box=None, pad_edge=False)
        for head in ("", "champion", "candidate"):
            arms.add_column(head, justify="right" if head else "left")
        for row in servers(rehearsal, RECENT):
            arms.add_row(*map(Text, row))  # a name may look like markup
        checks = Table(box=None, pad_edge=False)
        for head in ("judge", "way to abort", "verdict", "measured"):
            checks.add_column(head, justify="right" if head == "way to abort" else "left")
        for result in tick.results:
            verdict = Text(result.verdict.value, style=COLOURS[result.verdict])
            way = "" if counts(result) or not result.asked else percent(share(result))
            checks.add_row(title(result.name), way, verdict, Text(measured(result), style="dim"))
        return Group(Text(), weights, Text(), arms, Text(), checks)
