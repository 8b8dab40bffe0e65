"""What ci.yml runs, here: `python -m repo ci` plans for this branch and runs every job of the plan in ci.yml's order.

python -m repo ci gates flight_delay    # one job, as a step of ci.yml does

JOBS is the one place that says what a job is. A job stops at its first command that fails; the others still run.
"""

import argparse
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo import plan as planning
from repo.lib import change
from repo.lib.command import environment_of_tests
from repo.lib.refusal import Refusal

BRING = "python -m data_schemas ingest {dataset} --pinned"  # whatever the source gives by now
# In order. A job of a folder says so by {part}, of tests/, {dataset} or {model}; those of a model are named as its
# stages. {since} is where the change starts.
JOBS = {
    "code": [
        "make check",
        # A secret that a later commit removed is known, too. It asks nobody whether one works.
        "kingfisher scan . --since-commit {since} --branch HEAD --no-validate --no-update-check --redact --quiet",
        "python -m pytest tests/test_readme.py",
    ],
    "tests": ["python -m pytest tests/{part}"],
    "data": [
        BRING,
        "python -m data_schemas validate {dataset}",
        "python -m pytest tests/data_schemas/test_every_dataset.py -k [{dataset}]",
    ],
    # The lock fits what is committed, and training from it again gives an equivalent model.
    "train": [
        "python -m models run {model} --check",
        BRING,
        "python -m data_schemas validate {dataset} --report models/{model}/build/validation.json",
        "python -m models reproduce {model}",
    ],
    # A stale lock is red here, too: a change of figures alone trains nothing.
    "gates": [
        "python -m models run {model} --check",
        BRING,
        "python -m models run {model}",
        "python -m pytest tests/models/test_every_model.py -k [{model}]",
    ],
    "build": [
        "python -m serving contract {model} --since {since} --report models/{model}/build/contract.md",
        "python -m serving build {model}",
    ],
    "rehearse": [BRING, "python -m deploy rehearse {model}"],
    "manifests": ["python -m deploy verify", "python -m deploy diff --since {since} --report deploy/build/diff.md"],
    # In no plan: before a release the committed model is judged once more, and nothing is made that nobody reviewed.
    "release": [
        "python -m models run {model} --check",
        BRING,
        "python -m models run {model} --no-train",
    ],
}
# What `gates` runs as well, where a model has more tests beside it than those that `models run` has run as a gate.
OWN_TESTS, BEHAVIOUR = "python -m pytest models/{model}", "test_behaviour.py"
OF_MODEL = {*change.STAGES, "release"}


@dataclass(frozen=True)
class Job:
    name: str
    part: str | None = None  # a model, a dataset or a folder of tests

    def __str__(self) -> str:
        return f"{self.name} {self.part}" if self.part else self.name


def main(options: argparse.Namespace) -> int:
    if options.job:
        return run(_asked(options.job, options.name), options.since)
    plan = planning.plan(options.since)
    if plan["nothing"]:
        print(f"ci: nothing differs from {options.since}, so nothing is checked; on {options.since} itself say where")
        print("the change starts: `make ci BASE=origin/main`")
        return 0
    jobs = list(planned(plan))
    print(f"ci: {plan['changed']} paths differ from {plan['since'][:10]}, {len(jobs)} jobs: ", end="")
    print(", ".join(map(str, jobs)), flush=True)
    started, done = time.monotonic(), dict[Job, int]()
    for job in jobs:
        # Of a model nothing follows a red stage, as in ci.yml.
        if not any(code and job.name in change.STAGES and before.part == job.part for before, code in done.items()):
            done[job] = run(job, plan["since"])
    red = [str(job) for job, code in done.items() if code]
    seconds = f"{time.monotonic() - started:.0f} s"
    print(f"ci: {'RED: ' + ', '.join(red) if red else 'green'}, {len(done)} jobs in {seconds}")
    return 1 if red else 0


def planned(plan: dict[str, Any]) -> Iterator[Job]:
    """The jobs of a plan, in ci.yml's order."""
    if plan["code"]:
        yield Job("code")
    yield from (Job("tests", part) for part in plan["tests"])
    yield from (Job("data", name) for name in plan["datasets"])
    yield from (Job(stage, model["name"]) for model in plan["models"] for stage in model["stages"])
    if plan["manifests"]:
        yield Job("manifests")


def commands(job: Job, since: str) -> list[list[str]]:
    """Its commands as lists of words, so that no name is ever read by a shell."""
    names = {"model": job.part, "dataset": job.part, "part": job.part, "since": since}
    if job.part and job.name in OF_MODEL:
        names["dataset"] = change.dataset(job.part)
        if names["dataset"] is None:
            raise Refusal(f"models/{job.part}/model.yaml: dataset cannot be read; fix it there.")
    lines = list(JOBS[job.name])
    if job.name == "gates" and {path.name for path in Path(f"models/{job.part}").glob("test_*.py")} - {BEHAVIOUR}:
        lines.append(OWN_TESTS)
    return [[word.format(**names) for word in shlex.split(line)] for line in lines]


def run(job: Job, since: str) -> int:
    """0 when all of its commands pass; 1 names the first that does not."""
    on_github = os.environ.get("GITHUB_ACTIONS")
    for command in commands(job, since):
        line = shlex.join(command)
        print(f"::group::{line}" if on_github else f"ci {job}: {line}", flush=True)
        code = subprocess.run(command, env=environment_of_tests(), check=False).returncode
        if on_github:
            print("::endgroup::", flush=True)
        if code:
            failure = f"ci {job}: `{line}` failed ({code}); run it here and fix what it names."
            print(f"::error title=ci {job}::{failure}" if on_github else failure, flush=True)
            return 1
    return 0


def _asked(name: str, part: str | None) -> Job:
    if name not in JOBS:
        raise Refusal(f"there is no job {name!r}; jobs: {', '.join(JOBS)}.")
    there = {"data": ("dataset", change.folders("data_schemas")), "tests": ("folder of tests", change.tested())}
    kind, known = ("model", change.folders("models")) if name in OF_MODEL else there.get(name, ("", []))
    if not kind and part:
        raise Refusal(f"the job {name} is about everything; leave {part!r} out.")
    if kind and part not in known:
        raise Refusal(f"the job {name} needs a {kind}; there are: {', '.join(known) or 'none'}.")
    return Job(name, part)
