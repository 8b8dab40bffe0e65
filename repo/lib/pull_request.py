"""Pull requests of this repository's own branches, by GitHub's `gh`; without it a person opens them.

repo/lib/origin.py pushes the branches. GitHub is asked by owner and branch and answers with forks of the same
owner, too, so whatever was not proposed from this repository itself is left out: nobody else's pull request is touched.
"""

import contextlib
import json
import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from repo.lib import process
from repo.lib.git import git
from repo.lib.refusal import Refusal

ADDRESS = re.compile(r"(?:https://|ssh://)?(?:[^@/]+@)?([\w.-]+\.\w+)(?::\d+)?[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?")

# Anybody may review a public repository; an approval is of who may write, unless they said something else later.
PULLS = """on Commit { associatedPullRequests(first: 10) { nodes {
  number merged baseRefName headRefOid baseRepository { full_name: nameWithOwner } mergedBy { login }
  latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state author { login } commit { oid } } }
} } }"""


def open_or_renew(base: str, branch: str, title: str, text: str, close_with: str | None) -> str:
    """Open it, or give the open one this title and text; `close_with` closes it at once, with this reason."""
    content = {"title": title, "body": text}
    try:
        if found := _of(branch, "open", base):
            number, address = found[0]["number"], str(found[0]["html_url"])
            _api("PATCH", f"pulls/{number}", content)
        else:
            made = _api("POST", "pulls", {**content, "head": branch, "base": base})
            number, address = made["number"], str(made["html_url"])
        if close_with:
            _close(number, close_with)
    except _NoGitHub as reason:
        mark = "::warning::" if os.environ.get("GITHUB_ACTIONS") else ""
        print(f"{mark}{branch} is pushed, but no pull request was opened: {reason} Or open it by hand with this text:")
        print(text)
        return branch
    if not close_with:
        dispatch(branch)
    return address


def withdraw(branch: str, reason: str) -> None:
    """Close the open pull request of a branch, which must not be merged any more."""
    with contextlib.suppress(_NoGitHub):
        for each in _of(branch, "open"):
            _close(each["number"], reason)
            print(f"closed: the pull request of {branch}")


def dispatch(branch: str) -> None:
    """Start the workflow that DISPATCH names on a branch: what GitHub's own token proposes waits for a click.

    report.yml writes the verdict onto the commit as the status `required`, which branch rules count.
    """
    if checks := os.environ.get("DISPATCH"):
        try:
            _api("POST", f"actions/workflows/{checks}/dispatches", {"ref": branch})
        except _NoGitHub as reason:
            raise Refusal(f"{branch} is pushed, but {checks} was not started: {reason}") from None


def closed(base: str, branch: str) -> str | None:
    """The branch's newest pull request, if it was closed and none is open."""
    try:
        found = _of(branch, "all", base)
    except _NoGitHub:
        return None
    if not found or any(each["state"] == "open" for each in found) or found[0].get("merged_at"):
        return None
    return str(found[0]["html_url"])


def proposed(base: str, branch: str) -> list[tuple[str, datetime | None]]:
    """Each pull request of the branch, the newest first: its address, and when it was closed or merged, or None."""
    found = [(str(each["html_url"]), each["closed_at"]) for each in _of(branch, "all", base)]
    return [(address, datetime.fromisoformat(closed) if closed else None) for address, closed in found]


def event(kind: str, payload: dict[str, str]) -> None:
    """Start the workflows that wait for this `repository_dispatch`."""
    _api("POST", "dispatches", {"event_type": kind, "client_payload": payload})


def keep_issue(title: str, text: str | None) -> str | None:
    """One open issue of this title by whoever asks: opened, renewed, or closed where there is no text; its address."""
    fields = {"state": "open", "creator": os.environ.get("CREATOR", "github-actions[bot]"), "per_page": "100"}
    open_ones = [each for each in _api("GET", "issues", fields) if each["title"] == title]
    if not open_ones:
        return str(_api("POST", "issues", {"title": title, "body": text})["html_url"]) if text else None
    number, address = open_ones[0]["number"], str(open_ones[0]["html_url"])
    _api("PATCH", f"issues/{number}", {"body": text} if text else {"state": "closed"})
    return address if text else None


def succeeded(workflow: str, branch: str) -> list[str]:
    """Commits of a branch of this repository for which a workflow succeeded, the newest first."""
    fields = {"branch": branch, "status": "success", "per_page": "50"}
    runs = _api("GET", f"actions/workflows/{workflow}/runs", fields)["workflow_runs"]
    own = (each for each in runs if each["event"] != "pull_request" and _is_own(each["head_repository"]))
    return [str(each["head_sha"]) for each in own]


def merged(base: str, commits: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Of commits that a pull request brought into `base`: its number, who merged it, who approved its last commit.

    GitHub knows that; a commit's own message proves nothing, since whoever pushes writes it.
    """
    (host, name), found = repository(), dict[str, tuple[str, str, str]]()
    owner, _, short = name.partition("/")
    for some in (commits[start : start + 50] for start in range(0, len(commits), 50)):
        asked = " ".join(f'c{commit}: object(oid: "{commit}") {{ ...pulls }}' for commit in some)
        query = f'query={{ repository(owner: "{owner}", name: "{short}") {{ {asked} }} }} fragment pulls {PULLS}'
        answer = process.run(["gh", "api", "graphql", "--hostname", host, "-f", query], "gh api graphql failed")
        for commit, about in json.loads(answer)["data"]["repository"].items():
            for each in about["associatedPullRequests"]["nodes"] if about else ():
                if each["merged"] and each["baseRefName"] == base and _is_own(each["baseRepository"]):
                    last = {"state": "APPROVED", "commit": {"oid": each["headRefOid"]}}
                    by = [said["author"] for said in each["latestOpinionatedReviews"]["nodes"] if said | last == said]
                    merger, *names = (
                        (who or {"login": "a deleted account"})["login"] for who in (each["mergedBy"], *by)
                    )
                    found[commit[1:]] = f"#{each['number']}", merger, ", ".join(names)
    return found


def repository() -> tuple[str, str]:
    """Host and owner/name of origin; never gh's default, which in the clone of a fork is the fork's parent."""
    if known := os.environ.get("GITHUB_REPOSITORY"):
        return os.environ.get("GITHUB_SERVER_URL", "https://github.com").rpartition("/")[2], known
    address = git("remote", "get-url", "origin").decode().strip()
    if (found := ADDRESS.fullmatch(address)) is None:
        raise _NoGitHub(f"origin ({address}) is not a repository of GitHub.")
    return found[1], found[2]


class _NoGitHub(Refusal):
    """Why, and what to do."""


def _of(branch: str, state: str, base: str | None = None) -> list[dict[str, Any]]:
    """Pull requests that this repository's own branch has, the newest first."""
    owner = repository()[1].partition("/")[0]
    fields = {"head": f"{owner}:{branch}", "state": state, "sort": "created", "direction": "desc", "per_page": "100"}
    found = _api("GET", "pulls", fields | ({"base": base} if base else {}))
    return [each for each in found if each["head"]["ref"] == branch and _is_own(each["head"]["repo"])]


def _is_own(found: dict[str, Any] | None) -> bool:
    """None is a fork that was deleted."""
    return found is not None and found["full_name"].lower() == repository()[1].lower()


def _close(number: int, reason: str) -> None:
    _api("POST", f"issues/{number}/comments", {"body": reason})
    _api("PATCH", f"pulls/{number}", {"state": "closed"})


def _api(method: str, path: str, fields: dict[str, Any]) -> Any:
    """GitHub's answer by REST: `gh pr edit` reads reviewers, which a workflow's token may not where one is a team."""
    host, name = repository()
    words, given = ["gh", "api", "--hostname", host, "--method", method, f"repos/{name}/{path}"], ""
    if method == "GET":
        words += [word for key, value in fields.items() for word in ("-f", f"{key}={value}")]
    else:
        words, given = [*words, "--input", "-"], json.dumps(fields)
    try:
        return json.loads(process.run(words, f"gh api {method} {path} failed", given=given.encode()) or "null")
    except process.NotInstalledError as missing:
        raise _NoGitHub(str(missing)) from None
    except Refusal as refusal:
        if "not permitted to create" in str(refusal):
            raise _NoGitHub(
                "this repository lets workflows open none; allow it in Settings, Actions, General, Workflow "
                "permissions, and run this again."
            ) from None
        if "gh auth login" in str(refusal) or "GH_TOKEN" in str(refusal):
            raise _NoGitHub(f"gh knows no GitHub account here ({refusal}); log in with `gh auth login`.") from None
        raise
