"""`run --push`: what is stale on a branch is run there and pushed, whatever the gates say; nothing local is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.lib import worktree
from tests.github.hub import Hub
from tests.models.scene import Verbs
from tests.support import trees
from tests.support.dvc import answer_here
from tests.support.forks import SECOND
from tests.support.process import Answer, run
from tests.support.repository import ROOT, commit, git
from tests.support.specimens import MODEL

RUN = "models run specimen_delay"


def train(model: Path = MODEL) -> None:
    """What a run changes, build products included."""
    trees.append(model / "dvc.lock")
    trees.append(model / "model.onnx", "more")
    trees.append(model / "build/passport.yaml")


def tip(remote: Path, branch: str = "work") -> str:
    return git("rev-parse", branch, root=remote / "origin")


def test_what_a_run_makes_is_pushed_to_its_branch(
    remote: Path, verbs: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, verbs.effects[RUN] = tip(remote, "main"), train
    answer = verb("run", "specimen_delay", "--push", "work")
    assert (answer.code, answer.error) == (0, "")
    assert (verbs.called, verbs.shared) == ([RUN], [remote / "here"])
    assert answer.out == f"pushed to work: {tip(remote)}\n"
    listed = git("show", "--name-only", "--format=%s", "work", root=remote / "origin").splitlines()
    assert listed == ["Train specimen_delay", "", f"{MODEL}/dvc.lock", f"{MODEL}/model.onnx"]
    assert tip(remote, "main") == before
    assert git("status", "--porcelain") == "", "the clone was touched"
    assert Hub(remote / "hub").calls() == [], "nobody asked for checks"
    monkeypatch.setenv("DISPATCH", "ci.yml")  # GitHub starts none for what its own token pushed
    assert verb("run", "specimen_delay", "--push", "work").code == 0
    assert Hub(remote / "hub").dispatched() == ["work"]


def test_each_model_whose_lock_is_stale_is_run(remote: Path, verbs: Verbs, verb: Callable[..., Answer]) -> None:
    verbs.codes["models run specimen_tip --check"] = 1
    verbs.effects["models run specimen_tip"] = lambda: train(SECOND)
    assert verb("run", "--push", "work").code == 0
    assert verbs.called == [f"{RUN} --check", "models run specimen_tip --check", "models run specimen_tip"]
    assert git("log", "-1", "--format=%s", "work", root=remote / "origin") == "Train specimen_tip"


def test_a_gate_that_fails_is_for_the_checks_to_say(remote: Path, verbs: Verbs, verb: Callable[..., Answer]) -> None:
    before = tip(remote)
    verbs.effects[RUN], verbs.codes[RUN] = train, 1
    assert verb("run", "specimen_delay", "--push", "work").code == 0
    assert verbs.called == [RUN, f"{RUN} --check"]
    assert tip(remote) != before


NOT_PUSHED = {  # the words, the codes of the children or none where nothing changes, what is called, and what is said
    "all up to date": ("--push work", None, 2, "run: on work every model is what its sources make: nothing to push."),
    "the same": (f"{MODEL.name} --push work", None, 1, "on work specimen_delay is what its sources make: nothing to"),
    "killed": (f"{MODEL.name} --push work", {RUN: -9}, 1, f"`python -m {RUN}` ended with -9 (see above)"),
    "broken data": (
        f"{MODEL.name} --push work",
        {RUN: 1, f"{RUN} --check": 1},
        2,
        f"`python -m {RUN}` came to no verd",
    ),
    "a check refuses": ("--push work", {f"{RUN} --check": 2}, 1, f"{RUN} --check` ended with 2 (see above); fix that"),
    "main": (f"{MODEL.name} --push main", {}, 0, "main takes pull requests, not pushes; name the branch of one by"),
    "no branch": ("--push elsewhere", {}, 0, "origin's elsewhere cannot be fetched"),
}


@pytest.mark.parametrize("case", NOT_PUSHED)
def test_what_changes_nothing_or_comes_to_no_verdict_is_not_pushed(
    remote: Path, verbs: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")
    words, codes, called, message = NOT_PUSHED[case]
    verbs.effects, verbs.codes, before = ({} if codes is None else {RUN: train}), codes or {}, tip(remote)
    answer = verb("run", *words.split())
    assert (answer.code, answer.error.count("\n")) == ((0, 0) if codes is None else (2, 1))
    assert message in answer.out + answer.error
    assert (len(verbs.called), tip(remote), Hub(remote / "hub").calls()) == (called, before, [])


def test_a_child_works_in_this_folder_and_has_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model's own code runs in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "a-secret")
    Path("tell.py").write_text("import os, sys; print(os.getcwd(), 'a-secret' in os.environ.values()); sys.exit(3)")
    assert worktree.verb("tell") == 3
    assert capfd.readouterr().out == f"$ python -m tell\n{tmp_path} False\n"
    assert os.environ["GH_TOKEN"] == "a-secret"  # noqa: S105 - which is none


@pytest.mark.parametrize(
    ("local", "cache"),
    [("", "clone/.dvc/cache"), ("[cache]\n    dir = ../../shared\n[core]\n    checksum_jobs = 3\n", "shared")],
    ids=["default", "settings of the clone"],
)
def test_dvc_in_a_fresh_tree_uses_the_settings_and_the_cache_of_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: str, cache: str
) -> None:
    for name in ("clone", "tree"):
        (tmp_path / name / ".dvc").mkdir(parents=True)
        shutil.copy(ROOT / ".dvc/config", tmp_path / name / ".dvc")
        git("init", "--quiet", root=tmp_path / name)
    if local:
        (tmp_path / "clone/.dvc/config.local").write_text(local)
    monkeypatch.chdir(tmp_path / "tree")
    answer_here(monkeypatch)
    worktree.share_cache(tmp_path / "clone")
    here = Path()
    assert run("dvc", "cache", "dir", root=here).out.strip() == str(tmp_path / cache)
    if local:
        assert run("dvc", "config", "core.checksum_jobs", root=here).out == "3\n"


@pytest.mark.parametrize("storage", ["git", "dvc"])
def test_bytes_that_git_does_not_hold_are_in_the_remote_before_the_commit(
    remote: Path, verbs: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    message: list[tuple[tuple[str, ...], str]] = []
    monkeypatch.setattr(worktree, "dvc", lambda *words: message.append((words, tip(remote))))
    before = tip(remote)
    verbs.effects[RUN] = lambda: trees.configure(Path(), {"storage": storage, "training.seed": 8})
    assert verb("run", "specimen_delay", "--push", "work").code == 0
    assert tip(remote) != before
    assert message == ([(("push", f"{MODEL}/dvc.yaml:export"), before)] if storage == "dvc" else [])


@pytest.mark.slow
def test_a_stale_lock_is_fixed_for_real_and_what_the_clone_knows_is_not_trained_again(remote: Path, shop: Path) -> None:
    """The slices of the report change: figures are made again, from the network in the clone's cache."""
    clone = remote / "clone"
    trees.copy(shop, clone)
    shutil.rmtree(clone / MODEL / "build")
    git("remote", "add", "origin", str(remote / "origin"), root=clone)
    trees.configure(clone, {"slices": {"carrier": "categories"}})
    commit(clone)
    git("push", "--quiet", "--force", "origin", "HEAD:work", root=clone)
    answer = run("models", "run", "--push", "work", root=clone)
    assert answer.code == 0, answer.error
    assert "run specimen_delay: evaluate: slices of models/specimen_delay/model.yaml changed" in answer.out
    assert "\nevaluate specimen_delay: " in answer.out
    assert "\ntrain specimen_delay: " not in answer.out
    changed = git("show", "--name-only", "--format=", "work", root=remote / "origin")
    assert changed == f"{MODEL}/dvc.lock"
    git("checkout", "--quiet", "--detach", tip(remote), root=clone)
    assert run("models", "run", "specimen_delay", "--check", root=clone).code == 0
