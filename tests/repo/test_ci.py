"""`ci`: what the plan asks for is run in ci.yml's order, and the verdict names what is red."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repo import ci, plan
from repo.lib import change
from tests.support.process import Answer
from tests.support.repository import ROOT, commit, git
from tests.support.specimens import MODEL

Ask = Callable[..., Answer]
PLAN: dict[str, Any] = {
    "since": "0" * 40,
    "changed": 2,
    "datasets": ["specimen_trips"],
    "models": [{"name": "specimen_delay", "stages": ["train", "gates", "build", "rehearse"]}],
    "code": True,
    "tests": ["serving"],
    "manifests": True,
    "nothing": False,
}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run instead of being run; a line that holds the word of FAIL fails."""
    lines: list[str] = []

    def run(command: list[str], env: dict[str, str], check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        assert HIDING.isdisjoint(env)
        lines.append(shlex.join(command))
        return subprocess.CompletedProcess(command, int(any(word in lines[-1] for word in FAIL)))

    FAIL.clear()
    for name in HIDING:
        monkeypatch.setenv(name, "-k nothing")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr("repo.ci.subprocess.run", run)
    monkeypatch.setattr(plan, "plan", lambda since: PLAN | {"since": since * 40})
    return lines


FAIL: list[str] = []
HIDING = {"PYTEST_ADDOPTS", "PYTEST_PLUGINS"}  # by which a person's own runs leave out a test
PLANNED = {name: lines for name, lines in ci.JOBS.items() if name != "release"}
CONTRACT = "python -m serving contract specimen_delay --since {} --report models/specimen_delay/build/contract.md"
DIFF = "python -m deploy diff --since {} --report deploy/build/diff.md"


def test_all_of_a_plan_is_run_in_the_order_of_the_jobs(called: list[str], verb: Ask) -> None:
    answer = verb("ci", "--since", "1")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("ci: green, 8 jobs in ")
    names = {"model": "specimen_delay", "dataset": "specimen_trips", "part": "serving", "since": "1" * 40}
    expected = [shlex.join(shlex.split(line.format(**names))) for lines in PLANNED.values() for line in lines]
    assert called == expected


def test_what_the_plan_leaves_out_is_not_run(called: list[str], monkeypatch: pytest.MonkeyPatch, verb: Ask) -> None:
    left = {"code": False, "tests": [], "manifests": False, "datasets": []}
    models = [{"name": "specimen_delay", "stages": ["build"]}]
    monkeypatch.setattr(plan, "plan", lambda _: PLAN | left | {"models": models})
    assert verb("ci").code == 0
    assert called == [CONTRACT.format("0" * 40), "python -m serving build specimen_delay"]


def test_a_red_stage_ends_its_model_and_nothing_else(called: list[str], verb: Ask) -> None:
    FAIL.append("models reproduce")
    answer = verb("ci")
    assert answer.code == 1
    assert answer.out.splitlines()[-1].startswith("ci: RED: train specimen_delay, 5 jobs in ")
    assert "ci train specimen_delay: `python -m models reproduce specimen_delay` failed (1)" in answer.out
    assert not any("serving build" in line for line in called)
    assert called[-1] == DIFF.format("main" * 40)


def test_one_job_is_a_step_of_the_workflow(called: list[str], verb: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    verify = "::group::python -m deploy verify\n::endgroup::\n"
    assert verb("ci", "manifests").out == f"{verify}::group::{DIFF.format('main')}\n::endgroup::\n"
    called.clear()
    FAIL.append("serving contract")  # what breaks callers is not built
    answer = verb("ci", "build", "specimen_delay", "--since", "abc")
    assert (answer.code, called) == (1, [CONTRACT.format("abc")])
    assert "::error title=ci build specimen_delay::ci build specimen_delay: `python -m serving contract" in answer.out


def test_tests_beside_a_model_run_with_its_gates(
    called: list[str], verb: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of its behaviour ran as a gate; without others pytest would find none, which is red."""
    shutil.copytree(".", tmp_path / "tree")
    monkeypatch.chdir(tmp_path / "tree")
    every = "python -m pytest tests/models/test_every_model.py -k '[specimen_delay]'"
    assert verb("ci", "gates", "specimen_delay").code == 0
    assert called[-1] == every
    (MODEL / "test_network.py").touch()
    assert verb("ci", "gates", "specimen_delay").code == 0
    assert called[-2:] == [every, "python -m pytest models/specimen_delay"]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["nothing"], "there is no job 'nothing'; jobs: code, tests, data,"),
        (["release"], "the job release needs a model; there are: "),
        (["data", "../specimen_trips"], "the job data needs a dataset; there are: "),
        (["code", "specimen_trips"], "the job code is about everything; leave 'specimen_trips' out."),
    ],
)
def test_a_job_that_is_not_there_is_one_sentence(called: list[str], verb: Ask, words: list[str], printed: str) -> None:
    answer = verb("ci", *words)
    assert (answer.code, called) == (2, [])
    assert printed in answer.error


def test_every_verb_of_a_job_is_there() -> None:
    assert list(ci.JOBS)[3:7] == change.STAGES
    for lines in ci.JOBS.values():
        verbs = {f"{stage}/{verb}.py" for line in lines for stage, verb in re.findall(r"-m (\w+) (\w+)", line)}
        there = {path for path in verbs if path.partition("/")[0] in change.GROUND}
        assert [path for path in there if not (ROOT / path).is_file()] == []


def test_make_ci_and_the_workflow_run_nothing_else() -> None:
    assert re.search(
        r"^ci:.*\n\t\$\(BIN\)/python -m repo ci --since \$\(BASE\)$", (ROOT / "Makefile").read_text(), re.M
    )
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert set(re.findall(r"python -m repo ci (\w+)", workflow)) == set(PLANNED)


@pytest.mark.slow
def test_a_token_turns_the_code_red_in_a_new_file_and_in_a_commit_that_a_later_one_took_back(tmp_path: Path) -> None:
    """The scanner is somebody else's; this holds what it is asked, and that its log does not repeat what it found."""
    (tree,) = re.findall(r"(?m)^\t(git grep .*kingfisher .*)$", (ROOT / "Makefile").read_text())
    tree = tree.replace("$(BIN)", str(Path(sys.executable).parent))
    (history,) = (line for line in ci.JOBS["code"] if line.startswith("kingfisher "))

    def found(line: str) -> str:
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert bool(done.returncode) is bool(done.stdout), done.stderr
        return done.stdout

    git("init", "--quiet", root=tmp_path)
    (tmp_path / ".gitignore").write_text("ignored\n")
    (tmp_path / "ignored").write_text(token := f"token = 'ghp_{secrets.token_hex(18)}'\n")  # whose it is stays here
    base = commit(tmp_path)
    assert (found(tree), found(history.format(since=base))) == ("", "")
    (tmp_path / "used.py").write_text(token)
    assert "used.py" in found(tree)
    commit(tmp_path)
    (tmp_path / "used.py").unlink()
    commit(tmp_path)
    assert "used.py" in (printed := found(history.format(since=base)))
    assert token[9:-2] not in printed
