"""Which models, stages and checks a change needs in a fork with two models and two datasets, and where it starts."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_schemas.lib import datasets
from models.lib import config
from repo.lib import change
from repo.lib import git as git_of_verbs
from repo.lib.change import Change
from repo.lib.files import exclusive
from tests.support import trees
from tests.support.forks import FARES, SECOND, stages_of
from tests.support.process import Answer
from tests.support.repository import commit, git
from tests.support.specimens import MODEL

Plan = Callable[..., dict[str, Any]]
Ask = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("branch")
BOTH = ["specimen_fares", "specimen_trips"]
TRAIN, GATES, BUILD, REHEARSE = (change.STAGES[start:] for start in range(4))
NOTHING: list[str] = []


# path -> the stages of specimen_delay and specimen_tip, the datasets, and whether all tests and the manifests are due
CHANGES: dict[str, tuple[list[str], list[str], list[str], bool, bool]] = {
    # one model
    "models/specimen_tip/network.py": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/weights/part/7.bin": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/test_behaviour.py": (NOTHING, GATES, [], False, True),
    "models/specimen_tip/resources.yaml": (NOTHING, REHEARSE, [], False, True),
    "deploy/releases/production/specimen_tip/passport.yaml": (NOTHING, GATES, [], False, True),  # its champion
    "deploy/releases/aborted.yaml": (NOTHING, NOTHING, [], False, True),
    # one dataset
    "data_schemas/specimen_fares/schema.py": (NOTHING, TRAIN, ["specimen_fares"], False, True),
    "data_schemas/specimen_fares/source.py": (NOTHING, GATES, ["specimen_fares"], False, True),
    # stages
    "data_schemas/validate.py": (TRAIN, TRAIN, BOTH, True, False),
    "data_schemas/new.py": (NOTHING, NOTHING, [], True, False),
    "models/drift.py": (NOTHING, NOTHING, [], True, False),
    "repo/lib/markdown.py": (TRAIN, TRAIN, BOTH, True, True),
    "models/train.py": (TRAIN, TRAIN, [], True, False),
    "models/lib/onnx_front.py": (TRAIN, TRAIN, [], True, True),
    "models/gates.py": (GATES, GATES, [], True, False),
    "models/lib/report/report.html.jinja": (GATES, GATES, [], True, False),
    "repo/plan.py": (NOTHING, NOTHING, [], True, False),
    "serving/runtime/service.py": (BUILD, BUILD, [], True, True),
    "serving/Dockerfile": (BUILD, BUILD, [], True, False),
    "serving/serve.py": (REHEARSE, REHEARSE, [], True, False),
    "deploy/status.py": (NOTHING, NOTHING, [], True, True),
    "deploy/argocd/fork.yaml": (REHEARSE, REHEARSE, [], True, True),
    # the frame
    "requirements/training.txt": (TRAIN, TRAIN, BOTH, True, True),
    "requirements/serving.txt": (BUILD, BUILD, [], True, False),
    "requirements/development.txt": (NOTHING, NOTHING, [], True, False),
    "tests/models/test_train.py": (NOTHING, NOTHING, [], True, False),
    "pyproject.toml": (NOTHING, NOTHING, [], True, False),
    ".github/workflows/ci.yml": (NOTHING, NOTHING, [], True, False),
    ".github/actions/setup/action.yml": (TRAIN, TRAIN, BOTH, True, True),
    "README.md": (NOTHING, NOTHING, [], False, False),
    # nobody knows
    "elsewhere/table.csv": (TRAIN, TRAIN, BOTH, True, True),
}


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_of_one_file_needs_what_reads_it(path: str) -> None:
    first, second, datasets, tests, manifests = CHANGES[path]
    found = Change("main", [path])
    assert (found.stages("specimen_delay"), found.stages("specimen_tip")) == (first, second)
    assert [name for name in found.datasets if found.tests_data(name)] == datasets
    assert (found.tests(), found.verifies()) == (["models", "serving"] if tests else [], manifests)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("training.new", 1, TRAIN),
        ("windows.valid", {"first": "2013-07", "last": "2013-07"}, NOTHING),  # as it was
        ("windows.test.last", "2013-09", GATES),
        ("features", ["carrier"], TRAIN),
        ("serving.threshold", 0.5, GATES),  # of the figures, too
        ("gates.size_mb.at_most", 9.0, GATES),
        ("serving.max_rows", 100, BUILD),
    ],
)
def test_a_setting_needs_those_who_read_it(setting: str, value: Any, expected: list[str]) -> None:
    trees.configure(Path(), {setting: value}, SECOND)
    found = Change("main", [str(SECOND / "model.yaml")])
    assert (found.stages("specimen_tip"), found.stages("specimen_delay")) == (expected, NOTHING)


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (SECOND, NOTHING, NOTHING),
        (SECOND / "weights", NOTHING, TRAIN),
        (SECOND / "resources.yaml", NOTHING, REHEARSE),
        (FARES, NOTHING, TRAIN),
        (Path("serving/runtime/page.html"), BUILD, BUILD),
    ],
)
def test_a_deletion_counts(plan: Plan, path: Path, first: list[str], second: list[str]) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = plan()
    assert (stages_of(found), stages_of(found, "specimen_tip")) == (first, second)
    assert found["manifests"], "its release may still be there"


def test_no_change_needs_nothing_and_a_document_the_checks_alone(plan: Plan) -> None:
    nothing = {"changed": 0, "datasets": [], "models": [], "code": False, "tests": [], "manifests": False}
    nothing |= {"since": git("rev-parse", "main"), "nothing": True, "runner": "ubuntu-24.04"}
    assert plan() == nothing
    trees.append("README.md")
    assert plan() == nothing | {"changed": 1, "code": True, "nothing": False}


def test_the_runner_is_that_of_a_model_that_is_trained_again(plan: Plan) -> None:
    trees.append(SECOND / "model.yaml", "runs_on: gpu-large  # of ours\n")
    assert plan()["runner"] == "ubuntu-24.04", "nothing has to be trained"
    trees.append(SECOND / "network.py")
    assert plan()["runner"] == "gpu-large"


def test_a_rename_counts_on_both_sides(plan: Plan) -> None:
    git("mv", str(SECOND), "models/third")
    found = plan()
    assert [each["name"] for each in found["models"]] == ["third"]
    assert (stages_of(found, "third"), found["tests"]) == (TRAIN, [])
    git("reset", "--quiet", "--hard")
    git("mv", "serving/runtime/page.html", "deploy/page.md")
    assert stages_of(plan()) == BUILD


def test_everything_is_planned_though_nothing_differs(plan: Plan) -> None:
    found = plan("--everything")
    assert {each["name"]: each["stages"] for each in found["models"]} == {
        "specimen_delay": change.STAGES,
        "specimen_tip": change.STAGES,
    }
    assert (found["datasets"], found["tests"]) == (BOTH, ["models", "serving"])
    assert (found["code"], found["manifests"], found["since"]) == (True, True, git("rev-parse", "HEAD"))
    assert (config.names(), datasets.names()) == (change.folders("models"), change.folders("data_schemas"))


def test_what_others_merged_meanwhile_is_not_charged_to_a_pull_request(plan: Plan) -> None:
    """`base.sha` is main as it was at the last push to the branch."""
    stale = git("rev-parse", "main")
    trees.append("README.md")
    commit()
    git("checkout", "--quiet", "-B", "theirs", "main")
    trees.append(SECOND / "network.py")
    commit()
    git("merge", "--quiet", "--no-ff", "--message", "what GitHub checks out", "change")
    ours, old = plan("--since", "HEAD^1"), plan("--since", stale)
    assert (ours["models"], ours["changed"], ours["code"]) == ([], 1, True)
    assert [each["name"] for each in old["models"]] == [SECOND.name], "the old base has the work of others in it"


def test_committed_staged_unstaged_and_new_files_all_count(plan: Plan) -> None:
    trees.append("serving/runtime/page.html")
    commit()
    trees.append(SECOND / "test_behaviour.py")
    git("add", "--all")
    trees.append("models/specimen_tip/words.txt")
    trees.append("README.md")
    found = plan()
    assert (found["changed"], stages_of(found), stages_of(found, "specimen_tip")) == (4, BUILD, TRAIN)


def test_what_main_got_meanwhile_is_no_change_of_the_branch(plan: Plan) -> None:
    start = git("rev-parse", "HEAD")
    trees.append("models/train.py")
    ahead = commit()
    git("reset", "--quiet", "--hard", start)
    trees.append("serving/runtime/page.html")
    commit()
    found = plan("--since", ahead)
    assert (found["since"], stages_of(found)) == (start, BUILD)


def test_settings_that_cannot_be_read_affect_all_of_their_model(plan: Plan) -> None:
    trees.append(SECOND / "model.yaml", "\n]\n")
    found = plan()
    assert (stages_of(found), stages_of(found, "specimen_tip")) == (NOTHING, TRAIN)


def test_a_commit_that_is_not_there_is_one_sentence(verb: Ask) -> None:
    answer = verb("plan", "--since", "nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert answer.error == (
        "repo plan: --since nowhere is not a commit of this clone; name one, or `git fetch origin nowhere`.\n"
    )
    assert verb("plan", "--since=--all").code == 2


def test_a_shallow_clone_says_what_to_fetch(
    branch: Path, tmp_path: Path, verb: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.append("README.md")
    commit()
    address, shallow = f"file://{branch}", tmp_path / "shallow"
    git("clone", "--quiet", "--depth=1", "--branch=change", address, str(shallow), root=tmp_path)
    monkeypatch.chdir(shallow)
    assert "is shallow and lacks main; fetch it with `git fetch --unshallow origin main`" in verb("plan").error
    git("fetch", "--quiet", "--depth=1", "origin", "main:refs/remotes/origin/main")
    trees.append("README.md")
    commit()
    git("replace", "--graft", "HEAD")
    answer = verb("plan")
    assert answer.code == 2
    assert "no commit in common with HEAD here; fetch the rest with `git fetch --unshallow origin`" in answer.error


def test_a_clone_without_the_branch_asks_its_origins(
    branch: Path, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.append("serving/runtime/page.html")
    commit()
    git("clone", "--quiet", "--branch=change", str(branch), str(tmp_path / "clone"), root=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    assert stages_of(plan()) == BUILD


def test_many_models_cost_a_handful_of_git_calls(branch: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a second for a thousand (tests/bench/affected.py); what makes it so, beside a run with a lock."""
    for number in range(200):
        (MODEL.parent / f"many_{number}").mkdir()
        text = (MODEL / "model.yaml").read_text()
        (MODEL.parent / f"many_{number}/model.yaml").write_text(f"{text}\n# {number}\n")
    commit()
    trees.append("models/many_7/network.py")
    calls: list[tuple[str, ...]] = []
    ask = git_of_verbs.git

    def count(*words: str) -> bytes:
        calls.append(words)
        return ask(*words)

    monkeypatch.setattr(git_of_verbs, "git", count)
    with exclusive(branch / ".dvc/tmp/run.lock", "a run"):
        found = plan("--since", "HEAD")
    assert [each["name"] for each in found["models"]] == ["many_7"]
    assert len(calls) <= 6


def test_it_needs_nothing_but_yaml() -> None:
    """CI asks before it installs the rest."""
    code = (
        "import sys; from repo.__main__ import VERBS; from repo.lib.command import run;"
        "run('repo', VERBS, ['plan', '--since', 'HEAD']);"
        "print({n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names)"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    loaded = {name for name in ast.literal_eval(done.stdout.splitlines()[-1]) if not name.startswith("_")}
    assert loaded <= {"repo", "yaml", "cython_runtime"}, loaded
