"""Set MLflow's aliases to what staging (candidate) and production (champion) have on origin's main."""

import argparse

from models.lib.clients import tracking
from repo.lib import origin


def main(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb takes its options
    with origin.tree(origin.MAIN):
        tracking.track("track", "releases")
    return 0
