"""Which version each environment has, since when, by which commit and how good it is: `python -m deploy status`."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from deploy.lib import aborted, history, release
from deploy.lib.release import ENVIRONMENTS, Interval, Release
from models.lib import config

NONE = Interval(value=None, low=None, high=None)


def main(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb takes its options
    table = Table(
        "model", "environment", "version", "since, by", "metrics", box=None, padding=(0, 2, 1, 0), pad_edge=False
    )
    for model in sorted({*config.names(), *(each.model for each in release.every())}):
        for environment in ENVIRONMENTS:
            found = release.read(environment, model)
            table.add_row(model, environment, *(row(found) if found else ["[dim]none yet[/dim]"]))
    Console().print(table)
    return 0


def row(found: Release) -> list[str]:
    """Version, date and commit, metrics; what cannot be read is marked instead of hiding the other rows."""
    if not found.readable:
        return ["[red]unreadable[/red]", "", "see `python -m deploy verify`"]
    version = found.version
    if aborted.find(found.image.digest, aborted.read()):
        version += "\n[red]aborted[/red]"
    committed = not history.uncommitted(found.folder)
    entry = next(history.entries(found.environment, found.model, own_line=True), None) if committed else None
    since = f"{entry.when:%Y-%m-%d}\n{entry.commit[:10]}" if entry else "[yellow]not yet\ncommitted[/yellow]"
    return [version, since, metrics(found.passport.metrics)]


def metrics(intervals: dict[str, Interval]) -> str:
    """Three short lines, ROC AUC with its interval."""
    auc = intervals.get("roc_auc", NONE)
    bounds = f" ({number(auc.low)}-{number(auc.high)})" if auc.low is not None else ""
    others = {name: number(intervals.get(name, NONE).value) for name in ("log_loss", "brier", "calibration_error")}
    return (
        f"ROC AUC {number(auc.value)}{bounds}\nlog-loss {others['log_loss']}, Brier {others['brier']}\n"
        f"calibration error {others['calibration_error']}"
    )


def number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
