"""What Git knows: the one place that calls it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from data_schemas.command import Refusal


class NoGit(Refusal):
    """There is no Git to ask, which says nothing of what it knows."""


def git(*arguments: str, root: Path = Path()) -> bytes:
    """Standard output of one Git command in `root`; a failure becomes a Refusal with Git's own first line."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise NoGit("git is not on PATH; install it (Debian: apt-get install git).") from None
    if done.returncode:
        reason = next(iter(done.stderr.decode(errors="replace").strip().splitlines()), "no reason given")
        raise Refusal(f"git {' '.join(arguments)} failed: {reason}.")
    return done.stdout
