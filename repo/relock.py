"""Compile the locks together with the newest versions that fit: `python -m repo relock`

Dependabot changes the lines of a lock one by one, and then they fit each other no more. Every month locks.yml does this
in a job without rights, since a package may run code as it is read, and another job proposes what came of it.
"""

import argparse
import datetime
import subprocess
from functools import partial
from pathlib import Path

from repo.lib import origin
from repo.lib.refusal import Refusal

BRANCH = "locks"
COOLDOWN = datetime.timedelta(days=7)  # what was withdrawn by then never comes in
TEXT = """The newest versions that fit each other, a week after their release. The checks install and try them.

A change of `requirements/training.txt` makes every model stale: give this pull request the label `train`, or run
`python -m models run` for each and commit. torch and bentoml stay: they are pinned in pyproject.toml, by a person."""


def main(options: argparse.Namespace) -> int:
    clone = Path.cwd()
    if options.read:
        apply = partial(origin.carried, clone / options.read, ["requirements/*.txt"])
        if address := origin.propose(origin.MAIN, BRANCH, apply):
            print(f"relock: {address}")
        return 0
    if not options.write:
        compile_locks(clone)
        return 0
    with origin.tree(origin.MAIN):
        compile_locks(clone)
        origin.carry(origin.Edit("Renew the locks", TEXT), clone / options.write)
    return 0


def compile_locks(clone: Path) -> None:
    """In the current directory, by the tools of that clone's environment."""
    until = (datetime.datetime.now(datetime.UTC) - COOLDOWN).date()
    tools = clone / ".venv/bin"
    upgrade = f"UPGRADE=--upgrade --exclude-newer {until}"
    done = subprocess.run(["make", "lock", "--assume-old=.venv/ready", f"BIN={tools}", upgrade], check=False)
    if done.returncode:
        raise Refusal(f"`make lock` ended with {done.returncode} (see above); fix that and run again.")
