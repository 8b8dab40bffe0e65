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
from tests.support.repository import ROOT, commit, git

WRITER = """
import sys
from pathlib import Path
from repo.lib import origin
def apply():
    Path(sys.argv[1]).write_text("mine")
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
def clone(once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Clones of one origin, whose main has one commit; Git does not know who they are."""
    trees.copy(once("origin-of-landing", make_origin) / "origin", tmp_path / "origin")
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_", "GH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(origin, "LONGEST_PAUSE", 0)

    def make(name: str) -> Path:
        git("clone", "--quiet", "--template=", str(tmp_path / "origin"), str(tmp_path / name))
        return tmp_path / name

    return make


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return tmp_path / "origin"


@pytest.fixture
def here(clone: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    root = clone("here")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """GitHub, on which a stranger's fork has proposed branches of every name that these tests use."""
    hub = stand_in.install(tmp_path, monkeypatch)
    hub.strangers("promote/x", "retrain/x", "release/x")
    yield hub
    hub.demand_untouched()


def add(name: str = "new", text: str = "new") -> Callable[[], Edit]:
    def apply() -> Edit:
        Path(name).write_text(text)
        return Edit(f"Add {name}", "the **body**")

    return apply


def tip(remote: Path, branch: str = "main") -> str:
    return git("log", "-1", "--format=%s by %an", branch, root=remote)


def test_a_push_lands_on_main_and_leaves_the_clone_as_it_was(here: Path, tmp_path: Path) -> None:
    (here / "here").write_text("a person's work")
    (here / "untracked").write_text("more of it")
    head = git("rev-parse", "HEAD")
    pushed = origin.push("main", add())
    assert git("rev-parse", "main", root=tmp_path / "origin") == pushed
    assert tip(tmp_path / "origin") == "Add new by github-actions[bot]"
    assert (git("rev-parse", "HEAD"), git("status", "--short")) == (head, "M here\n?? untracked")
    assert git("worktree", "list").count("\n") == 0


@pytest.mark.usefixtures("here")
def test_what_changes_nothing_is_not_pushed(tmp_path: Path) -> None:
    before = git("rev-parse", "main", root=tmp_path / "origin")
    assert origin.push("main", add("here", "here")) is None
    assert origin.push("main", lambda: None) is None
    assert git("rev-parse", "main", root=tmp_path / "origin") == before


@pytest.mark.usefixtures("here")
def test_who_is_too_late_applies_the_change_again_to_what_is_there_then(
    clone: Callable[[str], Path], tmp_path: Path
) -> None:
    other, seen = clone("other"), []

    def apply() -> Edit:
        seen.append(Path("all").read_text())
        if len(seen) == 1:  # somebody else is faster
            (other / "all").write_text("theirs\n")
            git("-c", "user.name=o", "-c", "user.email=o@example.org", "commit", "-qam", "faster", root=other)
            git("push", "--quiet", "origin", "HEAD:main", root=other)
        Path("all").write_text(Path("all").read_text() + "ours\n")
        return Edit("ours")

    assert origin.push("main", apply)
    assert seen == ["", "theirs\n"]
    assert git("show", "main:all", root=tmp_path / "origin") == "theirs\nours"


def test_of_four_at_once_none_is_lost(clone: Callable[[str], Path], tmp_path: Path) -> None:
    """They all change the same line of the same file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, f"w{number}"], cwd=clone(f"c{number}"), env=environment)
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert sorted(git("show", "main:all", root=tmp_path / "origin").split()) == ["w0", "w1", "w2", "w3"]


@pytest.mark.usefixtures("here")
def test_it_gives_up_when_it_is_always_too_late(clone: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    other, calls = clone("other"), []

    def apply() -> Edit:
        calls.append("")
        git(
            "-c",
            "user.name=o",
            "-c",
            "user.email=o@example.org",
            "commit",
            "--allow-empty",
            "-qm",
            "faster",
            root=other,
        )
        git("push", "--quiet", "origin", "HEAD:main", root=other)
        return add()()

    monkeypatch.setattr(origin, "TRIES", 3)
    with pytest.raises(Refusal, match="main moved on 3 times while this was pushed; nothing was changed there"):
        origin.push("main", apply)
    assert len(calls) == 3


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("GH013: Repository rule violations found for refs/heads/main", origin.Protected),
        ("disk full", Refusal),
    ],
)
def test_a_refusal_of_origin_is_told_and_not_tried_again(tmp_path: Path, says: str, message: type[Refusal]) -> None:
    hook = tmp_path / "origin/hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho >> {tmp_path}/tries\necho 'error: {says}' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(message, match=re.escape(says)) as refused:
        origin.push("main", add())
    assert isinstance(refused.value, origin.Protected) == (message is origin.Protected)
    assert (tmp_path / "tries").read_text() == "\n"


def test_an_edit_that_fails_leaves_no_tree(here: Path) -> None:
    def apply() -> Edit:
        raise Refusal("no.")

    with pytest.raises(Refusal, match=r"^no\."):
        origin.push("main", apply)
    assert git("worktree", "list").count("\n") == 0
    assert Path.cwd() == here


@pytest.mark.usefixtures("here")
def test_a_proposal_is_a_branch_with_a_pull_request(gh: Hub, remote: Path) -> None:
    assert origin.propose("main", "promote/x", add()) == gh.own()["html_url"]
    assert tip(remote, "promote/x") == "Add new by github-actions[bot]"
    assert git("rev-parse", "promote/x~1", root=remote) == git("rev-parse", "main", root=remote)
    assert gh.calls() == ["POST pulls"]
    assert (gh.own()["head"]["ref"], gh.own()["base"]["ref"]) == ("promote/x", "main")
    assert (gh.own()["title"], gh.own()["body"]) == ("Add new", "the **body**")


@pytest.mark.usefixtures("here")
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


def test_what_main_has_is_not_proposed(here: Path, gh: Hub, remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert origin.propose("main", "promote/x", add("here", "here")) is None
    assert origin.propose("main", "promote/x", lambda: None) is None
    assert "nothing to propose" in capsys.readouterr().out
    assert git("branch", "--list", "promote/x", root=remote) == ""
    assert (here.is_dir(), gh.calls()) == (True, [])


@pytest.mark.usefixtures("here")
def test_checks_are_dispatched_where_github_would_start_none(gh: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")
    origin.propose("main", "promote/x", add())
    assert gh.dispatched() == ["promote/x"]


def for_the_record(text: str = "new") -> Callable[[], Edit]:
    return lambda: Edit(**{**vars(add(text=text)()), "close_with": "Not better."})


@pytest.mark.usefixtures("here")
def test_a_proposal_for_the_record_is_closed_with_its_reason_and_starts_no_checks(
    gh: Hub, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")
    assert origin.propose("main", "retrain/x", for_the_record()) == gh.own()["html_url"]
    assert (gh.own()["state"], gh.own()["comments"]) == ("closed", ["Not better."])
    assert tip(remote, "retrain/x").startswith("Add new"), "the evidence is gone"
    origin.propose("main", "retrain/x", for_the_record("newer"))
    assert (gh.own()["state"], gh.own()["comments"]) == ("closed", ["Not better."])
    assert gh.dispatched() == []


@pytest.mark.usefixtures("here")
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
    origin.propose("main", "retrain/x", for_the_record())
    origin.push("main", add("other"))
    gh.forget()
    for state in states:
        gh.propose("retrain/x", state=state)
    found = origin.propose("main", "retrain/x", for_the_record(text))
    assert (found is not None) == again
    assert ("proposed the very same and was closed" in capsys.readouterr().out) is not again


@pytest.mark.usefixtures("here")
def test_checks_that_cannot_be_started_are_told(gh: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pull_request.dispatch("work")
    assert gh.calls() == []
    monkeypatch.setenv("DISPATCH", "ci.yml")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(Refusal, match=r"work is pushed, but ci\.yml was not started: gh is not on PATH; install it\."):
        pull_request.dispatch("work")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("GitHub Actions is not permitted to create or approve pull requests", "allow it in Settings, Actions"),
        (
            "To get started with GitHub CLI, please run: gh auth login",
            "log in with `gh auth login`. Or open it by hand",
        ),
    ],
)
def test_where_no_pull_request_can_be_opened_the_branch_and_its_text_are_there(
    gh: Hub, remote: Path, fail: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gh.fail(fail)
    assert origin.propose("main", "promote/x", add()) == "promote/x"
    printed = capsys.readouterr().out
    assert message in printed
    assert "the **body**" in printed
    assert tip(remote, "promote/x").startswith("Add new")


@pytest.mark.usefixtures("here")
def test_a_person_without_gh_opens_it_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").symlink_to(
        subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    )
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/mine")
    assert origin.propose("main", "promote/x", add()) == "promote/x"
    assert "gh is not on PATH" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_whatever_asks_origin_has_the_token(gh: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Origin may be private, and no token lies in .git."""
    origin.propose("main", "promote/x", add())
    origin.push("main", add("other"))
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
    monkeypatch.delenv("GH_TOKEN", raising=False)
    assert origin.credentials() == []
    monkeypatch.setenv("GH_TOKEN", "a-secret")
    assert "!gh auth git-credential" in origin.credentials()[-1]
    assert "a-secret" not in str(origin.credentials())


@pytest.mark.usefixtures("here")
def test_somebody_elses_commits_on_a_proposal_are_not_overwritten(
    gh: Hub, remote: Path, clone: Callable[[str], Path]
) -> None:
    origin.propose("main", "promote/x", add())
    other = clone("other")
    git("checkout", "--quiet", "promote/x", root=other)
    git("-c", "user.name=o", "-c", "user.email=o@example.org", "commit", "--allow-empty", "-qm", "mine", root=other)
    git("push", "--quiet", "origin", "promote/x", root=other)
    with pytest.raises(Refusal, match=r"has commits by somebody else .*`git push origin --delete promote/x`"):
        origin.propose("main", "promote/x", add(text="newer"))
    assert tip(remote, "promote/x") == "mine by o"
    assert len(gh.calls()) == 1


@pytest.mark.usefixtures("here")
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


@pytest.mark.usefixtures("here")
def test_who_is_interrupted_while_it_is_pushed_is_told_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(origin, "push_head", interrupted)
    with pytest.raises(Refusal, match="main may have it or not; look: `git fetch origin && git log origin/main`"):
        origin.push("main", add())
