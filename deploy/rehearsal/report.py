"""The report of a rehearsal: one self-contained HTML file, Markdown for a pull request, and everything as JSON."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

from deploy.canary.judge import Result, Verdict
from deploy.rehearsal import charts
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.record import Rehearsal
from deploy.rehearsal.screen import counts, measured, percent, quantiles, servers, share, title
from repo.lib.files import write as write_file
from repo.lib.files import write_json
from repo.lib.markdown import plain
from repo.lib.templates import template

FOLDER = Path("deploy/build/rehearsals")
KEPT = 30  # reports of one model
SERVE = "Start the candidate with `python -m serving serve {model}`"
READ = f"{SERVE}, send it what callers send, and read its log."
NEXT = {  # what to do next, by the check that aborted
    "errors": READ,
    "success": READ,
    "refusals": "Compare what both versions accept with `python -m serving contract {model} --since REV`; if it is to "
    "refuse more, warn the callers first and raise serving.api in models/{model}/model.yaml.",
    "latency": "Compare p50 and p99 of both, and run it again on an idle machine; then time the model alone with "
    "`python -m models measure {model}`.",
    "budget": "Compare p50 and p99 of both; if callers can wait longer, raise serving.latency_budget_ms in "
    "models/{model}/model.yaml, or else make the model smaller.",
    "score-shift": "The served answers are not those of the evaluated model.onnx: build it again with "
    "`python -m serving build {model}`; if the data differs by now from the test window's, evaluate on newer months.",
    "downtime": f"{SERVE} and look for a crash, or for memory that runs out.",
}
LOST = "Run it again; if requests fail again, the service drops what it is working on when it stops."
CAUGHT = "The fault was planted on purpose and caught: nothing to do."
FEW = "Too little was seen to decide: run it again on an idle machine."
LEAST_SLOW = 0.05  # share of the champion's requests above the slow bound, for a check with sharp eyes


def write(rehearsal: Rehearsal, folder: Path | None = None) -> Path:
    """Write report.html, report.md and rehearsal.json, and return the path of the first.

    By default into a folder of their own, which appears whole or not at all; the oldest beyond KEPT go. In a `folder`
    that is given the three files are replaced one by one, each whole.
    """
    content = summary(rehearsal)
    drawn = {"charts": charts.draw(rehearsal), "arms": [row for row in servers(rehearsal) if any(row[1:])]}
    pages = {
        name: template(Path(__file__).with_name(f"{name}.jinja"), cell=_cell).render(content, **drawn)
        for name in ("report.html", "report.md")
    }
    target = folder or _place(rehearsal)
    staged = folder or target.with_name(f".{target.name}")
    try:
        for name, page in pages.items():
            write_file(staged / name, page)
        write_json(staged / "rehearsal.json", content | {"looks": _looks(rehearsal)})
        if staged != target:
            staged.rename(target)
            for old in sorted(target.parent.glob("2*"))[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
    finally:
        if staged != target:
            shutil.rmtree(staged, ignore_errors=True)
    return target / "report.html"


def summary(rehearsal: Rehearsal) -> dict[str, Any]:
    """What the pages show; only text and finite numbers."""
    last = rehearsal.ticks[-1].results if rehearsal.ticks else []
    same = ("model", "verdict", "reason", "fault", "champion", "candidate", "judge", "split", "bad", "kept", "missing")
    return {
        **{name: getattr(rehearsal, name) for name in same},
        "next": advice(rehearsal),
        "started": rehearsal.started.isoformat(timespec="seconds"),
        "seconds": round(rehearsal.seconds, 1),
        "factor": round(rehearsal.factor, 3),
        "steps": [{"weight": step.weight, "seconds": step.seconds} for step in rehearsal.plan.steps],
        "left_out": [*rehearsal.plan.left_out, *rehearsal.notes, *_blind(rehearsal)],
        "rate": rehearsal.pace.rate,
        "seed": rehearsal.pace.seed,
        "slow_ms": rehearsal.slow_ms,
        "servers": [_server(meter) for meter in rehearsal.meters],
        "checks": [
            {
                "name": each.name,
                "title": title(each.name),
                "value": _finite(each.value),
                "measured": measured(each),
                "share": _finite(share(each)),
                "way": _way(rehearsal, each),
                "verdict": each.verdict.value,
                "catches": each.catches,
            }
            for each in last
        ],
    }


def _server(meter: Meter) -> dict[str, Any]:
    middle, tail = quantiles(meter.arm.milliseconds)
    return {
        "name": meter.arm.name,
        "requests": round(meter.requests),
        "errors": round(meter.errors),
        "reasons": meter.reasons(),
        "p50_ms": round(middle, 2) if meter.arm.milliseconds else None,
        "p99_ms": round(tail, 2) if meter.arm.milliseconds else None,
        "slow_share": round(meter.slow_share, 5),
        "positive_rate": None if meter.positive_rate is None else round(meter.positive_rate, 5),
        "score_bins": [round(float(count), 3) for count in meter.bins],
    }


def advice(rehearsal: Rehearsal) -> str:
    """A sentence or two; nothing after a promotion."""
    if rehearsal.verdict != "abort":
        return FEW if rehearsal.verdict == "inconclusive" else ""
    if rehearsal.fault:
        return CAUGHT
    if rehearsal.kept:
        return LOST
    last = rehearsal.ticks[-1].results if rehearsal.ticks else []
    failed = (each.name for each in last if each.verdict == Verdict.ABORT)
    return NEXT.get(next(failed, ""), f"{SERVE} and read its log.").format(model=rehearsal.model)


def _blind(rehearsal: Rehearsal) -> list[str]:
    """The latency check sees a slowdown once it pushes requests over the slow bound, and not before."""
    if not rehearsal.meters or (share := rehearsal.meters[0].slow_share) >= LEAST_SLOW:
        return []
    return [
        f"Only {100 * share:.2f} % of the champion's requests took longer than {rehearsal.slow_ms:g} ms on this "
        "machine, so the latency check could not see a slowdown that stays below it."
    ]


def _way(rehearsal: Rehearsal, check: Result) -> str:
    """How near it is to aborting and how near it was at any look; empty for what aborts nothing or was not asked."""
    if counts(check) or not check.asked:
        return ""
    if check.verdict == Verdict.ABORT:
        return "aborts"
    seen = [share(each) for tick in rehearsal.ticks for each in tick.results if each.name == check.name]
    most, now = max((each for each in seen if math.isfinite(each)), default=math.nan), share(check)
    worst = f", at most {percent(most)} before" if most > now else ""
    return percent(now) if math.isnan(now) else f"{percent(now)} of the way to abort{worst}"


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _looks(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    def look(check: Result) -> dict[str, Any]:
        return {"value": _finite(check.value), "limit": check.limit, "verdict": check.verdict.value}

    return [
        {"at": round(tick.at, 3), "weight": tick.weight, "checks": {each.name: look(each) for each in tick.results}}
        for tick in rehearsal.ticks
    ]


def _place(rehearsal: Rehearsal) -> Path:
    """One folder for each rehearsal, named so that they sort by time; two at once have different processes."""
    started = rehearsal.started.strftime("%Y%m%dT%H%M%SZ")
    kind = f"fault-{rehearsal.fault}" if rehearsal.fault else "release"
    return FOLDER / rehearsal.model / f"{started}-{kind}-{rehearsal.verdict}-{os.getpid()}"


def _cell(text: str) -> str:
    return plain(" ".join(text.split()))
