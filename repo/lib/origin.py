"""A change on top of the newest state of a branch of `origin`: pushed, or proposed as a pull request.

Verbs with `--push` or `--propose` end here. The change is made in a tree of its own, so nothing of the clone that a
person works in is touched; and it is made again whenever somebody else was faster, so that concurrent runs never
overwrite each other.
What runs the code of a model, where no token may be, writes what it would land (`carry`); a later job does (`carried`).
"""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from repo.lib import process, pull_request
from repo.lib.files import read_json
from repo.lib.git import git
from repo.lib.refusal import Refusal

MAIN = "main"
TRIES = 10
LONGEST_PAUSE = 8.0  # seconds between two tries
# Who commits where Git does not know who they are, as on a runner: GitHub's own bot.
BOT = {"name": "github-actions[bot]", "email": "41898282+github-actions[bot]@users.noreply.github.com"}
# What a push says when somebody else was faster; all else that it says will be the same a second later.
FASTER = re.compile(r"fetch first|non-fast-forward|stale info|cannot lock ref|failed to update ref|incorrect old value")
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")  # those of a person's clone need what the tree has not got
PATCH, EDIT = "change.patch", "edit.json"
FILE_MODES = {"100644", "100755", "000000"}  # the last of a file that is gone; neither a link nor another repository
PROTECTED = re.compile(r"GH006|GH013|protected branch|rule violations")


@dataclass(frozen=True)
class Edit:
    """What was changed in the tree: the title is the commit's and the pull request's, the body Markdown."""

    title: str
    body: str = ""
    close_with: str = ""  # why its pull request is for the record alone: closed with this comment once it is opened


class Protected(Refusal):
    """The branch takes no push from whoever this is."""


def push(branch: str, apply: Callable[[], Edit | None]) -> str | None:
    """Commit what `apply` changes on top of the newest `branch` and push it; the commit, or None without a change.

    `apply` works in the current directory, a fresh tree, and is called again after every push that came too late. It
    returns None, having printed why, when nothing is to be done.
    """
    for number in range(TRIES):
        if number:
            time.sleep(random.uniform(0, min(0.2 * 2**number, LONGEST_PAUSE)))  # noqa: S311 - spreads writers
        with tree(branch):
            edit = apply()
            if edit is None or not (commit := committed(edit)):
                return None
            try:
                refused = push_head(branch)
            except (KeyboardInterrupt, SystemExit):
                look = f"git fetch origin && git log origin/{branch}"
                raise Refusal(
                    f"interrupted while it was pushed, so {branch} may have it or not; look: `{look}`."
                ) from None
            if not refused:
                return commit
        if PROTECTED.search(refused):
            raise Protected(f"origin lets nobody push to {branch} without its checks ({process.reason(refused)}).")
        if not FASTER.search(refused):
            raise Refusal(f"pushing to {branch} failed ({process.reason(refused)}); fix that and run again.")
    raise Refusal(f"{branch} moved on {TRIES} times while this was pushed; nothing was changed there; run again.")


def propose(base: str, branch: str, apply: Callable[[], Edit | None]) -> str | None:
    """Commit what `apply` changes on top of the newest `base` as `branch`, and open or renew its pull request.

    Returns where to find it, or None where there was no change. The branch belongs to the verb: it is replaced.
    """
    with tree(base):
        edit = apply()
        if edit is None:
            return None
        if not committed(edit):
            print(f"{base} has all of it: nothing to propose.")
            return None
        standing = _fetch_tip(branch)
        same = edit.close_with and _changes_of(standing) == _changes_of("HEAD")
        if same and (address := pull_request.closed(base, branch)):
            print(f"{address} proposed the very same and was closed: nothing to propose.")
            return None
        if standing and not _quietly("merge-base", "--is-ancestor", f"{standing}~1", f"origin/{base}"):
            raise Refusal(
                f"origin's {branch} has commits by somebody else on top of what was proposed; merge its pull request, "
                f"or drop them with `git push origin --delete {branch}`, then run again."
            )
        # Unless it is the very same: a new commit would only dismiss approvals and run checks again.
        if not standing or _content(standing) != _content("HEAD"):
            lease = f"--force-with-lease=refs/heads/{branch}:{standing}"
            if refused := push_head(branch, lease):
                raise Refusal(f"pushing {branch} failed ({process.reason(refused)}); fix that and run again.")
    return pull_request.open_or_renew(base, branch, edit.title, edit.body, edit.close_with)


def carry(edit: Edit, folder: Path) -> None:
    """Write what changed in this tree, and what to say of it, to `folder`: for a job that may push and trains nothing.

    Two files: a binary patch, and the edit as JSON.
    """
    git("add", "--all")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PATCH).write_bytes(git("diff", "--cached", "--binary", "--full-index", "--no-renames", "--no-ext-diff"))
    (folder / EDIT).write_text(json.dumps(asdict(edit)))


def carried(folder: Path, within: Sequence[str]) -> Edit:
    """Apply here what `carry` wrote. Code of a model ran beside it, so only files that match `within` may differ."""
    recorded = read_json(folder / EDIT, "the job that trains", Edit.__dataclass_fields__)
    edit = Edit(*(recorded[key] for key in Edit.__dataclass_fields__))
    if not all(isinstance(text, str) for text in asdict(edit).values()):
        raise Refusal(f"{folder / EDIT}: title, body and close_with are texts; run the job that trains again.")
    git("apply", "--index", "--binary", str(folder / PATCH))
    for line in git("diff", "--cached", "--raw", "--no-renames", "-z", "HEAD").decode().split("\0:"):
        about, _, path = line.removesuffix("\0").partition("\0")
        mode = about.removeprefix(":").split()[1]
        if mode not in FILE_MODES or not any(fnmatch(path, each) for each in within):
            raise Refusal(f"{folder / PATCH} changes {path} (mode {mode}), which no training makes; look at that run.")
    return edit


@contextlib.contextmanager
def tree(branch: str) -> Iterator[None]:
    """A fresh tree of the newest commit of origin's `branch` as current directory; gone afterwards."""
    _fetch(branch)
    with tempfile.TemporaryDirectory(prefix="landing-", ignore_cleanup_errors=True) as folder:
        place = Path(folder, "tree")
        try:
            git("worktree", "add", "--quiet", "--detach", str(place), f"origin/{branch}")
            with contextlib.chdir(place):
                yield
        finally:
            # Twice forced, because one that was interrupted while it was made stays locked.
            if not _quietly("worktree", "remove", "--force", "--force", str(place)):
                _quietly("worktree", "unlock", str(place))
                shutil.rmtree(place, ignore_errors=True)
                _quietly("worktree", "prune")


def committed(edit: Edit) -> str | None:
    """Commit all that changed here; None where nothing did."""
    git("add", "--all")
    if not git("status", "--porcelain"):
        return None
    git(*NO_HOOKS, *_identity(), "commit", "--quiet", "--file", "-", given=f"{edit.title}\n".encode())
    return git("rev-parse", "HEAD").decode().strip()


def _fetch(branch: str) -> None:
    reference = f"+refs/heads/{branch}:refs/remotes/origin/{branch}"
    for number in range(3):
        try:
            git(*credentials(), "fetch", "--quiet", "--no-tags", "origin", reference)
            return
        except Refusal as refusal:  # another fetch in this clone holds the lock of the reference
            if "lock" not in str(refusal) or number == 2:
                raise Refusal(f"origin's {branch} cannot be fetched: {refusal}") from None
            time.sleep(0.2)


def push_head(branch: str, *options: str) -> str:
    """Push HEAD; what Git prints when it is refused, or nothing."""
    words = ["push", *options, "origin", f"HEAD:refs/heads/{branch}"]
    done = subprocess.run(["git", *NO_HOOKS, *credentials(), *words], capture_output=True, text=True, check=False)
    return done.stderr.strip() or "it printed nothing" if done.returncode else ""


def _fetch_tip(branch: str) -> str:
    """The newest commit of origin's `branch`, fetched; empty where there is no such branch."""
    standing = git(*credentials(), "ls-remote", "origin", f"refs/heads/{branch}").decode().partition("\t")[0]
    if standing:
        git(*credentials(), "fetch", "--quiet", "--no-tags", "origin", standing)
    return standing


def _changes_of(commit: str) -> bytes:
    """What a commit changes: each path with its bytes' hash before and after."""
    return git("diff-tree", "-r", "--no-renames", f"{commit}~1", commit) if commit else b""


def _quietly(*words: str) -> bool:
    """Whether Git did it."""
    try:
        git(*words)
    except Refusal:
        return False
    return True


def _content(commit: str) -> bytes:
    """The files that a commit holds and where it starts, as two hashes."""
    return git("rev-parse", f"{commit}^{{tree}}", f"{commit}~1")


def credentials() -> list[str]:
    """On a runner no token lies in .git; the one in the environment is handed over by gh, never by a command line."""
    if not os.environ.get("GH_TOKEN"):
        return []
    return ["-c", "credential.helper=", "-c", "credential.helper=!gh auth git-credential"]


def _identity() -> list[str]:
    """Git asks the environment first, then its settings."""
    known = os.environ.get("GIT_AUTHOR_EMAIL") or git("config", "--default", "", "user.email").strip()
    return [] if known else [word for key, value in BOT.items() for word in ("-c", f"user.{key}={value}")]
