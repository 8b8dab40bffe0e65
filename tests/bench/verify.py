"""How long `deploy verify` renders and checks a hundred releases.

python tests/bench/verify.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages

from deploy.checks import check  # noqa: E402
from tests.deploy.manifests import releases  # noqa: E402


def main() -> None:
    made = releases(100)
    start = time.perf_counter()
    outcome = check.everything(made)
    print(f"verify, 100 releases rendered and checked: {time.perf_counter() - start:.1f} s")
    if outcome.findings:
        sys.exit(str(outcome.findings[0]))


if __name__ == "__main__":
    main()
