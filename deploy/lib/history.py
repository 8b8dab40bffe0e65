"""What Git knows of releases: which there were, by which commit, and what is not committed.

`git log -- deploy/releases/production/flight_delay` shows the same to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from deploy.lib.release import FILES, RELEASES, Release, every, place
from repo.lib.git import blobs, git
from repo.lib.refusal import Refusal


@dataclass(frozen=True)
class Entry:
    """A release as one commit left it."""

    commit: str
    when: datetime
    release: Release


def entries(environment: str, model: str, until: str = "HEAD", own_line: bool = False) -> Iterator[Entry]:
    """Every release that this environment had, newest first, up to the commit `until`.

    `own_line` leaves out what only a merged branch had: on main it gives what the cluster was told to run.
    """
    _demand_whole()
    where = place(environment, model)
    merges = "--first-parent" if own_line else "--full-history"
    listed = git("rev-list", "--timestamp", merges, until, "--", str(where)).decode().splitlines()
    for line in listed:
        seconds, commit = line.split()
        content = {name: data for name, data in _files(commit, where).items() if name in FILES}
        if content:  # nothing: this commit removed the release
            when = datetime.fromtimestamp(int(seconds)).astimezone()
            yield Entry(commit, when, Release(environment, model, content))


def standing(environment: str, model: str) -> Release | None:
    """The release of HEAD: what the cluster is told to run, whatever stands uncommitted in the tree."""
    content = {name: data for name, data in _files("HEAD", place(environment, model)).items() if name in FILES}
    return Release(environment, model, content) if content else None


def with_image(digest: str) -> Iterator[Release]:
    """Every release, of any model, whose passport holds this digest: those of the working tree, then those of history.

    Git is asked once for all models, and names the commits in which the digest came or went.
    """
    _demand_whole()
    holding = digest.encode()
    yield from (each for each in every() if holding in each.files.get("passport.yaml", b""))
    passports = f":(glob){RELEASES}/*/*/passport.yaml"
    arguments = ["log", "-m", "--full-history", "--format=", "--raw", "--abbrev=64", "--no-renames", f"-S{digest}"]
    for line in git(*arguments, "--", passports).decode().splitlines():
        about, path = line.split("\t")
        *_, blob, change = about.split()
        content = _blob(blob) if change != "D" else b""
        if holding in content:
            environment, model, name = Path(path).parts[-3:]
            yield Release(environment, model, {name: content})


def uncommitted(*paths: str | Path) -> list[str]:
    """Files at or under these paths (or Git pathspecs) that differ from HEAD, untracked ones included."""
    listed = git("status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", "--", *map(str, paths))
    return [line[3:] for line in listed.decode().split("\0") if line]


def files(commit: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The bytes of files as a commit has them; nothing of a commit that this clone has not."""
    try:
        return blobs(commit, paths)
    except Refusal:
        return {}


def tracked(path: Path) -> bool:
    return bool(git("ls-files", "--", str(path)))


def show(commit: str, path: Path) -> bytes | None:
    """A file as this commit has it; None if it has none."""
    return _files(commit, path.parent).get(path.name)


def _files(commit: str, folder: Path) -> dict[str, bytes]:
    """Name and bytes of the files right in a folder, as this commit has them."""
    listed = git("ls-tree", "-z", commit, f"{folder}/").decode()
    found = {}
    for line in filter(None, listed.split("\0")):
        about, path = line.split("\t", 1)
        _, kind, identity = about.split()
        if kind == "blob":
            found[Path(path).name] = _blob(identity)
    return found


@lru_cache(maxsize=4096)
def _blob(identity: str) -> bytes:
    return git("cat-file", "blob", identity)


def _demand_whole() -> None:
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise Refusal(
            "this clone is shallow, and releases are held against all of history; run `git fetch --unshallow`."
        )
