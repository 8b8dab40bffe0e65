"""Changes on top of a bare repository that stands in for GitHub's: none lost, nothing local touched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repo.lib import git as git_of_verbs
from repo.lib import origin, pull_request
from repo.lib.origin import Edit
from repo.lib.refusal import Refusal
from tests.conftest import Once
from tests.github.hub import Hub
from tests.support import gh as stand_in
from tests.support import trees
from tests.support.process import program
from tests.support.repository import ROOT, commit, git

WRITER = """
import sys
from pathlib import Path
from repo.lib import origin
def apply():
    Path("all").write_text(Path("all").read_text() + sys.argv[1] + chr(10))
    return origin.Edit("Add " + sys.argv[1])
assert origin.push("main", apply)
"""


def make_origin(root: Path) -> None:
    """A bare repository whose main has one commit."""
    seed = root / "seed"
    git("init", "--quiet", "--initial-branch=main", "--template=", str(seed))
    (seed / "all").write_text("")
    (seed / "here").write_text("here")
    commit(seed)
    git("clone", "--quiet", "--bare", "--template=", str(seed), str(root / "origin"))


@pytest.fixture
def remote(once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Git does not know who those are that push to it."""
    made = trees.copy(once("origin-of-landing", make_origin) / "origin", tmp_path / "origin")
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_", "GH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(origin, "LONGEST_PAUSE", 0)
    return made


def clone(remote: Path, name: str) -> Path:
    git("clone", "--quiet", "--template=", str(remote), str(remote.parent / name))
    return remote.parent / name


@pytest.fixture(autouse=True)
def here(remote: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = clone(remote, "here")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """GitHub, on which a stranger's fork has proposed branches of every name that these tests use."""
    hub = stand_in.install(tmp_path, monkeypatch)
    hub.strangers("promote/x", "retrain/x", "release/x")
    yield hub
    hub.demand_untouched()


def add(name: str = "new", text: str = "new", close_with: str = "") -> Callable[[], Edit]:
    def apply() -> Edit:
        Path(name).write_text(text)
        return Edit(f"Add {name}", "the **body**", close_with)

    return apply


def theirs(root: Path, branch: str = "main") -> None:
    """Somebody else pushes what that clone has, and more."""
    who = ("-c", "user.name=o", "-c", "user.email=o@example.org")
    git(*who, "commit", "--allow-empty", "--all", "--quiet", "--message", "mine", root=root)
    git("push", "--quiet", "origin", f"HEAD:{branch}", root=root)


def tip(remote: Path, branch: str = "main") -> str:
    return git("log", "-1", "--format=%s by %an", branch, root=remote)


def test_a_push_lands_on_main_and_leaves_the_clone_as_it_was(here: Path, remote: Path) -> None:
    (here / "here").write_text("a person's work")
    (here / "untracked").write_text("more of it")
    head = git("rev-parse", "HEAD")
    pushed = origin.push("main", add())
    assert git("rev-parse", "main", root=remote) == pushed
    assert tip(remote) == "Add new by github-actions[bot]"
    assert (git("rev-parse", "HEAD"), git("status", "--short")) == (head, "M here\n?? untracked")
    assert git("worktree", "list").count("\n") == 0
    assert origin.push("main", add("here", "here")) is None
    assert origin.push("main", lambda: None) is None
    assert git("rev-parse", "main", root=remote) == pushed, "what changes nothing is not pushed"


def test_who_is_too_late_applies_the_change_again_to_what_is_there_then(remote: Path) -> None:
    other, seen = clone(remote, "other"), []

    def apply() -> Edit:
        seen.append(Path("all").read_text())
        if len(seen) == 1:  # somebody else is faster
            (other / "all").write_text("theirs\n")
            theirs(other)
        Path("all").write_text(Path("all").read_text() + "ours\n")
        return Edit("ours")

    assert origin.push("main", apply)
    assert seen == ["", "theirs\n"]
    assert git("show", "main:all", root=remote) == "theirs\nours"


def test_of_four_at_once_none_is_lost(remote: Path) -> None:
    """They all change the same line of the same file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, f"w{number}"], cwd=clone(remote, f"c{number}"), env=environment)
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert sorted(git("show", "main:all", root=remote).split()) == ["w0", "w1", "w2", "w3"]


def test_it_gives_up_when_it_is_always_too_late(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, calls = clone(remote, "other"), []

    def apply() -> Edit:
        calls.append("")
        theirs(other)
        return add()()

    monkeypatch.setattr(origin, "TRIES", 3)
    with pytest.raises(Refusal, match="main moved on 3 times while this was pushed; nothing was changed there"):
        origin.push("main", apply)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("says", "kind"),
    [("GH013: Repository rule violations found for refs/heads/main", origin.Protected), ("disk full", Refusal)],
)
def test_a_refusal_of_origin_is_told_and_not_tried_again(remote: Path, says: str, kind: type[Refusal]) -> None:
    tries = remote.parent / "tries"
    program(remote / "hooks", "pre-receive", f"echo >> {tries}\necho 'error: {says}' >&2\nexit 1")
    with pytest.raises(kind, match=re.escape(f"({says})")) as refused:
        origin.push("main", add())
    assert type(refused.value) is kind
    assert tries.read_text() == "\n"


def test_an_edit_that_fails_leaves_no_tree(here: Path) -> None:
    def apply() -> Edit:
        raise Refusal("no.")

    with pytest.raises(Refusal, match=r"^no\."):
        origin.push("main", apply)
    assert git("worktree", "list").count("\n") == 0
    assert Path.cwd() == here


def test_a_proposal_is_a_branch_with_a_pull_request_and_its_checks(
    gh: Hub, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")  # GitHub would start none
    assert origin.propose("main", "promote/x", add()) == gh.own()["html_url"]
    assert tip(remote, "promote/x") == "Add new by github-actions[bot]"
    assert git("rev-parse", "promote/x~1", root=remote) == git("rev-parse", "main", root=remote)
    assert gh.calls() == ["POST pulls", "POST actions/workflows/ci.yml/dispatches"]
    assert (gh.own()["head"]["ref"], gh.own()["base"]["ref"], gh.dispatched()) == ("promote/x", "main", ["promote/x"])
    assert (gh.own()["title"], gh.own()["body"]) == ("Add new", "the **body**")


def test_a_proposal_is_renewed_in_its_place_and_the_same_one_stays(gh: Hub, remote: Path) -> None:
    address = origin.propose("main", "promote/x", add())
    first = git("rev-parse", "promote/x", root=remote)
    assert origin.propose("main", "promote/x", add()) == address
    assert git("rev-parse", "promote/x", root=remote) == first, "approvals would be dismissed"
    origin.push("main", add("other"))
    origin.propose("main", "promote/x", add(text="newer"))
    assert git("show", "promote/x:new", root=remote) == "newer"
    assert git("rev-parse", "promote/x~1", root=remote) == git("rev-parse", "main", root=remote)
    assert gh.calls() == ["POST pulls", *[f"PATCH pulls/{gh.own()['number']}"] * 2]


def test_what_main_has_is_not_proposed(gh: Hub, remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert origin.propose("main", "promote/x", add("here", "here")) is None
    assert origin.propose("main", "promote/x", lambda: None) is None
    assert "nothing to propose" in capsys.readouterr().out
    assert (git("branch", "--list", "promote/x", root=remote), gh.calls()) == ("", [])


def test_a_proposal_for_the_record_is_closed_with_its_reason_and_starts_no_checks(
    gh: Hub, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")
    for text in ("new", "newer"):
        found = origin.propose("main", "retrain/x", add(text=text, close_with="Not better."))
        assert (gh.own()["html_url"], gh.own()["state"], gh.own()["comments"]) == (found, "closed", ["Not better."])
    assert tip(remote, "retrain/x").startswith("Add new"), "the evidence is gone"
    assert gh.dispatched() == []


@pytest.mark.parametrize(
    ("states", "text", "again"),
    [
        (["merged", "closed"], "new", False),
        (["closed"], "newer", True),
        (["closed", "open"], "new", True),
        (["merged"], "new", True),
        ([], "new", True),
    ],
)
def test_what_was_closed_for_the_record_is_not_proposed_every_week(
    gh: Hub, capsys: pytest.CaptureFixture[str], states: list[str], text: str, again: bool
) -> None:
    """Also when main has moved on by something else; states of its pull requests, the oldest first."""
    origin.propose("main", "retrain/x", add(close_with="Not better."))
    origin.push("main", add("other"))
    gh.forget()
    for state in states:
        gh.propose("retrain/x", state=state)
    found = origin.propose("main", "retrain/x", add(text=text, close_with="Not better."))
    assert (found is not None) == again
    assert ("proposed the very same and was closed" in capsys.readouterr().out) is not again


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("GitHub Actions is not permitted to create or approve pull requests", "allow it in Settings, Actions"),
        ("To get started with GitHub CLI, please run: gh auth login", "log in with `gh auth login`. Or open it"),
        (None, "gh is not on PATH; install it. Or open it by hand"),
    ],
)
def test_where_no_pull_request_can_be_opened_the_branch_and_its_text_are_there(
    gh: Hub,
    remote: Path,
    fail: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gh.fail(fail or "")
    found = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    if fail is None:
        program(remote.parent / "bin", "git", f'exec {found} "$@"')
        monkeypatch.setenv("PATH", str(remote.parent / "bin"))
    assert origin.propose("main", "promote/x", add()) == "promote/x"
    printed = capsys.readouterr().out
    assert message in printed
    assert "the **body**" in printed
    assert tip(remote, "promote/x").startswith("Add new")
    pull_request.dispatch("work")
    monkeypatch.setenv("DISPATCH", "ci.yml")
    with pytest.raises(Refusal, match=r"work is pushed, but ci\.yml was not started: "):
        pull_request.dispatch("work")


def test_whatever_asks_origin_has_the_token(gh: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Origin may be private, and no token lies in .git."""
    origin.propose("main", "promote/x", add())
    asked: list[tuple[str, ...]] = []

    def record(*words: str, given: bytes = b"") -> bytes:
        asked.append(words)
        return git_of_verbs.git(*words, given=given)

    monkeypatch.setattr(origin, "git", record)
    monkeypatch.setattr(origin, "credentials", lambda: ["-c", "credential.helper="])
    origin.propose("main", "promote/x", add(text="newer"))
    remote = [words for words in asked if {"ls-remote", "fetch", "push"} & set(words)]
    assert len(remote) > 2
    assert [words for words in remote if "credential.helper=" not in words] == []
    assert gh.calls()


def test_a_token_is_handed_over_by_gh_and_stands_in_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin.credentials() == []
    monkeypatch.setenv("GH_TOKEN", "a-secret")
    assert "!gh auth git-credential" in origin.credentials()[-1]
    assert "a-secret" not in str(origin.credentials())


def test_somebody_elses_commits_on_a_proposal_are_not_overwritten(gh: Hub, remote: Path) -> None:
    origin.propose("main", "promote/x", add())
    other = clone(remote, "other")
    git("checkout", "--quiet", "promote/x", root=other)
    theirs(other, "promote/x")
    with pytest.raises(Refusal, match=r"has commits by somebody else .*`git push origin --delete promote/x`"):
        origin.propose("main", "promote/x", add(text="newer"))
    assert (tip(remote, "promote/x"), len(gh.calls())) == ("mine by o", 1)


def test_a_proposal_that_came_meanwhile_is_not_overwritten(
    gh: Hub, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.propose("main", "promote/x", add())
    monkeypatch.setattr(origin, "_fetch_tip", lambda _: "")
    with pytest.raises(Refusal, match=r"pushing promote/x failed \(.*stale info"):
        origin.propose("main", "promote/x", add(text="newer"))
    assert (git("show", "promote/x:new", root=remote), len(gh.calls())) == ("new", 1)


def test_a_tree_that_was_interrupted_while_it_was_made_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    real = git_of_verbs.git

    def interrupted(*words: str, **options: bytes) -> bytes:
        done = real(*words, **options)  # type: ignore[arg-type]
        if words[:2] == ("worktree", "add"):
            real("worktree", "lock", words[-2])
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr("repo.lib.origin.git", interrupted)
    with pytest.raises(KeyboardInterrupt):
        origin.push("main", add())
    assert git("worktree", "list").count("\n") == 0
    assert not list(Path(".git").glob("worktrees/*"))


def test_who_is_interrupted_while_it_is_pushed_is_told_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(origin, "push_head", interrupted)
    with pytest.raises(Refusal, match="main may have it or not; look: `git fetch origin && git log origin/main`"):
        origin.push("main", add())
