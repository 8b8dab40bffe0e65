"""The job graph of ci.yml, run with verbs that only say they were called: what a plan starts, and what is red."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.github import workflows
from tests.github.runner import Job, Runner
from tests.github.workflows import put
from tests.support.process import first_on_path
from tests.support.repository import ROOT
from tests.support.specimens import NAME

CI = workflows.read(Path(".github/workflows/ci.yml"))
PULL = {
    "event_name": "pull_request",
    "sha": "1" * 40,
    "event": {"pull_request": {"number": 1, "base": {"sha": "2" * 40}, "head": {"repo": {"full_name": "team/fork"}}}},
    "repository": "team/fork",
}
ALL = ["train", "gates", "build", "rehearse"]
SINCE = "9" * 40
NOTHING: dict[str, Any] = {
    **{"since": SINCE, "code": False, "tests": [], "manifests": False},
    **{"datasets": [], "models": []},
}


class Run:
    """One run of ci.yml: `jobs` with their results, the verbs that it `called`, the reports that it `uploaded`."""

    def __init__(self, root: Path, plan: dict[str, Any] | str, fail: str = "", github: dict[str, Any] = PULL) -> None:
        self.root = root
        self.uploaded: list[str] = []
        self.credentials: list[str] = []
        self.newest: set[str] = set()
        put(root / "bin", "python", "python-of-ci")
        environment = {
            "PATH": first_on_path(root / "bin"),
            "PLAN": plan if isinstance(plan, str) else json.dumps(plan),
            "FAIL": fail,
            "PYTHON": sys.executable,
            "TOLD": str(root / "told"),
        }
        uses = {
            "$/.github/actions/setup": self.setup,
            "$/.github/actions/credentials": lambda *_: self.credentials.append("given"),
            "actions/upload-artifact@": self.upload,
        }
        self.jobs = Runner(CI, self.folder, uses, github, root / "temporary", environment=environment).run()
        told = (root / "told").read_text().splitlines()
        self.called = [line for line in told if not line.startswith(("repo plan", "repo required", " ", "}"))]
        self.asked = next(line for line in told if line.startswith("repo plan"))
        self.base = self.asked.split()[3]

    def folder(self, job: str) -> Path:
        path = self.root / job
        path.mkdir()
        return path

    def setup(self, inputs: dict[str, str], folder: Path) -> None:
        assert inputs["for"] in {"required", "plan", "code", "manifests", "model", "tests"}
        self.newest.add(inputs.get("newest", ""))
        for name in ("deploy", "models"):
            (folder / name).mkdir()
        for path in (ROOT / "pyproject.toml", ROOT / "repo", ROOT / "data_schemas", *(ROOT / "models").glob("*.py")):
            (folder / path.relative_to(ROOT)).symlink_to(path)
        if inputs["for"] not in ("required", "plan"):
            (folder / ".venv/bin").mkdir(parents=True)
            (folder / ".venv/bin/python").symlink_to(self.root / "bin/python")

    def upload(self, inputs: dict[str, str], folder: Path) -> None:
        assert folder.is_dir()
        self.uploaded.append(inputs["name"])

    @property
    def results(self) -> dict[str, str]:
        return {name: job.result for name, job in self.jobs.items()}

    @property
    def required(self) -> Job:
        return self.jobs["required"]


@pytest.fixture
def ci(tmp_path: Path) -> Callable[..., Run]:
    return lambda plan, **options: Run(tmp_path, plan, **options)


def told(stage: str, model: str) -> str:
    """What a step calls; the contract is compared with that of where the change starts."""
    return f"repo ci {stage} {model}" + f" --since {SINCE}" * (stage == "build")


def test_a_change_of_documentation_starts_nothing_and_passes(ci: Callable[..., Run]) -> None:
    run = ci(NOTHING)
    assert run.called == []
    assert run.results == {**dict.fromkeys(CI.jobs, "skipped"), "plan": "success", "required": "success"}


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ({"code": True}, [f"repo ci code --since {SINCE}"]),
        ({"tests": ["models", "serving"]}, ["repo ci tests models", "repo ci tests serving"]),
        ({"manifests": True}, [f"repo ci manifests --since {SINCE}"]),
        ({"datasets": ["a", "b"]}, ["repo ci data a", "repo ci data b"]),
        ({"models": [{"name": NAME, "stages": ALL}]}, [told(stage, NAME) for stage in ALL]),
        (
            {"models": [{"name": name, "stages": ALL[2:]} for name in ("one", "two")]},
            [told(stage, name) for name in ("one", "two") for stage in ALL[2:]],
        ),
    ],
    ids=str,
)
def test_what_a_plan_asks_for_is_called_and_nothing_else(
    ci: Callable[..., Run], asked: dict[str, Any], called: list[str]
) -> None:
    run = ci(NOTHING | asked)
    assert run.called == called
    assert run.required.result == "success"


EVERYTHING = {
    "since": SINCE,
    "code": True,
    "tests": ["models", "serving"],
    "manifests": True,
    "datasets": ["any"],
    "models": [{"name": "other", "stages": ALL}, {"name": NAME, "stages": ALL}],
}
FAILING = {
    "code": "ci code",
    "tests": "ci tests serving",
    "data": "ci data",
    "manifests": "ci manifests",
    "plan": "plan",
}


@pytest.mark.parametrize(("job", "fail"), [*FAILING.items(), *(("model", f"ci {stage} other") for stage in ALL)])
def test_whatever_fails_turns_required_red_and_is_named(ci: Callable[..., Run], job: str, fail: str) -> None:
    run = ci(EVERYTHING, fail=fail)
    assert (run.jobs[job].result, run.required.result) == ("failure", "failure")
    assert f"required: FAIL, for {job}" in run.required.log


@pytest.mark.parametrize("stage", ["gates", "build", None])
def test_a_red_stage_ends_its_model_only_and_the_summary_has_what_was_found(
    ci: Callable[..., Run], stage: str | None
) -> None:
    """Figures, then callers, then traffic; a gate, or a contract that breaks callers, is reported."""
    run = ci(EVERYTHING, fail=f"ci {stage} other" if stage else "")
    after = ALL[ALL.index(stage) + 1 :] if stage else []
    assert [told(each, "other") in run.called for each in ALL] == [each not in after for each in ALL]
    assert f"repo ci rehearse {NAME}" in run.called
    assert set(run.uploaded) == {f"report-{name}" for name in ("0-required", "1-other", f"1-{NAME}", "2-manifests")}
    found = [f"{what} of other" for what in ("figures", "callers", "traffic")]
    summary = run.root / "temporary/model other/summary.md"
    assert summary.read_text().splitlines() == found[: len(found) - len(after)]
    assert (run.root / "temporary/manifests/summary.md").read_text() == "objects\n"


def test_a_plan_that_says_nothing_turns_required_red(ci: Callable[..., Run]) -> None:
    assert ci("").required.result == "failure"


EVERY_WEEK = {"event_name": "schedule", "event": {}}
ASKED = {"event_name": "workflow_dispatch", "event": {"inputs": {"everything": True}}}


@pytest.mark.parametrize(
    ("github", "base", "everything"),
    [
        (PULL, "HEAD^1", False),
        ({"event_name": "merge_group", "event": {"merge_group": {"base_sha": "3" * 40}}}, "3" * 40, False),
        ({"event_name": "push", "event": {"before": "4" * 40, "created": False}}, "4" * 40, False),
        ({"event_name": "push", "event": {"before": "0" * 40, "created": True}}, "origin/main", False),
        ({"event_name": "workflow_dispatch", "event": {"inputs": {"everything": False}}}, "origin/main", False),
        (ASKED, "origin/main", True),
        (EVERY_WEEK, "origin/main", True),
    ],
    ids=["pull request", "merge queue", "push", "first push", "by a bot", "asked for", "weekly"],
)
def test_a_change_is_what_differs_from_where_it_goes_or_everything(
    ci: Callable[..., Run], github: dict[str, Any], base: str, everything: bool
) -> None:
    run = ci(NOTHING, github=github)
    assert (run.base, run.asked.endswith(" --everything")) == (base, everything)


def test_the_newest_python_is_for_the_weekly_run(tmp_path: Path) -> None:
    assert Run(tmp_path / "week", EVERYTHING, github=EVERY_WEEK).newest - {""} == {"true"}
    assert Run(tmp_path / "pull", EVERYTHING).newest - {""} == {"false"}


@pytest.mark.parametrize(("owner", "given"), [("team/fork", 3), ("stranger/fork", 0), ("team/another-fork", 0)])
def test_a_fork_gets_no_credentials_and_is_told_so_by_the_verbs(ci: Callable[..., Run], owner: str, given: int) -> None:
    event = {"pull_request": {"number": 1, "head": {"repo": {"full_name": owner}}}}
    run = ci(EVERYTHING, github=PULL | {"event": event})
    assert len(run.credentials) == given
    strangers = (run.root / "strangers").read_text().split() if (run.root / "strangers").exists() else []
    assert bool(strangers) is not bool(given)


@pytest.mark.parametrize("name", ["x; touch owned", "$(touch owned)", "`touch owned`", "../x"])
def test_the_name_of_a_model_is_never_run(ci: Callable[..., Run], tmp_path: Path, name: str) -> None:
    run = ci(NOTHING | {"models": [{"name": name.replace("/", ""), "stages": ALL}]})
    assert run.called[0] == f"repo ci train {name.replace('/', '')}"
    assert not list(tmp_path.rglob("owned"))
