"""Set MLflow's aliases candidate and champion to what staging and production have on main: `python -m deploy track`.

It reads origin's main, so it is right whenever it is called: after any commit of a release, and after somebody moved an
alias by hand.
"""

import argparse
import os

from models.lib import tracking
from repo.lib import origin


def main(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb takes its options
    if not os.environ.get(tracking.URI):
        print(f"track: {tracking.URI} is not set: nothing to do.")
        return 0
    with origin.tree(origin.MAIN):
        tracking.track("track", "releases")
    return 0
