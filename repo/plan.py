"""Say what a change affects, as one line of JSON for CI's jobs: `python -m repo plan --since main`.

    {"since": "<commit>", "changed": 3, "datasets": ["flights"],
     "models": [{"name": "flight_delay", "stages": ["train", "gates", "build", "rehearse"]}],
     "runner": "ubuntu-24.04", "code": true, "tests": ["models"], "manifests": false, "nothing": false}

`since` is the merge base, and the change is all that differs from it in the working tree, new files included. Every
key is always there. `runner`: what trains the models that it makes stale. `code`: the checks, which a change of
documents needs, too. `tests`: folders of tests/. `nothing`: no job. It imports nothing but PyYAML, so that CI can ask
before it installs the rest.
"""

import argparse
import json
from typing import Any

from repo.lib.change import RUNNER, TRAIN, Change, runners
from repo.lib.git import changed, merge_base

# A path that no row of the table knows, so all there is: for a day on which runners, packages or data may have changed.
ANY = "everything"


def main(options: argparse.Namespace) -> int:
    print(json.dumps(plan("HEAD", [ANY]) if options.everything else plan(options.since)))
    return 0


def plan(since: str, paths: list[str] | None = None) -> dict[str, Any]:
    """Of these paths (default: all that differ from `since`)."""
    base = merge_base(since)
    change = Change(base, changed(base) if paths is None else paths)
    models: list[dict[str, Any]] = [
        {"name": name, "stages": stages} for name in change.models if (stages := change.stages(name))
    ]
    stale = runners(each["name"] for each in models if TRAIN in each["stages"])
    return {
        "since": base,
        "changed": len(change.paths),
        "datasets": [name for name in change.datasets if change.tests_data(name)],
        "models": models,
        "runner": next(iter(stale.values()), RUNNER),
        "code": bool(change.paths),
        "tests": change.tests(),
        "manifests": change.verifies(),
        "nothing": not change.paths,
    }
