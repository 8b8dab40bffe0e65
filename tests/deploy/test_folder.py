"""A folder is replaced in one step: a kill at any moment leaves a whole release, and where that cannot be, nothing."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from deploy.lib import folder as swap
from deploy.lib import release
from repo.lib import files
from tests.deploy.tree import Tree, content, folder


class Failing:
    """A C library whose calls fail, as on a file system that cannot exchange."""

    def renameat2(self, *_: object) -> int:
        return -1

    renamex_np = renameat2


@pytest.mark.parametrize("library", [object(), Failing()], ids=["no such call", "the call fails"])
def test_a_file_system_without_an_exchange_is_refused_and_nothing_changes(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    tree.release("a", "staging")
    before = content(folder("staging"))
    tree.build("newer")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    answer = tree.promote("staging", "b")
    assert (answer.code, "cannot be replaced in one step" in answer.error) == (2, True)
    assert content(folder("staging")) == before


Write = Callable[[release.Release], None]
WRITERS = ("deploy/lib/folder.py", "deploy/lib/release.py", "repo/lib/files.py", "shutil.py", Path(__file__).name)


def naive(new: release.Release) -> None:
    """What the atomic exchange is for: one whole file after the other."""
    for name, data in new.files.items():
        files.write(new.folder / name, data)


def removing(new: release.Release) -> None:
    """The other tempting way, which has a moment without a release."""
    shutil.rmtree(swap.STAGED, ignore_errors=True)
    for name, data in new.files.items():
        files.write(swap.STAGED / name, data)
    shutil.rmtree(new.folder)
    swap.STAGED.rename(new.folder)


def killed_at(line: int, write: Write, new: release.Release) -> bool:
    """Write in a child process that SIGKILLs itself at its n-th line; False if it ended before that."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(WRITERS):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            write(new)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def states_after_kills(write: Write, old: release.Release | None, new: release.Release) -> Iterator[str]:
    """What stood in the folder after a kill at each line in turn: "old", "new" or what else."""
    for line in range(10_000):
        shutil.rmtree(new.folder, ignore_errors=True)
        if old:
            new.folder.mkdir(parents=True)
            for name, data in old.files.items():
                (new.folder / name).write_bytes(data)
        killed = killed_at(line, write, new)
        now = content(new.folder)
        known = {"new": new.files, "old": old.files if old else {}}
        yield next((name for name, held in known.items() if now == held), f"a mixture of {sorted(now)}")
        if not killed:
            return
    raise AssertionError("the write never ended")


@pytest.fixture
def two(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> tuple[release.Release, release.Release]:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # for a loss of power, not for a kill; it takes most of the time
    made = []
    for letter in "ab":
        tree.release(letter, "staging")
        made.append(release.read("staging", "specimen_delay"))
    assert made[0]
    assert made[1]
    return made[0], made[1]


@pytest.mark.slow
def test_killed_at_any_moment_the_tree_holds_the_old_release_or_the_new_one(
    tree: Tree, two: tuple[release.Release, release.Release]
) -> None:
    old, new = two
    states = list(states_after_kills(release.write, old, new))
    assert set(states) == {"old", "new"}
    assert states == sorted(states, reverse=True)  # old until one moment, new from then on
    assert len(states) > 40  # the kills did fall into the work
    assert tree.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_a_first_release_killed_at_any_moment_is_absent_or_whole(two: tuple[release.Release, release.Release]) -> None:
    assert set(states_after_kills(release.write, None, two[1])) == {"old", "new"}


@pytest.mark.slow
@pytest.mark.parametrize("write", [naive, removing])
def test_the_kills_catch_a_writer_that_is_not_atomic(
    two: tuple[release.Release, release.Release], write: Write
) -> None:
    assert any(state not in ("old", "new") for state in states_after_kills(write, *two))


def test_what_a_killed_promotion_left_is_seen_by_nobody_and_removed_by_the_next(tree: Tree) -> None:
    tree.release("a", "staging")
    swap.STAGED.mkdir(parents=True)
    (swap.STAGED / "passport.yaml").write_text("half")
    assert tree.git("status", "--porcelain") == ""
    assert tree.deploy("verify").code == 0
    tree.build("newer")
    assert tree.promote("staging", "b").code == 0
    assert not swap.STAGED.exists()
    assert set(content(folder("staging"))) == {"kustomization.yaml", "passport.yaml", "resources.yaml"}
