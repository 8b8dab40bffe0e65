"""Say as one line of JSON which models of this tree staging should have and has not: `python -m deploy due`.

    {"models": ["flight_delay"], "registry": "ghcr.io/acme", "host": "ghcr.io", "skipped": {"wait": "why"}}

It compares with what staging runs, not with the last push, so that a release that failed is due again at the next one.
With `--for retraining` it asks the Prometheus of PROMETHEUS_URL which models production asks to train again:

    {"models": ["flight_delay"], "because": {"flight_delay": "7-day drift of dest 0.41 above 0.31"}, "skipped": {}}
"""

import argparse
import json
from typing import Any

from models.retrain import JOBS
from repo.lib import origin, pull_request
from repo.lib.git import changed, git
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    if options.purpose is None:
        print(json.dumps(plan(options.proved)))
        return 0
    from deploy.lib import retraining

    found = retraining.plan()
    for name, why in found["because"].items() if options.dispatch else ():
        pull_request.event("retrain", {"model": name, "because": why})
    print(json.dumps(found))
    return 0


def plan(proved: str | None = None) -> dict[str, Any]:
    """`proved`: the workflow that must have succeeded for this commit on main."""
    from deploy.lib.fork import FORK, NOBODY, registry
    from deploy.lib.passport import parse_image
    from deploy.lib.pending import reason_not_due
    from models.lib import config

    place = registry() or ""
    models: list[str] = []
    skipped = {}
    named = bool(place) and NOBODY not in place.split("/")
    unproved = unproven(proved) if proved and named else None
    try:
        parse_image(f"{place or 'none'}/model@sha256:{'0' * 64}")
    except Refusal:
        fix = "write a host and a path in lower case, without https://, such as ghcr.io/you"
        raise Refusal(f"{FORK}: data.registry: {place} is not a registry; {fix}.") from None
    for name in config.names():
        if not named:
            skipped[name] = f"{FORK} names no registry of yours yet ({place or 'none'}); write it there to release"
        elif reason := reason_not_due(name) or unproved:
            skipped[name] = reason
        elif len(models) == JOBS:
            skipped[name] = f"{JOBS} models are due before it, as many as one run releases; the next run has it"
        else:
            models.append(name)
    return {"models": models, "registry": place, "host": place.partition("/")[0], "skipped": skipped}


def unproven(workflow: str) -> str | None:
    """Why this commit may not be released yet; None where the workflow succeeded for it on main.

    Or for one that differs from it in releases alone: those are what releasing and promoting commit, and the token of a
    workflow that pushes one starts no checks.
    """
    from deploy.lib.pending import known
    from deploy.lib.release import RELEASES

    for commit in pull_request.succeeded(workflow, origin.MAIN):
        if known(commit) and all(path.startswith(f"{RELEASES}/") for path in changed(commit)):
            return None
    head = git("rev-parse", "HEAD").decode().strip()[:10]
    return f"{workflow} has not succeeded for main as it is now ({head}); the release starts when it has"
