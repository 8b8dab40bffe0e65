"""What Git knows of releases: which there were, by which commit, and what is not committed.

`git log -- deploy/releases/production/flight_delay` shows the same to a person.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy.lib.release import FILES, OPTIONAL, RELEASES, Release, every, place
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

    `own_line` leaves out what only a merged branch had: on main it gives what the cluster was given to run.
    """
    demand_whole()
    where = str(place(environment, model))
    merges = "--first-parent" if own_line else "--full-history"
    listed = git("rev-list", "--timestamp", merges, until, "--", where).decode().splitlines()
    for line in listed:
        seconds, commit = line.split()
        if found := at(commit, environment, model):  # None: this commit removed the release
            yield Entry(commit, datetime.fromtimestamp(int(seconds)).astimezone(), found)


def with_image(digest: str) -> Iterator[Release]:
    """Every release, of any model, whose passport holds this digest: those of the working tree, then those of history.

    Git is asked once for all models, and names the commits in which the digest came or went.
    """
    demand_whole()
    holding = digest.encode()
    yield from (each for each in every() if holding in each.files.get("passport.yaml", b""))
    passports = f":(glob){RELEASES}/*/*/passport.yaml"
    arguments = ["log", "-m", "--full-history", "--format=", "--raw", "--abbrev=64", "--no-renames", f"-S{digest}"]
    for line in git(*arguments, "--", passports).decode().splitlines():
        about, path = line.split("\t")
        *_, blob, change = about.split()
        content = git("cat-file", "blob", blob) if change != "D" else b""
        if holding in content:
            environment, model, name = Path(path).parts[-3:]
            yield Release(environment, model, {name: content})


def uncommitted(*paths: str | Path) -> list[str]:
    """Files at or under these paths (or Git pathspecs) that differ from HEAD, untracked ones included."""
    listed = git("status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", "--", *map(str, paths))
    return [line[3:] for line in listed.decode().split("\0") if line]


def show(commit: str, path: Path) -> bytes | None:
    """A file as this commit has it; None if it has none."""
    return blobs(commit, [str(path)]).get(str(path))


def at(commit: str, environment: str, model: str) -> Release | None:
    """The release as this commit has it, with those of its files that are there; None where there is none.

    That of HEAD is what the cluster is given to run, whatever stands uncommitted in the tree.
    """
    paths = {str(place(environment, model) / name): name for name in (*FILES, *OPTIONAL)}
    content = {paths[path]: data for path, data in blobs(commit, list(paths)).items()}
    return Release(environment, model, content) if content else None


def demand_whole() -> None:
    """A shallow clone does not know the releases before."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise Refusal(
            "this clone is shallow, and releases are held against all of history; run `git fetch --unshallow`."
        )
