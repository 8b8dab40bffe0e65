"""Which version each environment has, since when, by which commit and how good it is: `python -m deploy status`.

`--html` writes it as one page, the catalogue: of how the models are now, too, where PROMETHEUS_URL says whom to ask,
and with links to Grafana at GRAFANA_URL.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.lib import catalogue
from deploy.lib.release import ENVIRONMENTS


def main(options: argparse.Namespace) -> int:
    if options.html:
        catalogue.save(Path(options.html))
        print(f"{options.html} is written; open it in a browser.")
        return 0
    table = Table(
        "model", "environment", "version", "since, by", "metrics", box=None, padding=(0, 2, 1, 0), pad_edge=False
    )
    for model in catalogue.names():
        for environment in ENVIRONMENTS:
            found = catalogue.standing(environment, model)
            table.add_row(model, environment, *(row(found) if found else ["[dim]none yet[/dim]"]))
    Console().print(table)
    return 0


def row(found: catalogue.Standing) -> list[str]:
    """Version, date and commit, metrics; what cannot be read is marked instead of hiding the other rows."""
    if not found.release.readable:
        return ["[red]unreadable[/red]", "", "see `python -m deploy verify`"]
    version = found.release.version + ("\n[red]aborted[/red]" if found.aborted else "")
    if (weight := found.release.weight) and not weight.whole:
        version += f"\nat {weight.weight} %"
    entry = found.entry
    since = f"{entry.when:%Y-%m-%d}\n{entry.commit[:10]}" if entry else "[yellow]not yet\ncommitted[/yellow]"
    return [version, since, "\n".join(catalogue.metrics(found.release))]
