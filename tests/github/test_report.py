"""The scripts of report.yml, run with a `gh` that answers from files: what a pull request wrote is only ever text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.github import workflows
from tests.support.process import first_on_path, program

FILE = workflows.read(Path(".github/workflows/report.yml"))
STEPS = {step.content.get("id", "cut"): step.run for step in FILE.steps() if step.run}
GH = 'echo "$@" >> told; [ "$1 $2" = "run download" ] && {copy} artifacts reports || cat pulls.json'


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    program(tmp_path / "bin", "gh", GH.format(copy="cp -r"))
    return tmp_path


def run(script: str, folder: Path) -> None:
    environment = {
        "PATH": first_on_path(folder / "bin"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GH_REPO": "team/fork",
        "HEAD": 'stranger:x"; touch owned; "',
        "SHA": "0" * 40,
        "RUN": "1",
        "GITHUB_SERVER_URL": "https://github.com",
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=folder, env=environment, check=True)


def artifact(folder: Path, name: str, text: str) -> None:
    path = folder / "artifacts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_verdict_stands_first_models_follow_and_manifests_come_last(runner: Path) -> None:
    artifact(runner, "report-0-required/report.md", "verdict\n")
    artifact(runner, "report-2-manifests/diff.md", "manifests\n")
    for model in ("wait", "trips"):
        of = f"report-1-{model}"
        artifact(
            runner, f"{of}/deploy/build/rehearsals/{model}/20260101T000000Z-release/report.md", f"{model} traffic\n"
        )
        artifact(runner, f"{of}/models/{model}/build/contract.md", f"{model} callers\n")
        artifact(runner, f"{of}/models/{model}/build/report.md", f"{model}\n")
    artifact(runner, "report-1-trips/models/trips/build/report.html", "<script>")
    run(STEPS["cut"], runner)
    origin, *text = (runner / "comment.md").read_text().splitlines()
    assert "(https://github.com/team/fork/actions/runs/1)" in origin
    models = [f"{model}{part}" for model in ("trips", "wait") for part in ("", " callers", " traffic")]
    assert text == ["verdict", *models, "manifests"]


def test_a_report_is_cut_to_what_a_comment_holds(runner: Path) -> None:
    artifact(runner, "report-0-required/report.md", "x" * 10_000_000)
    run(STEPS["cut"], runner)
    assert (runner / "comment.md").stat().st_size <= 65_536


def test_a_link_in_an_artifact_is_not_followed(runner: Path) -> None:
    artifact(runner, "report-0-required/report.md", "verdict\n")
    (runner / "secret").write_text("secret\n")
    (runner / "artifacts/report-0-required/more.md").symlink_to(runner / "secret")
    program(runner / "bin", "gh", GH.format(copy="cp -rP"))
    run(STEPS["cut"], runner)
    assert (runner / "comment.md").read_text().splitlines()[1:] == ["verdict"]


def test_the_name_of_a_file_names_no_other_one(runner: Path) -> None:
    artifact(runner, "report-0-required/report.md", "verdict\n")
    (runner / "secret").write_text("secret\n")
    artifact(runner, f"report-0-required/a\n{runner}/secret\n.md", "more\n")
    run(STEPS["cut"], runner)
    assert "secret" not in (runner / "comment.md").read_text()


def test_the_name_of_a_branch_is_never_run(runner: Path) -> None:
    (runner / "pulls.json").write_text("12\n")
    run(STEPS["pull"], runner)
    assert not (runner / "owned").exists()
    assert 'head=stranger:x"; touch owned; "' in (runner / "told").read_text()
    assert (runner / "output").read_text() == "number=12\n"
