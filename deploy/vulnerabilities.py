"""Keep one issue of GitHub about known vulnerabilities that a newer version fixes; scan.yml looks for them every week.

python -m deploy vulnerabilities --list           # {"images": [{"name": …, "reference": …, "host": …}]}
python -m deploy vulnerabilities --found DIR      # one JSON report of grype for each, and one of the locks
"""

import argparse
import json
from pathlib import Path
from typing import Any

from deploy.lib import release
from repo.lib import pull_request
from repo.lib.files import read_json
from repo.lib.markdown import plain, table
from repo.lib.refusal import Refusal

TITLE = "Known vulnerabilities that a newer version fixes"
LONGEST = 200  # rows: an issue holds 65,536 characters
SEVERITIES = ("Critical", "High", "Medium", "Low", "Negligible", "Unknown")


def main(options: argparse.Namespace) -> int:
    if options.list:
        print(json.dumps({"images": images()}))
        return 0
    if not options.found:
        raise Refusal("nothing is asked; give --list, or --found with the reports.")
    rows = found(Path(options.found))
    address = pull_request.keep_issue(TITLE, text(rows) if rows else None)
    print(f"vulnerabilities: {len(rows)} that a newer version fixes; {address or 'no issue is open'}")
    return 0


def images() -> list[dict[str, str]]:
    """Every image that an environment runs, once."""
    readable = [each for each in release.every() if each.readable]
    return [
        {"name": f"{each.model}-{each.image.digest[7:19]}", "reference": reference, "host": reference.split("/")[0]}
        for reference, each in {each.reference: each for each in readable}.items()
    ]


def found(folder: Path) -> list[tuple[str, ...]]:
    """(severity, package, version, fixed in, vulnerability, where) of each that has a fix, the worst first."""
    rows: dict[tuple[str, ...], set[str]] = {}
    for path in sorted(folder.glob("*.json")):
        for match in read_json(path, "the job that scans", ("matches",))["matches"]:
            if row := _row(match, path):
                rows.setdefault(row, set()).add(path.stem)
    by_severity = sorted(rows, key=lambda row: (SEVERITIES.index(row[0]) if row[0] in SEVERITIES else 9, row))
    return [(*row, ", ".join(sorted(rows[row]))) for row in by_severity]


def text(rows: list[tuple[str, ...]]) -> str:
    head = ["severity", "package", "here", "fixed in", "vulnerability", "found in"]
    cells = [[plain(cell) for cell in row] for row in rows[:LONGEST]]
    more = [f"And {len(rows) - LONGEST} more."] if len(rows) > LONGEST else []
    return "\n".join(
        [
            "The images are those that an environment runs; `locks` is `requirements/`. Locks are renewed by the "
            "workflow `locks`, the base image by Dependabot; then a release takes both to the cluster.",
            "",
            *table(head, cells),
            *more,
        ]
    )


def _row(match: dict[str, Any], path: Path) -> tuple[str, ...] | None:
    try:
        known, package = match["vulnerability"], match["artifact"]
        fixes = ", ".join(known["fix"]["versions"])
        row = (known["severity"], package["name"], package["version"], fixes, known["id"])
    except (KeyError, TypeError) as error:
        raise Refusal(f"{path} is not a report of grype ({error!r}); look at the job that wrote it.") from None
    return tuple(map(str, row)) if fixes else None
