"""What each environment was given to run, a line for each change of it, newest first: `python -m deploy audit`.

Names of people are what a commit holds, and whoever commits chooses them; who approved and merged is GitHub's word,
where `gh` is logged in. Run it on main.
"""

import argparse
import csv
import hashlib
import re
import sys
import unicodedata
from datetime import UTC, datetime

from deploy.lib import catalogue, changes
from deploy.lib.changes import Change
from deploy.lib.release import parse_yaml
from models.lib.judges import BELOW
from repo.lib import pull_request
from repo.lib.markdown import plain, table
from repo.lib.origin import MAIN
from repo.lib.refusal import Refusal

NUMBER = re.compile(r"^Merge pull request (#\d+) from |\((#\d+)\)$")  # GitHub's two ways to merge
# A formula to a spreadsheet, at the start of a cell or of what it takes for one where semicolons divide them.
FORMULA = re.compile(r"(^|[;,\"])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
TIME, UNKNOWN, NOBODY = "%Y-%m-%d %H:%MZ", "not known offline", "nobody"


def main(options: argparse.Namespace) -> int:
    rows, why = chosen([row(each) for each in reversed(changes.every())], options), ""
    try:
        merged = pull_request.merged(MAIN, list({each["commit"]: None for each in rows}))
        for each in rows:
            number, by, names = merged.get(each["commit"], ("none", "", ""))
            each |= {"pull request": number, "merged by": by, "approved by": names or NOBODY}
    except Refusal as refusal:
        why = f" (approvals are {UNKNOWN}: {refusal})"
        print(f"deploy audit:{why}", file=sys.stderr)
    cells = [[clean(cell) for cell in each.values()] for each in rows]
    if options.format == "csv":
        safe = [[FORMULA.sub(r"\1'", cell) for cell in each] for each in cells]
        csv.writer(sys.stdout, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
            [[*each] for each in rows[:1]] + safe
        )
    else:
        found = table(list(rows[0]), [list(map(shown, each)) for each in cells]) if rows else ["No release changed."]
        print("\n".join(found))
    if options.require_approvals and (lacking := [each for each in rows if each["approved by"] in (NOBODY, UNKNOWN)]):
        names = clean(", ".join("{environment} {model} {version} ({commit:.10})".format(**each) for each in lacking))
        raise Refusal(f"no approval is known of {names}{why}; have somebody who may write approve what runs.")
    return 0


def chosen(rows: list[dict[str, str]], options: argparse.Namespace) -> list[dict[str, str]]:
    """Those that were asked for."""
    data, since = (options.data or "").lower(), ""
    try:
        since = options.since and f"{datetime.fromisoformat(options.since).astimezone(UTC):{TIME}}"
    except ValueError:
        raise Refusal(f"--since {options.since} is not a date; write it as 2026-01-31.") from None
    if data and not re.fullmatch(r"[0-9a-f]{8,32}(\.dir)?", data):
        raise Refusal(f"--data {options.data} is not a hash; give at least eight digits of the one that data.dvc has.")
    if data and not any(each["data"].startswith(data) for each in rows):
        known = ", ".join(dict.fromkeys(each["data"][:12] for each in rows if each["data"]))
        raise Refusal(f"--data {options.data}: no release in Git rests on it; they rest on {known or 'none'}.")
    return [
        each
        for each in rows
        if options.environment in (None, each["environment"])
        and each["when"] >= (since or "")
        and each["data"].startswith(data)
    ]


def row(change: Change) -> dict[str, str]:
    """As far as Git knows; of a passport that cannot be read only its hash."""
    commit, release, what, runs = change
    passport = release.files.get("passport.yaml", b"")
    record = parse_yaml(passport) if release.readable else {}
    said = NUMBER.search(commit.subject)
    excused = [each for each in record.get("gates", []) if each["verdict"] in ("off", BELOW)]
    return {
        "when": f"{datetime.fromtimestamp(int(commit.seconds), UTC):{TIME}}",
        "environment": release.environment,
        "model": release.model,
        "version": record.get("version", ""),
        "what": what,
        "runs now": "yes" if runs else "no",
        "commit": commit.hash,
        "author in Git": commit.author,
        "committer in Git": commit.committer,
        "pull request": said[said.lastindex or 0] if said else "",
        "merged by": UNKNOWN,
        "approved by": UNKNOWN,
        "passport": hashlib.sha256(passport).hexdigest(),
        "verdict": record.get("verdict", ""),
        "metrics": ", ".join(catalogue.metrics(release)) if record else "",
        "gates off or below": ". ".join(f"{each['name']} {each['verdict']}: {each.get('reason')}" for each in excused),
        "compared with": (record.get("champion") or {}).get("version", "no champion"),
        "dataset": str(record.get("dataset", {}).get("name", "")),
        "data": record.get("content", {}).get("data", ""),
    }


def clean(text: str) -> str:
    """In one line, without what a terminal obeys or a reader does not see."""
    return " ".join("".join(" " if unicodedata.category(each)[0] == "C" else each for each in text).split())


def shown(cell: str) -> str:
    """As Markdown, hashes by twelve digits; where nothing in it is active, as it stands."""
    short = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}", r"\1", cell)
    return short if re.fullmatch(r"[\w .,:#()-]*", short) else plain(short)
