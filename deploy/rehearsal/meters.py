"""What both servers count, scraped from /metrics as Prometheus would."""

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from deploy.canary.judge import BINS, Counters
from deploy.rehearsal.traffic import Arm
from repo.lib.refusal import Refusal
from serving.runtime.errors import KINDS

SCRAPE_SECONDS = 1.0  # a server that has not answered by then was not read
FIGURES = 7  # of an arm, before its bins: requests, errors, refused, durations, fast, within budget, positive
SILENT_SECONDS = 1.0  # one that was not read for longer stands still: what the client lost is all that counts


@dataclass
class Sample:
    """One reading of /metrics, summed over models and versions."""

    requests: float = 0.0
    durations: float = 0.0
    positive: float = 0.0
    bins: list[float] = field(default_factory=lambda: [0.0] * BINS)
    within: dict[float, float] = field(default_factory=lambda: defaultdict(float))  # bound in seconds -> requests
    reasons: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # of errors and refusals
    found: set[str] = field(default_factory=set)

    @property
    def refused(self) -> float:
        """What callers got wrong."""
        return sum(count for reason, count in self.reasons.items() if KINDS.get(reason, (500,))[0] < 500)

    @property
    def errors(self) -> float:
        """That are the service's fault."""
        return sum(self.reasons.values()) - self.refused


SUMMED = {
    "ml_requests_total": "requests",
    "ml_positive_total": "positive",
    "ml_request_duration_seconds_count": "durations",
}
KNOWN = {*SUMMED, "ml_errors_total", "ml_score_bin_total", "ml_request_duration_seconds_bucket"}
NEEDED = KNOWN - {"ml_positive_total"}  # which only a model with a threshold has


def parse(text: str) -> Sample:
    """The service's own metrics out of Prometheus text; everything else is passed over."""
    sample = Sample()
    lines = [line for line in text.splitlines() if line.startswith(("ml_", "# TYPE ml_"))]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for entry in family.samples:
            name, labels, value = entry.name, entry.labels, entry.value
            if name in KNOWN:
                sample.found.add(name)
            if name in SUMMED:
                setattr(sample, SUMMED[name], getattr(sample, SUMMED[name]) + value)
            elif name == "ml_errors_total":
                sample.reasons[labels.get("reason", "")] += value
            elif name == "ml_request_duration_seconds_bucket":
                sample.within[float(labels["le"])] += value
            elif name == "ml_score_bin_total" and labels.get("bin", "").isdecimal() and int(labels["bin"]) < BINS:
                sample.bins[int(labels["bin"])] += value
    return sample


@dataclass(frozen=True)
class Bounds:
    """Milliseconds above which a request to one arm is slow, and beyond its budget."""

    slow_ms: float
    budget_ms: float


class Meter:
    """The counters of one arm over a rehearsal: restarts bridged, and what only the client saw counted as errors."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self.last: Sample | None = None
        self.first: Sample | None = None
        self.bound = self.budget = math.nan  # seconds; a request above it is slow, or beyond its budget
        self._total = np.zeros(FIGURES + BINS)
        self._rows: list[np.ndarray] = []
        self._read_at = 0.0

    def begin(self, sample: Sample) -> None:
        """What the server counted up to this reading is not the rehearsal's."""
        self.first = self.last = sample

    async def scrape(self, client: aiohttp.ClientSession) -> Sample | None:
        """One reading, None if the server did not give one."""
        timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
        try:
            async with client.get(f"{self.arm.address}/metrics", timeout=timeout) as response:
                return parse(await response.text()) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    def record(self, sample: Sample | None, now: float) -> None:
        """Append one scrape at `now` (seconds); a server that is silent for SILENT_SECONDS stands still."""
        if sample is not None:
            if self.last is None:
                self.begin(sample)
            else:
                before, after = self._vector(self.last), self._vector(sample)
                restarted = bool((after < before).any())
                self._total = self._total + (after if restarted else after - before)
            self.last, self._read_at = sample, now
        row = self._total + self.arm.lost * np.eye(FIGURES + BINS)[:2].sum(axis=0)  # requests and errors
        silent = sample is None and now - self._read_at < SILENT_SECONDS
        self._rows.append(np.full(FIGURES + BINS, np.nan) if silent else row)

    @property
    def requests(self) -> float:
        """Since the first scrape, by the last one that could be read, and what the client lost."""
        return float(self._total[0]) + self.arm.lost

    @property
    def errors(self) -> float:
        return float(self._total[1]) + self.arm.lost

    @property
    def bins(self) -> np.ndarray:
        return self._total[FIGURES:]

    @property
    def positive_rate(self) -> float | None:
        """Of answered requests, 0 without any; None of a model whose rows are not labelled by a threshold."""
        if self.last is None or "ml_positive_total" not in self.last.found:
            return None
        return float(self._total[6] / max(self.bins.sum(), 1.0))

    @property
    def shares(self) -> np.ndarray:
        """Of the bins, float64 [BINS]; 0 before the first answer."""
        return np.asarray(self.bins / max(self.bins.sum(), 1.0))

    @property
    def slow(self) -> float:
        """Requests above the bound."""
        return float(self._total[3] - self._total[4])

    @property
    def slow_share(self) -> float:
        return self.slow / float(self._total[3]) if self._total[3] else 0.0

    def counters(self) -> Counters:
        """What the judge reads, float64 [scrapes]."""
        table = np.stack(self._rows, axis=-1)
        return Counters(table[0], table[1], table[2], table[3], table[4], table[5], table[FIGURES:])

    def reasons(self) -> dict[str, int]:
        """Errors by reason since the first scrape; `lost` are those that only the client saw."""
        first = self.first.reasons if self.first else {}
        last = self.last.reasons if self.last else {}
        counts = {name: round(count - first.get(name, 0.0)) for name, count in last.items()}
        return {name: count for name, count in (counts | {"lost": self.arm.lost}).items() if count > 0}

    def _vector(self, sample: Sample) -> np.ndarray:
        fast, within = (sample.within.get(bound, math.nan) for bound in (self.bound, self.budget))
        counts = [sample.requests, sample.errors, sample.refused, sample.durations, fast, within]
        return np.array([*counts, sample.positive, *sample.bins], np.float64)


async def scrape_both(client: aiohttp.ClientSession, champion: Meter, candidate: Meter, now: float) -> None:
    """One scrape of both arms at the same moment, recorded."""
    samples = await asyncio.gather(champion.scrape(client), candidate.scrape(client))
    for meter, sample in zip((champion, candidate), samples, strict=True):
        meter.record(sample, now)


def bound(meter: Meter, wanted: Bounds) -> Bounds:
    """Give a meter the histogram bounds of its server that are nearest to the wanted ones, and return them."""
    missing = NEEDED - (meter.last.found if meter.last else set())
    bounds = [each for each in (meter.last.within if meter.last else ()) if math.isfinite(each)]
    if missing or not bounds:
        raise Refusal(
            f"the {meter.arm.name}'s /metrics lacks {', '.join(sorted(missing)) or 'bounds of its durations'}, which "
            "the judge reads; build it with this repository's serving stage."
        )
    slow, budget = (
        min(bounds, key=lambda each: abs(1000 * each - milliseconds))
        for milliseconds in (wanted.slow_ms, wanted.budget_ms)
    )
    meter.bound, meter.budget = slow, budget
    return Bounds(1000 * slow, 1000 * budget)
