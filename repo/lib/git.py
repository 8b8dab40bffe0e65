"""What Git knows: the one place that calls it."""

import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from repo.lib import process
from repo.lib.process import NotInstalledError as NoGit
from repo.lib.refusal import Refusal

__all__ = ["NoGit", "archived", "blobs", "changed", "contents", "found_commit", "git", "merge_base"]


def git(*arguments: str, root: Path = Path(), given: bytes = b"") -> bytes:
    """Standard output of one Git command in `root`; a failure becomes a Refusal. `given` is its standard input."""
    return process.run(["git", "-C", str(root), *arguments], f"git {' '.join(arguments)} failed", given=given)


def contents(commit: str, paths: Sequence[str]) -> dict[str, str]:
    """The text of files as a commit has them; without those that it does not have."""
    return {path: content.decode(errors="replace") for path, content in blobs(commit, paths).items()}


def blobs(commit: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The bytes of files as a commit has them; without those that it does not have. Git is asked once for all."""
    names = "".join(f"{commit}:{path}\n" for path in paths)
    answer, found, at = git("cat-file", "--batch", given=names.encode()), dict[str, bytes](), 0
    for path in paths:
        about, at = answer[at : answer.index(b"\n", at)].split(), answer.index(b"\n", at) + 1
        if about[-1] != b"missing":
            size = int(about[-1])
            found[path] = answer[at : at + size]
            at += size + 1
    return found


def merge_base(since: str) -> str:
    """The commit where a change starts that goes to `since`; a clone that never had the branch has its origin's."""
    shallow = git("rev-parse", "--is-shallow-repository").strip() == b"true"
    commit = found_commit(since) or found_commit(f"origin/{since}")
    if commit is None and shallow:
        raise Refusal(f"this clone is shallow and lacks {since}; fetch it with `git fetch --unshallow origin {since}`.")
    if commit is None:
        raise Refusal(f"--since {since} is not a commit of this clone; name one, or `git fetch origin {since}`.")
    try:
        return git("merge-base", commit, "HEAD").decode().strip()
    except Refusal:
        fix = "fetch the rest with `git fetch --unshallow origin`" if shallow else "name one that HEAD comes from"
        raise Refusal(f"--since {since} has no commit in common with HEAD here; {fix}.") from None


def changed(base: str) -> list[str]:
    """Every path that differs; a rename is its old path and its new one."""
    differ = git("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base, "--")
    new = git("ls-files", "--others", "--exclude-standard", "-z")
    return sorted({os.fsdecode(path) for path in (differ + new).split(b"\0") if path})


@contextmanager
def archived(commit: str, paths: Sequence[str] = (), without: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary folder with what a commit has at or under these paths (default: all), but for these patterns."""
    there = [path for path in paths if git("ls-tree", commit, "--", path)]  # Git refuses an archive of what is not
    with tempfile.TemporaryDirectory(prefix="commit-") as folder:
        if there or not paths:
            spared = [f":(exclude){pattern}" for pattern in without]
            content = git("archive", "--format=zip", commit, "--", *there, *spared)
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(folder)
        yield Path(folder)


def found_commit(name: str) -> str | None:
    """The hash of a commit by any of its names; None where there is none such."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except NoGit:
        raise
    except Refusal:
        return None
