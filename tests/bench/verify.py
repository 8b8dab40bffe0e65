"""How long `deploy verify` renders and checks a hundred releases, and how long the search for dead configuration takes.

python tests/bench/verify.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from unittest.mock import patch

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages

from deploy.checks import check, dead  # noqa: E402
from tests.deploy.manifests import releases  # noqa: E402


def main() -> None:
    with patch.object(dead, "findings", lambda *_: []):
        print(f"verify, 100 releases rendered and checked: {took(100):.1f} s")
    for path in dead.PROVEN.glob("*"):
        path.unlink()
    print(f"verify, no release, with the search for dead configuration, once for each state: {took(0):.1f} s")


def took(count: int) -> float:
    made = releases(count)
    start = time.perf_counter()
    outcome = check.everything(made)
    seconds = time.perf_counter() - start
    if outcome.findings:
        sys.exit(str(outcome.findings[0]))
    return seconds


if __name__ == "__main__":
    main()
