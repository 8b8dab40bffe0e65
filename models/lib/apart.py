"""Clients of other systems, each installed into a folder of its own by `make`: no package of the environment moves."""

import os
import sys
from pathlib import Path


def environment(client: str, **more: str) -> dict[str, str]:
    """For a process that finds the packages of `make <client>` first."""
    path = os.pathsep.join(filter(None, [str(Path(sys.prefix, client)), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}
