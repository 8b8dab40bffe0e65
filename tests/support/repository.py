"""Git in tests: repositories of their own, which neither a person's settings nor a surrounding hook reach."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{role}_{field}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")},
    # Each commit, fetch and push would start another process that finds nothing to tidy.
    **{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "maintenance.auto", "GIT_CONFIG_VALUE_0": "false"},
}
# Git exports these to its hooks, and they outrank the current directory: the tests' commits would be the user's.
LOCAL = [name for name in os.environ if name.startswith("GIT_")]


def isolate() -> None:
    """Take Git's variables of the surroundings out of this process, and set those of the tests."""
    for name in LOCAL:
        os.environ.pop(name, None)
    os.environ.update(GIT)


def git(*words: str, root: Path = Path()) -> str:
    """What Git prints; of the repository itself it is only asked with the user's own settings (safe.directory)."""
    environment = {name: value for name, value in os.environ.items() if root != ROOT or name not in GIT}
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path = Path()) -> str:
    """The commit is read from the file that Git has just written: half of the tests make some."""
    git("add", "--all", root=root)
    git("commit", "--quiet", "--allow-empty", "--message", "change", root=root)
    head = (root / ".git/HEAD").read_text().strip()
    return (root / ".git" / head.removeprefix("ref: ")).read_text().strip() if head.startswith("ref: ") else head
