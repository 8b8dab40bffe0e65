"""report.yml, run with a GitHub that has its rules: what branch rules count, and what gets onto a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.github import workflows
from tests.github.hub import BOT, REPOSITORY, Hub, newest
from tests.github.runner import Runner

FILE = workflows.read(Path(".github/workflows/report.yml"))
SHA = "1" * 40
STRANGER = "stranger/fork"


class Report:
    """One delivery of `workflow_run` for a run of ci.yml on the branch `work`; `comments` holds what was posted."""

    def __init__(self, root: Path) -> None:
        self.root, self.hub = root, Hub(root / "hub")
        self.comments: dict[str, str] = {}

    def deliver(self, event: str = "pull_request", conclusion: str = "success", **about: Any) -> dict[str, str]:
        repository, branch = about.pop("repository", REPOSITORY), about.pop("branch", "work")
        run = {
            **{"id": 7, "event": event, "conclusion": conclusion, "head_sha": SHA, "head_branch": branch},
            "head_repository": {"full_name": repository, "owner": {"login": repository.partition("/")[0]}},
            "actor": {"login": about.pop("actor", BOT if event == "workflow_dispatch" else "someone")},
            **{"html_url": "https://github.com/team/fork/actions/runs/7", **about},
        }
        github = {
            "event_name": "workflow_run",
            "event": {"workflow_run": run},
            "repository": REPOSITORY,
            "token": "own",
        }
        uses = {
            "actions/download-artifact@": self.download,
            "marocchino/sticky-pull-request-comment@": self.comment,
        }
        place = self.root / f"run-{len(list(self.root.iterdir()))}"
        runner = Runner(FILE, lambda job: self.folder(place / job), uses, github, place / "temporary")
        runner.environment = self.hub.environment
        return {name: job.result for name, job in runner.run().items()}

    def folder(self, path: Path) -> Path:
        path.mkdir(parents=True)
        return path

    def download(self, inputs: dict[str, str], folder: Path) -> None:
        assert (inputs["run-id"], inputs["pattern"], inputs["github-token"]) == ("7", "report-*", "own")
        newest(self.hub.folder / "artifacts", folder / inputs["path"])

    def comment(self, inputs: dict[str, str], folder: Path) -> None:
        self.comments[inputs["number"]] = (folder / inputs["path"]).read_text()

    def text(self) -> list[str]:
        """The lines of the one comment, without the first, which says where it comes from."""
        ((number, text),) = self.comments.items()
        origin, *lines = text.splitlines()
        assert int(number) == self.hub.own()["number"]
        assert "(https://github.com/team/fork/actions/runs/7)" in origin
        return lines


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """With the pull request of the branch, and a stranger's that has its name."""
    found = Report(tmp_path)
    found.hub.propose("work", STRANGER, sha="9" * 40)
    found.hub.propose("work", "team/another-fork", sha=SHA)
    found.hub.propose("work", sha=SHA)
    found.hub.artifact(1, "report-0-required/report.md", "verdict\n")
    return found


# What a branch rule counts


@pytest.mark.parametrize(("conclusion", "merges"), [("success", True), ("failure", False), ("timed_out", False)])
def test_its_verdict_is_a_status_of_the_commit_that_the_rule_counts(
    report: Report, conclusion: str, merges: bool
) -> None:
    """A dispatched run alone satisfies no rule, however green it is; a rerun takes a verdict back."""
    report.hub.ran("ci.yml", SHA, event="workflow_dispatch", head_branch="work")
    assert not report.hub.mergeable(report.hub.own()["number"])
    report.deliver("workflow_dispatch", "success")
    assert report.deliver("workflow_dispatch", conclusion)["status"] == "success"
    status = report.hub.read()["statuses"][-1]
    assert (status["sha"], status["context"], status["state"]) == (SHA, "required", "success" if merges else "failure")
    assert status["target_url"] == "https://github.com/team/fork/actions/runs/7"
    assert report.hub.mergeable(report.hub.own()["number"]) is merges


@pytest.mark.parametrize(
    ("event", "about"),
    [
        ("pull_request", {"actor": BOT}),
        ("push", {"actor": BOT}),
        ("workflow_dispatch", {"actor": "someone"}),
        ("workflow_dispatch", {"repository": STRANGER}),
        ("workflow_dispatch", {"repository": "team/another-fork"}),
    ],
    ids=["a pull request", "a push", "a person", "a stranger's fork", "a fork of the same owner"],
)
def test_no_other_run_says_what_a_rule_counts(report: Report, event: str, about: dict[str, str]) -> None:
    assert report.deliver(event, **about)["status"] == "skipped"
    assert report.hub.read()["statuses"] == []


@pytest.mark.parametrize("event", ["pull_request", "workflow_dispatch"])
@pytest.mark.parametrize(
    "conclusion", ["action_required", "skipped", "cancelled", "startup_failure", "stale", "neutral"]
)
def test_a_run_without_a_verdict_says_nothing(report: Report, event: str, conclusion: str) -> None:
    """What a bot proposed, and a newcomer's first pull request, are reported as completed while they wait."""
    assert report.deliver(event, conclusion) == {"status": "skipped", "comment": "skipped"}


# What gets onto the pull request


def test_after_a_rerun_the_comment_has_the_new_verdict(report: Report) -> None:
    report.hub.artifact(2, "report-0-required/report.md", "a new verdict\n")
    assert report.deliver()["comment"] == "success"
    assert report.text() == ["a new verdict"]


def test_of_several_with_that_commit_the_branchs_own_is_commented(report: Report) -> None:
    """A stranger's is not at this commit, and another branch has none."""
    assert report.deliver(branch="another")["comment"] == "success"
    report.deliver(repository=STRANGER)
    assert report.comments == {}
    report.deliver()
    assert list(report.comments) == [str(report.hub.own()["number"])]


def test_the_verdict_stands_first_models_follow_and_manifests_come_last(report: Report) -> None:
    report.hub.artifact(1, "report-2-manifests/diff.md", "manifests\n")
    for model in ("wait", "first"):
        of = f"report-1-{model}"
        rehearsal = f"{of}/deploy/build/rehearsals/{model}/20260101T000000Z-release/report.md"
        report.hub.artifact(1, rehearsal, f"{model} traffic\n")
        report.hub.artifact(1, f"{of}/models/{model}/build/contract.md", f"{model} callers\n")
        report.hub.artifact(1, f"{of}/models/{model}/build/report.md", f"{model}\n")
    report.hub.artifact(1, "report-1-first/models/first/build/report.html", "<script>")
    report.deliver()
    models = [f"{model}{part}" for model in ("first", "wait") for part in ("", " callers", " traffic")]
    assert report.text() == ["verdict", *models, "manifests"]


def test_a_run_that_left_nothing_is_said_to_have_left_nothing(report: Report) -> None:
    (report.hub.folder / "artifacts/1/report-0-required/report.md").unlink()
    assert report.deliver("pull_request", "failure")["comment"] == "success"
    assert report.text() == []


@pytest.mark.parametrize(
    "line", ["x" * 10_000_000, "ü" * 79, "word " * 20], ids=["one line", "letters of two bytes", "many"]
)
def test_a_report_is_cut_at_the_end_of_a_line_and_what_is_open_is_closed(report: Report, line: str) -> None:
    lines = [line] * max(1, 400_000 // len(line))
    report.hub.artifact(1, "report-0-required/report.md", "\n".join(["<details>", "", "```", *lines, "```", ""]))
    report.deliver()
    text = "\n".join(report.text())
    assert len(text.encode()) <= 65_000
    assert text.endswith("</details>\n\n**Cut here: the rest is in the run.**")
    assert text.count("```") == 2
    assert set(text.splitlines()[3:-5]) <= {line}


def test_what_fits_is_not_cut(report: Report) -> None:
    report.hub.artifact(1, "report-0-required/report.md", "word\n" * 10_000)
    report.deliver()
    assert report.text() == ["word"] * 10_000


# What a pull request wrote is only ever text


def test_neither_a_link_nor_the_name_of_a_file_leads_elsewhere(report: Report, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    report.hub.artifact(1, "report-0-required/more.md", "").unlink()
    (report.hub.folder / "artifacts/1/report-0-required/more.md").symlink_to(tmp_path / "secret")
    report.deliver()
    assert report.text() == ["verdict"]
    report.hub.artifact(1, f"report-0-required/a\n{tmp_path}/secret\n.md", "more\n")
    report.deliver()
    assert "secret" not in report.text()


def test_the_name_of_a_branch_is_never_run(report: Report, tmp_path: Path) -> None:
    branch = 'x"; touch owned; "'
    number = report.hub.propose(branch, sha=SHA)
    report.deliver(branch=branch)
    assert list(report.comments) == [str(number)]
    assert not list(tmp_path.rglob("owned"))
