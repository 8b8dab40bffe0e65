"""train.yml and retrain.yml, run with verbs that only say how they were called: who starts what, by which token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.github import workflows
from tests.github.runner import Action, Runner
from tests.github.scene import download, upload
from tests.github.workflows import put
from tests.support.process import first_on_path, program

GH = 'echo "gh $*" >> "$TOLD"'
OURS = {"head": {"repo": {"full_name": "team/fork"}}, "number": 5}
LABELLED = {"pull_request": OURS, "label": {"name": "train"}}


class Run:
    """One run of a workflow: what it `called`, the branch that was `checked_out`, and the results of its `jobs`."""

    def __init__(self, root: Path, name: str, github: dict[str, Any], code: int = 0, **variables: str) -> None:
        self.root = root
        self.checked_out: list[str] = []
        self.prepared: list[str] = []
        self.credentials: list[str] = []
        put(root / "bin", "python", "python-of-training")
        program(root / "bin", "gh", GH)
        environment = {
            "GITHUB_REPOSITORY": "team/fork",
            "PATH": first_on_path(root / "bin"),
            "TOLD": str(root / "told"),
            "PLAN": github.pop("plan", '{"models": ["one", "two"], "skipped": {}}'),
            "CODE": str(code),
        }
        artifacts = root / "artifacts"
        uses: dict[str, Action] = {
            "$/.github/actions/setup": self.setup,
            "$/.github/actions/credentials": lambda inputs, _: self.credentials.append(inputs.get("access", "reader")),
            "actions/upload-artifact@": lambda inputs, job: upload(inputs, job, artifacts),
            "actions/download-artifact@": lambda inputs, job: download(inputs, job, artifacts),
            "actions/create-github-app-token@": lambda *_: {"token": "app"},
        }
        file = workflows.read(Path(f".github/workflows/{name}.yml"))
        github = {"repository": "team/fork", "token": "own", "head_ref": "", "ref_name": "main", "event": {}} | github
        github["event"]["repository"] = {"default_branch": "main"}
        self.jobs = Runner(file, self.folder, uses, github, root / "temporary", variables, environment).run()
        self.results = {name: job.result for name, job in self.jobs.items()}
        self.called = (root / "told").read_text().splitlines() if (root / "told").exists() else []

    def folder(self, job: str) -> Path:
        (self.root / job).mkdir()
        return self.root / job

    def setup(self, inputs: dict[str, str], folder: Path) -> None:
        self.checked_out.append(inputs.get("ref", ""))
        self.prepared.append(inputs["for"])
        if inputs["for"] != "plan":
            (folder / ".venv/bin").mkdir(parents=True)
            (folder / ".venv/bin/python").symlink_to(self.root / "bin/python")


@pytest.fixture
def workflow(tmp_path: Path) -> Callable[..., Run]:
    return lambda name, github, **options: Run(tmp_path, name, github, **options)


@pytest.mark.parametrize("code", [0, 2])
def test_the_label_trains_its_branch_without_a_token_and_pushes_by_mains_own_verb(
    workflow: Callable[..., Run], code: int
) -> None:
    run = workflow("train", {"event_name": "pull_request", "head_ref": "work", "event": LABELLED}, code=code)
    planned, trained, *pushed, unlabelled = run.called
    assert planned == "repo plan; ; "
    assert trained == "models run --push work --write trained; ; ", "a token was there"
    assert pushed == ([] if code else ["models run --push work --read trained; own; ci.yml"])
    assert unlabelled == "gh api --method DELETE repos/team/fork/issues/5/labels/train"
    assert run.checked_out == ["work", "work", "main"]
    results = {"plan": "success", "train": "failure" if code else "success", "push": "success"}
    assert run.results == results, run.jobs["push"].log


@pytest.mark.parametrize("other", ["label", "repository"])
def test_nothing_else_trains(workflow: Callable[..., Run], other: str) -> None:
    stranger = {"pull_request": OURS | {"head": {"repo": {"full_name": "stranger/fork"}}}}
    event = LABELLED | ({"label": {"name": "bug"}} if other == "label" else stranger)
    run = workflow("train", {"event_name": "pull_request", "head_ref": "work", "event": event})
    assert (run.results, run.called) == (dict.fromkeys(("plan", "train", "push"), "skipped"), [])


@pytest.mark.parametrize(("model", "called"), [("", "models run"), ("one", "models run one")])
def test_it_is_started_by_hand_on_a_branch(workflow: Callable[..., Run], model: str, called: str) -> None:
    event = {"inputs": {"model": model}}
    run = workflow("train", {"event_name": "workflow_dispatch", "ref_name": "work", "event": event})
    assert run.called == [
        "repo plan; ; ",
        f"{called} --push work --write trained; ; ",
        "models run --push work --read trained; own; ci.yml",
    ]
    assert run.checked_out == ["work", "work", "main"]


@pytest.mark.parametrize(
    ("github", "called"),
    [
        ({"event_name": "schedule"}, "--list --scheduled"),
        ({"event_name": "repository_dispatch", "event": {"client_payload": {}}}, "--list --scheduled"),
        (
            {"event_name": "repository_dispatch", "event": {"client_payload": {"model": "wait-time"}}},
            "wait-time --list --scheduled",
        ),
        ({"event_name": "workflow_dispatch", "event": {"inputs": {"model": ""}}}, "--list"),
        ({"event_name": "workflow_dispatch", "event": {"inputs": {"model": "one"}}}, "one --list"),
    ],
    ids=["weekly", "an event", "an event of a model", "by hand", "by hand, one model"],
)
def test_each_model_of_the_list_is_retrained(workflow: Callable[..., Run], github: dict[str, Any], called: str) -> None:
    run = workflow("retrain", github)
    plan, *others = run.called
    assert plan == f"models retrain {called}; ; "
    *trained, proposed = others
    assert trained == [f"models retrain {name} --write proposed; ; " for name in ("one", "two")], "a token was there"
    assert proposed == "models retrain --read proposed --propose; own; ci.yml"
    assert (run.prepared, run.credentials) == (["plan", "train", "train", "propose"], ["writer", "writer"])


HOURLY: dict[str, Any] = {"event_name": "schedule", "event": {"schedule": "41 * * * *"}}
ASKED = json.dumps({"models": ["one"], "because": {"one": 'drift of "x" $(touch owned)'}, "skipped": {"two": "why"}})


def test_each_hour_a_prometheus_is_asked_and_its_numbers_go_with_the_model(
    workflow: Callable[..., Run], tmp_path: Path
) -> None:
    run = workflow("retrain", HOURLY | {"plan": ASKED}, PROMETHEUS_URL="http://prometheus")
    asked, trained, proposed = run.called
    assert asked == "deploy due --for retraining; own; "
    assert trained == 'models retrain one --because drift of "x" $(touch owned) --write proposed; ; ', (
        "a token was there"
    )
    assert proposed == "models retrain --read proposed --propose; own; ci.yml"
    assert not list(tmp_path.rglob("owned"))


def test_without_a_prometheus_the_hour_starts_nothing(workflow: Callable[..., Run]) -> None:
    run = workflow("retrain", dict(HOURLY))
    assert (set(run.results.values()), run.called) == ({"skipped"}, [])


def test_what_a_dispatch_says_goes_with_the_model(workflow: Callable[..., Run]) -> None:
    event = {"client_payload": {"model": "one", "because": "7-day drift of x"}}
    plan = json.dumps({"models": ["one"], "skipped": {}})
    run = workflow("retrain", {"event_name": "repository_dispatch", "event": event, "plan": plan})
    assert run.called[1] == "models retrain one --because 7-day drift of x --write proposed; ; "


def test_what_an_app_pushes_is_checked_without_being_asked_for(workflow: Callable[..., Run]) -> None:
    run = workflow("retrain", {"event_name": "schedule"}, APP_CLIENT_ID="12")
    assert run.called[-1] == "models retrain --read proposed --propose; app; "


def test_where_nothing_is_to_be_retrained_no_job_starts_and_no_name_is_run(
    workflow: Callable[..., Run], tmp_path: Path
) -> None:
    name = "x; touch owned; $(touch owned) `touch owned`"
    nothing = json.dumps({"models": [], "skipped": {"one": "why"}})
    event = {"client_payload": {"model": name}}
    run = workflow("retrain", {"event_name": "repository_dispatch", "event": event, "plan": nothing})
    assert run.results == {"plan": "success", "train": "skipped", "propose": "skipped"}
    assert run.called == [f"models retrain {name} --list --scheduled; ; "]
    assert not list(tmp_path.rglob("owned"))
