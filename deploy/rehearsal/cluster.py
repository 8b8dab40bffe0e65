"""The judge of the cluster: the release's AnalysisTemplates on a real Prometheus, assessed as Argo Rollouts would."""

import asyncio
import math

import aiohttp

from deploy.canary.judge import Result, Verdict
from deploy.canary.run import ERROR_RETRY, MetricResult, Phase, Run
from deploy.canary.steps import Analysis
from deploy.canary.template import Metric, catches
from deploy.rehearsal import rendered
from deploy.rehearsal.prometheus import Prometheus, QueryError
from deploy.rehearsal.reference import ReferenceJudge
from deploy.rehearsal.rendered import RenderedRelease
from deploy.rehearsal.screen import label, limit, number
from repo.lib.refusal import Refusal

CHAMPION, CANDIDATE = "5f9c6d7b84", "7d8b49557c"  # hashes of pod templates such as a cluster gives; these are made up
FIRST_SCRAPES = 10.0  # seconds that Prometheus may take to have scraped both servers


class ClusterJudge:
    """One background run from the plan's weight on, and at each weight its own runs one after the other.

    Time is `factor` times shorter: intervals, ranges and windows; limits and counts stay as they are.
    """

    def __init__(self, release: RenderedRelease, prometheus: Prometheus, factor: float) -> None:
        self._release, self._prometheus, self._factor = release, prometheus, factor
        plan = release.plan
        self._inline = [[self._metrics(each) for each in step.analyses] for step in plan.steps]
        self._background = self._metrics(plan.background) if plan.background else []
        self._runs: list[Run] = []  # under way
        self._waiting: list[list[Metric]] = []  # analyses that this weight has yet to begin
        self._step: Run | None = None  # the weight's own run, of `_runs`
        self._shown: dict[str, Result] = {}
        self._ended: tuple[str, str] | None = None

    def _metrics(self, analysis: Analysis) -> list[Metric]:
        return rendered.metrics(self._release, analysis, CANDIDATE, CHAMPION, self._factor)

    async def begin(self, client: aiohttp.ClientSession) -> None:
        """Return once both servers were scraped."""
        clock = asyncio.get_running_loop().time
        start, scraped, reason = clock(), 0.0, ""
        while scraped < 2:
            if clock() > start + FIRST_SCRAPES:
                raise Refusal(
                    f"Prometheus scraped {scraped:g} of 2 servers in {FIRST_SCRAPES:g} s{reason}; run it again."
                )
            await asyncio.sleep(0.1)
            try:
                scraped = sum(await self._prometheus.query(client, "up"))
            except QueryError as error:
                reason = f" ({error})"

    def enter(self, number: int, now: float) -> None:
        if number == self._release.plan.background_from and self._background:
            self._runs.append(Run(self._background, now, ERROR_RETRY / self._factor))
        self._waiting = list(self._inline[number])
        for metric in [*(metric for each in self._waiting for metric in each), *self._background]:
            if metric.name not in self._shown or metric not in self._background:
                self._shown[metric.name] = _result(MetricResult(metric))

    async def look(self, client: aiohttp.ClientSession, now: float, resting: bool) -> list[Result]:
        if not resting and self._step is None and self._waiting:
            self._step = Run(self._waiting.pop(0), now, ERROR_RETRY / self._factor)
            self._runs.append(self._step)
        for run in self._runs:
            due = run.due(now)
            await asyncio.gather(*(self._measure(client, run, each, now) for each in due))
            run.assess()
            for result in run.results:
                self._shown[result.metric.name] = _result(result)
            if run.phase not in (Phase.RUNNING, Phase.SUCCESSFUL) and self._ended is None:
                self._ended = _ended(run)
        if self._step is not None and self._step.phase == Phase.SUCCESSFUL:
            self._runs.remove(self._step)
            self._step = None
        return list(self._shown.values())

    async def _measure(self, client: aiohttp.ClientSession, run: Run, result: MetricResult, now: float) -> None:
        try:
            run.record(result, now, await self._prometheus.query(client, result.metric.query))
        except QueryError as error:
            run.record(result, now, (), str(error))

    def ended(self) -> tuple[str, str] | None:
        return self._ended

    def satisfied(self) -> bool:
        return self._step is None and not self._waiting

    def lacking(self) -> str:
        """The metrics that the weight's own run waits for."""
        running = [each for each in (self._step.results if self._step else []) if each.phase == Phase.RUNNING]
        return "; ".join(_said(each) for each in running) or "an analysis waits"


Judge = ClusterJudge | ReferenceJudge


def _said(found: MetricResult) -> str:
    """Value and limit of a metric, or why it has none."""
    result = _result(found)
    trouble = f" ({found.last.message})" if found.last is not None and found.last.message else ""
    return f"{label(result.name)} {number(result.value)}, {limit(result)}{trouble}"


def _ended(run: Run) -> tuple[str, str]:
    worst = run.worst
    assert worst is not None
    if run.phase == Phase.FAILED:
        return "abort", _said(worst)
    word = "inconclusive" if run.phase == Phase.INCONCLUSIVE else "abort"
    return word, f"{label(worst.metric.name)}: {worst.reason}"


def _result(found: MetricResult) -> Result:
    """The last measurement; healthy if it was Successful, abort once the metric is Failed or in Error."""
    metric, last = found.metric, found.last
    operator, bound = metric.success.limit or ("<=", math.nan)
    verdict = Verdict.INCONCLUSIVE
    if found.phase in (Phase.FAILED, Phase.ERROR):
        verdict = Verdict.ABORT
    elif last is not None and last.phase == Phase.SUCCESSFUL:
        verdict = Verdict.HEALTHY
    value = round(last.values[0], 4) if last is not None and last.values else math.nan
    return Result(
        metric.name, value, bound, verdict, catches(metric.name), operator.startswith(">"), asked=last is not None
    )
