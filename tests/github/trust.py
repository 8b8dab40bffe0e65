"""More of what every workflow keeps: what may be trusted with a right, and what of GitHub surprises. See rules.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.github.expressions import evaluate
from tests.github.workflows import File, Step, read

SETUP, CREDENTIALS = "$/.github/actions/setup", "$/.github/actions/credentials"
PAGES = "actions/deploy-pages@"  # asks for an id token, and for the environment github-pages
# None of them decides what is installed or tested.
VARIABLES = {"APP_CLIENT_ID", "SIGN", "ATTEST", "PROMETHEUS_URL", "PROMETHEUS_TENANT", "GRAFANA_URL", "CATALOGUE"}
VARIABLES |= {"MLFLOW_TRACKING_URI", "KF_PIPELINES_ENDPOINT", "KUBEFLOW_IMAGE"}
WITHOUT_VERDICT = ("action_required", "skipped", "cancelled", "startup_failure", "stale", "neutral", None)
OLD_WAYS = {
    r"gh pr (list|edit|close|view)": "finds pull requests by a branch's name alone, those of strangers' forks too",
    r"gh run download": "takes the first artifact of a name, that of an attempt before a re-run",
    r"gh workflow run": "starts checks that no branch rule counts",
}
OF_MODELS = re.compile(r"-m (repo ci|models (run|train|export|retrain|reproduce))\b(?!.*--(read|list)\b)")
TAKES_DOCKER = re.compile(r"\binstall\b.*\b(runc|containerd(\.io)?|docker\.io|podman|buildah)\b")
STATES = {each: (lambda: True) for each in ("always", "success", "failure")} | {"cancelled": lambda: False}


def variables(file: File) -> Iterator[str]:
    """A fork's pull request gets none, and what one decides no commit shows."""
    for name in sorted(set(re.findall(r"\bvars\.(\w+)", file.text))):
        if "pull_request" in file.triggers:
            yield f"vars.{name} is empty for the pull request of a fork, whose checks would be others; write a file"
        elif name not in VARIABLES:
            yield f"vars.{name} is none of {', '.join(sorted(VARIABLES))}; what decides an install is in a file"


def caches(file: File) -> Iterator[str]:
    """What the code of a model left in a cache would run with the rights of whoever restores it."""
    before: Step | None = None
    for step in file.steps():
        if step.uses.startswith("actions/cache@"):
            yield f"{step.place}: actions/cache saves when the job ends, after the tree's code; use restore and save"
        if step.uses.startswith("actions/cache/save@"):
            if "github.ref == 'refs/heads/main'" not in step.content.get("if", ""):
                yield f"{step.place}: saves a cache elsewhere than on main"
            if before is None or "make env" not in before.run:
                yield f"{step.place}: does not save right after the installation, before code of the tree runs"
        if step.uses == SETUP and "write" in str(file.jobs[step.job].get("permissions", "")):
            given = str(step.content.get("with", {}).get("for", ""))
            if any(evaluate(_bare(each), {"inputs": {"for": given}}) for each in _restoring()):
                yield f"{step.place}: for: {given} restores a cache in a job that may write"
        before = step


def environments(file: File) -> Iterator[str]:
    """Otherwise each job is listed as a deployment, which nothing here is but a page: Argo CD deploys."""
    for name, job in file.jobs.items():
        page = any(step.uses.startswith(PAGES) for step in file.steps() if step.job == name)
        if "environment" in job and not page and not _files_nothing(job["environment"]):
            yield f"{name}: environment: files a deployment; write {{name: …, deployment: false}}"


def queues(file: File) -> Iterator[str]:
    """In a group one run waits, and a newer one takes its place, before any job's `if` is read."""
    found = file.content.get("concurrency")
    group, queue = (str(found.get("group")), found.get("queue")) if isinstance(found, dict) else ("", None)
    if "github.run_id" in group:
        yield "concurrency: a group of each run by itself is none"
    if "repository_dispatch" in file.triggers and queue != "max":
        yield "concurrency: queue: max is missing, so of three events the second is lost"
    if "workflow_run" in file.triggers and queue != "max" and "github.sha" not in group:
        yield "concurrency: queue: max is missing, so of three events the second is lost"
    for name, job in file.jobs.items():
        for key in sorted(set(re.findall(r"client_payload\.(\w+)", str(job.get("if", ""))))):
            if f"client_payload.{key}" not in group:
                yield f"{name}: if: asks for {key}, and the group does not: an event for nothing takes another's place"


def verdicts(file: File) -> Iterator[str]:
    """A run that waits for an approval, or was skipped, is delivered as completed; a fork's branch may be `main`."""
    if "workflow_run" not in file.triggers:
        return
    for name, job in file.jobs.items():
        if job.get("needs"):
            continue
        said = [each for each in WITHOUT_VERDICT if _starts(job, conclusion=each)]
        if said:
            yield f"{name}: if: lets a run pass that is {said[0]}, which has no verdict"
        uses = [step.uses for step in file.steps() if step.job == name]
        if SETUP in uses and _starts(job, conclusion="success", repository="stranger/fork"):
            yield f"{name}: checks out code, and its if: lets a stranger's run pass"


def lookups(file: File) -> Iterator[str]:
    """Commands of gh that do something else than they seem to."""
    for step in file.steps():
        for pattern, why in OLD_WAYS.items():
            if found := re.search(pattern, step.run):
                yield f"{step.place}: `{found[0]}` {why}"


def signing(file: File) -> Iterator[str]:
    """Whoever has `id-token: write` can sign as this workflow, in each step of the job."""
    for name, job in file.jobs.items():
        if "id-token" not in (job.get("permissions") or {}):
            continue
        steps = [step for step in file.steps() if step.job == name]
        if not any(step.uses.startswith("actions/attest@") or "cosign sign" in step.run for step in steps):
            if not any(step.uses == CREDENTIALS or step.uses.startswith(PAGES) for step in steps):
                yield f"{name}: id-token: and nothing here signs or calls {CREDENTIALS}"
            continue
        for step in steps:
            if step.uses.startswith((SETUP, "actions/checkout@")) or re.search(r"\b(python|make)\b", step.run):
                yield f"{step.place}: brings or runs code of the tree in a job that signs"
            given = step.content.get("with", {})
            if given.get("push-to-registry") == "true" and "subject-digest" not in given:
                yield f"{step.place}: pushes to a registry what is not of one image, which the action refuses"


def models(file: File) -> Iterator[str]:
    """The code of a model may do anything, so it finds no right and no token, not even in a parent process."""
    for step in file.steps():
        if not step.job or not OF_MODELS.search(" ".join(step.run.split())):
            continue
        job = file.jobs[step.job]
        if rights := [key for key, value in (job.get("permissions") or {}).items() if value == "write"]:
            yield f"{step.place}: runs the code of models in a job with {', '.join(rights)}: write"
        if "environment" in job:
            yield f"{step.place}: runs the code of models in a job that may read the secrets of an environment"
        if tokens := sorted(key for key in step.content.get("env", {}) if "TOKEN" in key):
            yield f"{step.place}: runs the code of models with {tokens[0]}"


def packages(file: File) -> Iterator[str]:
    """Hosted runners have docker, podman and buildah; Ubuntu's packages of them remove docker or shadow nothing."""
    for step in file.steps():
        script = " ".join(step.run.split())
        if found := TAKES_DOCKER.search(script):
            yield f"{step.place}: installs {found[1]}, which is there or takes docker away"
        if "mmdebstrap" in script and "debian-archive-keyring" not in script:
            yield f"{step.place}: mmdebstrap without debian-archive-keyring trusts no archive of Debian on Ubuntu"


def _files_nothing(environment: Any) -> bool:
    return isinstance(environment, dict) and str(environment.get("deployment")).lower() == "false"


def _restoring() -> list[str]:
    """The conditions of the steps that restore a cache."""
    action = read(Path(SETUP.removeprefix("$/")) / "action.yml")
    return [step.content.get("if", "true") for step in action.steps() if step.uses.startswith("actions/cache/restore@")]


def _starts(job: dict[str, Any], conclusion: str | None, repository: str = "team/fork") -> bool:
    """Whether a job starts for a run of any event with this end, on a branch that is called `main`."""
    for event in ("push", "pull_request", "workflow_dispatch", "schedule"):
        login = "github-actions[bot]" if event == "workflow_dispatch" else "stranger"
        run: dict[str, Any] = {"event": event, "conclusion": conclusion, "head_branch": "main"}
        owner = {"full_name": repository, "fork": repository != "team/fork"}
        run |= {"actor": {"login": login}, "head_repository": owner}
        github = {"event_name": "workflow_run", "repository": "team/fork", "ref": "refs/heads/main"}
        contexts = {"github": github | {"event": {"workflow_run": run}}, "inputs": None, "needs": {}, "vars": {}}
        if evaluate(_bare(str(job.get("if", "true"))), contexts | STATES):
            return True
    return False


def _bare(condition: str) -> str:
    return condition.strip().removeprefix("${{").removesuffix("}}").strip()


RULES = {
    rule.__name__: rule
    for rule in (
        variables, caches, environments, queues, verdicts, lookups, signing, models, packages
    )
}  # fmt: skip
