"""Every change of what an environment runs, by main's own line of commits, and what kind of change it was."""

from pathlib import PurePath
from typing import NamedTuple

from deploy.lib import aborted, history
from deploy.lib.release import RELEASES, Release
from repo.lib.git import git

Place = tuple[str, str]  # environment and model


class Commit(NamedTuple):
    hash: str
    seconds: str
    author: str  # "name <address>"
    committer: str
    subject: str


class Change(NamedTuple):
    commit: Commit
    release: Release  # what runs from then on, or what was retired
    what: str
    runs: bool  # the environment has this passport now


def every() -> list[Change]:
    """Oldest first, up to HEAD."""
    had: dict[Place, list[Release]] = {}
    now: dict[Place, Release | None] = {}
    found: list[tuple[Place, Change]] = []
    for commit, place in _landed():
        before, earlier, new = now.get(place), had.setdefault(place, []), history.at(commit.hash, *place)
        if there := new or before:
            what = kind(new, before, earlier, commit.hash) if new else "retired"
            found.append((place, Change(commit, there, what, runs=False)))
        now[place] = new
        earlier += [new] if new else []
    runs = {place: each.files.get("passport.yaml") for place, each in now.items() if each}
    return [
        each._replace(runs=each.release.files.get("passport.yaml", b"") == runs.get(place)) for place, each in found
    ]


def _landed() -> list[tuple[Commit, Place]]:
    """Each commit of the line, with each release that it changed, oldest first; Git is asked once."""
    history.demand_whole()
    line = ["--first-parent", "--diff-merges=first-parent", "--no-show-signature", "--no-renames", "--name-only"]
    listed = git("log", *line, "--format=%x00%H%x00%ct%x00%an <%ae>%x00%cn <%ce>%x00%s", "HEAD", "--", str(RELEASES))
    found: dict[tuple[Commit, Place], None] = {}
    for text in listed.decode(errors="replace").split("\n"):
        if "\0" in text:
            commit = Commit(*text.split("\0")[1:])
        elif len(parts := PurePath(text).parts) == len(RELEASES.parts) + 3:
            found[commit, (parts[-3], parts[-2])] = None
    return [*found][::-1]


def kind(new: Release, before: Release | None, had: list[Release], commit: str) -> str:
    """`before` is what it replaces, if anything; `had` all that this environment had until then, oldest first.

    Back to an image that it had before the one that it leaves is a rollback, and an abort where the commit's list of
    aborted images has the one that it leaves.
    """
    if not new.readable:
        return "unreadable"
    if not had:
        return "first release"
    order = list(dict.fromkeys(each.image.digest for each in had if each.readable))
    left = before.image.digest if before and before.readable else None
    if before and left == new.image.digest:
        differ = sorted(name for name in {*new.files, *before.files} if new.files.get(name) != before.files.get(name))
        return f"settings ({', '.join(differ) or 'other files'})"
    if before is None or new.image.digest not in order[: order.index(left) if left else None]:
        return "promotion"
    listed = aborted.find(left, aborted.at(commit)) if left else None
    return f"abort ({listed.reason})" if listed else "rollback"
