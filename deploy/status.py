"""Which version each environment has, since when, by which commit and how good it is: `python -m deploy status`."""

import argparse

from rich.console import Console
from rich.table import Table

from deploy.lib import aborted, history, release
from deploy.lib.release import ENVIRONMENTS, Interval, Release
from models.lib import config
from models.lib.metrics import TITLES


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
    """A short line each, with its interval."""
    return "\n".join(f"{TITLES.get(name, name)} {figure(interval)}" for name, interval in intervals.items())


def figure(interval: Interval) -> str:
    if interval.value is None:
        return "unknown"
    return f"{interval.value:.3f}" + (f" ({interval.low:.3f}-{interval.high:.3f})" if interval.low is not None else "")
