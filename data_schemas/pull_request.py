"""Pull requests of a branch, by GitHub's `gh`; without it a person opens them.

data_schemas/landing.py pushes the branches.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess

from data_schemas.command import Refusal


def open_or_renew(base: str, branch: str, title: str, text: str, close_with: str | None) -> str:
    """Open it, or give the open one this title and text; `close_with` closes it at once, with this reason."""
    body = [f"--title={title}", "--body-file=-"]
    try:
        found = json.loads(_gh("pr", "list", "--head", branch, "--base", base, "--state=open", "--json=number,url"))
        if found:
            number, address = str(found[0]["number"]), str(found[0]["url"])
            _gh("pr", "edit", number, *body, given=text)
        else:
            address = _gh("pr", "create", "--head", branch, "--base", base, *body, given=text).split()[-1]
            number = address.rpartition("/")[2]
        if close_with:
            _gh("pr", "close", number, f"--comment={close_with}")
    except _NoGitHub as reason:
        _warn(f"{branch} is pushed, but no pull request was opened: {reason} Or open it by hand with the text below.")
        print(text)
        return branch
    if not close_with:
        dispatch(branch)
    return address


def withdraw(branch: str, reason: str) -> None:
    """Close the open pull request of a branch, which must not be merged any more."""
    with contextlib.suppress(_NoGitHub):
        for each in json.loads(_gh("pr", "list", "--head", branch, "--state=open", "--json=number")):
            _gh("pr", "close", str(each["number"]), f"--comment={reason}")
            print(f"closed: the pull request of {branch}")


def dispatch(branch: str) -> None:
    """Start the workflow that DISPATCH names on a branch: GitHub starts nothing for what its own token pushed."""
    if checks := os.environ.get("DISPATCH"):
        try:
            _gh("workflow", "run", checks, "--ref", branch)
        except _NoGitHub as reason:
            raise Refusal(f"{branch} is pushed, but {checks} was not started: {reason}") from None


def closed(base: str, branch: str) -> str | None:
    """The branch's newest pull request, if it was closed and none is open."""
    words = ("pr", "list", "--head", branch, "--base", base, "--state=all", "--json=state,url")
    try:
        found = json.loads(_gh(*words))
    except _NoGitHub:
        return None
    states = [each["state"] for each in found]  # the newest first
    return str(found[0]["url"]) if states[:1] == ["CLOSED"] and "OPEN" not in states else None


class _NoGitHub(Exception):
    """Why, and what to do."""


def _gh(*words: str, given: str = "") -> str:
    if shutil.which("gh") is None:
        raise _NoGitHub("gh is not on PATH; install it.")
    done = subprocess.run(["gh", *words], input=given, capture_output=True, text=True, check=False)
    if not done.returncode:
        return done.stdout.strip()
    said = first(done.stderr)
    if "not permitted to create" in said:
        raise _NoGitHub(
            "this repository lets workflows open none; allow it in Settings, Actions, General, Workflow permissions, "
            "and run this again."
        )
    if "gh auth login" in done.stderr or "GH_TOKEN" in done.stderr or "none of the git remotes" in said:
        raise _NoGitHub(f"gh knows no GitHub repository or account here ({said}); log in with `gh auth login`.")
    raise Refusal(f"gh {' '.join(words[:2])} failed ({said}); mend that and run again.")


def _warn(text: str) -> None:
    print(f"::warning::{text}" if os.environ.get("GITHUB_ACTIONS") else text)


def first(said: str) -> str:
    """What matters of an answer of Git or gh, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = (
        [line for line in lines if re.search(r"rejected|GH0\d\d|error|fatal", line)] or lines or ["no reason given"]
    )
    return " ".join(" ".join(telling[:2]).split())[:300].rstrip(".")
