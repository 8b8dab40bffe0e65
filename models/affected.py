"""Say what a change affects, as one line of JSON for CI's jobs: `python -m models affected --since main`.

    {"since": "<commit>", "changed": 3, "datasets": ["flights"],
     "models": [{"name": "flight_delay", "stages": ["train", "gates", "build", "rehearse"]}],
     "code": true, "tests": true, "manifests": false, "nothing": false}

`since` is the merge base, and the change is all that differs from it in the working tree, new files included. Every
key is always there. `code`: the checks, which a change of documents needs, too. `tests`: all tests. `nothing`: no job.
It imports nothing but PyYAML, so that CI can ask before it installs the rest.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from data_schemas.command import Refusal
from data_schemas.history import NoGit, git
from models.change import Change


def main(options: argparse.Namespace) -> int:
    print(json.dumps(plan(options.since)))
    return 0


def plan(since: str) -> dict[str, Any]:
    base = merge_base(since)
    change = Change(base, changed(base))
    models = [{"name": name, "stages": stages} for name in change.models if (stages := change.stages(name))]
    return {
        "since": base,
        "changed": len(change.paths),
        "datasets": [name for name in change.datasets if change.tests_data(name)],
        "models": models,
        "code": bool(change.paths),
        "tests": change.tests_all(),
        "manifests": change.verifies(),
        "nothing": not change.paths,
    }


def merge_base(since: str) -> str:
    """Where the change starts; a clone that never had the branch has its origin's."""
    shallow = git("rev-parse", "--is-shallow-repository").strip() == b"true"
    commit = _commit(since) or _commit(f"origin/{since}")
    if commit is None and shallow:
        raise Refusal(f"this clone is shallow and lacks {since}; fetch it with `git fetch --unshallow origin {since}`.")
    if commit is None:
        raise Refusal(f"--since {since} is no commit of this clone; name one, or `git fetch origin {since}`.")
    try:
        return git("merge-base", commit, "HEAD").decode().strip()
    except Refusal:
        mend = "fetch the rest with `git fetch --unshallow origin`" if shallow else "name one that HEAD comes from"
        raise Refusal(f"--since {since} has no commit in common with HEAD here; {mend}.") from None


def changed(base: str) -> list[str]:
    """Every path that differs; a rename is its old path and its new one."""
    differ = git("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base, "--")
    new = git("ls-files", "--others", "--exclude-standard", "-z")
    return sorted({os.fsdecode(path) for path in (differ + new).split(b"\0") if path})


def _commit(name: str) -> str | None:
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except NoGit:
        raise
    except Refusal:
        return None
