"""What to do after a rehearsal that did not promote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.canary.judge import Verdict

if TYPE_CHECKING:
    from deploy.rehearsal.record import Rehearsal

SERVE = "Start the candidate with `python -m serving serve {model}`"
READ = f"{SERVE}, send it what callers send, and read its log."
# By the check that aborted.
NEXT = {
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
