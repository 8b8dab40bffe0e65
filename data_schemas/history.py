"""What Git knows: the one place that calls it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from data_schemas.command import Refusal


class NoGit(Refusal):
    """There is no Git to ask, which says nothing of what it knows."""


def git(*arguments: str, root: Path = Path(), given: bytes = b"") -> bytes:
    """Standard output of one Git command in `root`; a failure becomes a Refusal with Git's own first line.

    `given` is its standard input.
    """
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise NoGit("git is not on PATH; install it (Debian: apt-get install git).") from None
    if done.returncode:
        reason = next(iter(done.stderr.decode(errors="replace").strip().splitlines()), "no reason given")
        raise Refusal(f"git {' '.join(arguments)} failed: {reason}.")
    return done.stdout


def contents(commit: str, paths: Sequence[str]) -> dict[str, str]:
    """The text of files as a commit has them; without those that it does not have. Git is asked once for all."""
    names = "".join(f"{commit}:{path}\n" for path in paths)
    answer, found, at = git("cat-file", "--batch", given=names.encode()), {}, 0
    for path in paths:
        about, at = answer[at : answer.index(b"\n", at)].split(), answer.index(b"\n", at) + 1
        if about[-1] != b"missing":
            size = int(about[-1])
            found[path] = answer[at : at + size].decode(errors="replace")
            at += size + 1
    return found
