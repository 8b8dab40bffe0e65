"""What each environment was given to run, a line for each change of it, newest first: `python -m deploy audit`.

By main's own line of commits: run it on main. Names of people are what a commit holds, and whoever commits chooses
them; who approved and merged is GitHub's word, where `gh` is logged in.
"""

import argparse
import csv
import hashlib
import re
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from deploy.lib import aborted, catalogue, decision, history, weights
from deploy.lib.passport import parse_yaml
from deploy.lib.release import RELEASES, Release
from models.lib.judges import BELOW
from repo.lib import pull_request
from repo.lib.git import git
from repo.lib.markdown import plain, table
from repo.lib.origin import MAIN
from repo.lib.refusal import Refusal

NUMBER = re.compile(r"^Merge pull request (#\d+) from |\((#\d+)\)$")  # GitHub's two ways to merge
# A formula to a spreadsheet, at the start of a cell or of what it takes for one where semicolons divide them.
FORMULA = re.compile(r"(^|[;,\"])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
TIME, UNKNOWN, NOBODY = "%Y-%m-%d %H:%MZ", "not known offline", "nobody"
COMMIT = {"commit": "%H", "seconds": "%ct", "author in Git": "%an <%ae>", "committer in Git": "%cn <%ce>", "said": "%s"}
LINE = ("--first-parent", "--diff-merges=first-parent", "--no-show-signature", "--no-renames", "--name-only")
Row = dict[str, str]
Place = tuple[str, ...]  # environment and model


def main(options: argparse.Namespace) -> int:
    rows, why = chosen(every(), options), ""
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
        lines = [list(each) for each in rows[:1]] + [[FORMULA.sub(r"\1'", cell) for cell in each] for each in cells]
        csv.writer(sys.stdout, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    else:
        found = table([*rows[0]], [[*map(shown, each)] for each in cells]) if rows else ["No release changed."]
        print("\n".join(found))
    asked = [each for each in rows if each["environment"] == (options.environment or "production")]
    if options.require_approvals and (lacking := [each for each in asked if each["approved by"] in (NOBODY, UNKNOWN)]):
        names = clean(", ".join("{environment} {model} {version} ({commit:.10})".format(**each) for each in lacking))
        raise Refusal(f"no approval is known of {names}{why}; have somebody who may write approve what runs.")
    return 0


def chosen(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """Those that were asked for."""
    data, since, where = (options.data or "").lower(), options.since or "1970-01-02", options.environment or ""
    try:
        since = f"{datetime.fromisoformat(since).astimezone(UTC):{TIME}}"
    except ValueError:
        raise Refusal(f"--since {since} is not a date; write it as 2026-01-31.") from None
    if options.data is not None and not re.fullmatch(r"[0-9a-f]{8,32}(\.dir)?", data):
        raise Refusal(f"--data {data!r} is no hash of data; give eight digits or more of `md5` in a data.dvc.")
    if data and not any(each["data"].startswith(data) for each in rows):
        if not git("log", "-m", "--format=%h", f"-Gmd5: {data}", "HEAD", "--", ":(glob)data_schemas/*/data.dvc"):
            known = ", ".join(dict.fromkeys(each["data"][:12] for each in rows if each["data"])) or "nothing"
            raise Refusal(f"--data {data}: no data.dvc in Git ever had it; releases rest on {known}, name one of them.")
        print(f"deploy audit: no release rests on the data {data}.", file=sys.stderr)
    asked = (each for each in rows if each["environment"].startswith(where) and each["data"].startswith(data))
    return [each for each in asked if each["when"] >= since]


def every() -> list[Row]:
    """All changes up to HEAD, newest first, as far as Git knows."""
    had: dict[Place, list[Release | None]] = {}
    runs: dict[Place, set[str]] = {}  # versions
    found: list[tuple[Place, Row]] = []
    for commit, place in _landed():
        earlier, new = had.setdefault(place, []), history.at(commit["commit"], *place)
        if there := new or (earlier and earlier[-1]):
            weight = canary(new) if new else None
            what = kind(new, earlier, commit["commit"]) + (f", {weight.weight} % of traffic" if weight else "")
            found.append((place, row(commit, there, what)))
            runs[place] = {found[-1][1]["version"]} if new else set()
            runs[place] |= {weight.former.version} if weight and not weight.whole else set()
        earlier.append(new)
    for place, each in reversed(found):
        each["runs now"] = "yes" if each["version"] in runs[place] else "no"
        runs[place].discard(each["version"])  # an earlier line is of an earlier time
    return [each for _, each in reversed(found)]


def canary(release: Release) -> weights.Weight | None:
    """The share of traffic that a commit gave it, where its strategy walks by commits; `verify` names a broken one."""
    with suppress(Refusal):
        return weights.read(release.files, release.folder)
    return None


def _landed() -> list[tuple[Row, Place]]:
    """Each commit of the line, with each release that it changed, oldest first; Git is asked once."""
    history.demand_whole()
    commit, found = Row(), dict[tuple[str, Place], tuple[Row, Place]]()
    listed = git("log", *LINE, f"--format=%x00{'%x00'.join(COMMIT.values())}", "HEAD", "--", str(RELEASES))
    for text in listed.decode(errors="replace").split("\n"):
        if "\0" in text:
            commit = dict(zip(COMMIT, text.split("\0")[1:], strict=True))
        elif len(parts := PurePath(text).parts) == len(RELEASES.parts) + 3:
            found[commit["commit"], parts[-3:-1]] = commit, parts[-3:-1]
    return [*found.values()][::-1]


def kind(new: Release | None, had: list[Release | None], commit: str) -> str:
    """`had` is what this environment had until then, oldest first, None where it was retired.

    Back to an image that it had before the one that it leaves is a rollback, and an abort where the commit's list of
    aborted images has the one that it leaves.
    """
    if new is None or not new.readable:
        return "unreadable" if new else "retired"
    if not any(had):
        return "first release"
    order = list(dict.fromkeys(each.image.digest for each in had if each and each.readable))
    before = had[-1]
    left = before.image.digest if before and before.readable else None
    if before and left == new.image.digest:
        differ = sorted(name for name in {*new.files, *before.files} if new.files.get(name) != before.files.get(name))
        return "weight" if weights.FILE in differ else f"settings ({', '.join(differ) or 'other files'})"
    if before is None or new.image.digest not in order[: order.index(left) if left else None]:
        return "promotion"
    listed = aborted.find(left, aborted.at(commit)) if left else None
    return f"abort ({listed.reason})" if listed else "rollback"


def row(commit: Row, release: Release, what: str) -> Row:
    """Of a passport that cannot be read only its hash."""
    record = parse_yaml(release.files["passport.yaml"]) if release.readable else {}
    said = NUMBER.search(commit["said"])
    excused = [each for each in record.get("gates", []) if each["verdict"] in ("off", BELOW) or written(each)]
    return {
        "when": f"{datetime.fromtimestamp(int(commit['seconds']), UTC):{TIME}}",
        "environment": release.environment,
        "model": release.model,
        "version": record.get("version", ""),
        "what": what,
        "runs now": "",
        **{name: commit[name] for name in ("commit", "author in Git", "committer in Git")},
        "pull request": said[said.lastindex or 0] if said else "",
        **dict.fromkeys(("merged by", "approved by"), UNKNOWN),
        "passport": hashlib.sha256(release.files.get("passport.yaml", b"")).hexdigest(),
        "verdict": record.get("verdict", ""),
        "metrics": ", ".join(catalogue.metrics(release)) if record else "",
        "gates excused": ". ".join(f"{each['name']} {each['verdict']}: {each.get('reason')}" for each in excused),
        "compared with": str((record.get("champion") or {}).get("version", "no champion" if record else "")),
        "dataset": str(record.get("dataset", {}).get("name", "")),
        "data": record.get("content", {}).get("data", ""),
    }


def written(gate: Mapping[str, Any]) -> bool:
    return any(word in (gate.get("reason") or "") for word in decision.WRITTEN)


def clean(text: str) -> str:
    """In one line, without what a terminal obeys or a reader does not see."""
    return " ".join("".join(" " if unicodedata.category(each)[0] == "C" else each for each in text).split())


def shown(cell: str) -> str:
    """As Markdown, hashes by twelve digits; where nothing in it is active, as it stands."""
    short = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}", r"\1", cell)
    return short if re.fullmatch(r"[\w .,:#()-]*", short) else plain(short)
