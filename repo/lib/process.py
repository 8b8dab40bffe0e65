"""Other programs: what they print, or one sentence about why they failed."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from repo.lib.refusal import Refusal

LONGEST = 300  # characters of a reason
MARK = re.compile(r"^(?:remote: )?(?:ERROR|Error|error|fatal): |^! ")  # the last is Git's of a branch it did not push


class NotInstalledError(Refusal):
    """There is no such program here, which says nothing of what it would answer."""


def apart(client: str, **more: str) -> dict[str, str]:
    """The environment of a Python that finds first what `make <client>` installed into a folder of its own."""
    path = os.pathsep.join(filter(None, [str(Path(sys.prefix, client)), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def run(
    words: Sequence[str],
    wrong: str,
    fix: str = "fix that and run again",
    at: Path | None = None,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    makes: Path | None = None,
) -> bytes:
    """Standard output of a program that reads `given`; Refusal `wrong (reason); fix.` if it fails or leaves no `makes`.

    `at` is its current directory, `environment` replaces the one of this process.
    """
    try:
        done = subprocess.run(words, cwd=at, input=given, env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        raise NotInstalledError(f"{words[0]} is not on PATH; install it.") from None
    if done.returncode or (makes is not None and not makes.is_file()):
        raise Refusal(f"{wrong} ({reason((done.stderr.strip() or done.stdout).decode(errors='replace'))}); {fix}.")
    return done.stdout


def reason(output: str) -> str:
    """What matters of all that a program printed: its first line that is marked as an error, or its last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    marked = next((line for line in lines if MARK.match(line)), lines[-1])
    return MARK.sub("", marked, count=1)[:LONGEST].rstrip(".")
