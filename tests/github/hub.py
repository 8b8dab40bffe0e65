"""What GitHub's servers know and do, as far as the verbs and workflows ask: `gh` of a test answers from here.

It has the rules that surprised others. A list by owner and branch has forks of the same owner in it. A branch rule
counts commit statuses and the checks of a pull request's own runs, never those of a dispatched one. What the token of a
workflow proposes starts nothing: its run waits for an approval and is reported as completed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

REPOSITORY = "team/fork"
BOT = "github-actions[bot]"
State = dict[str, Any]


class Hub:
    """In a folder: `gh`, which goes onto PATH, and all that GitHub knows as JSON."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "hub.json"
        if self.file.is_file():  # found again by another part of the same test
            return
        folder.mkdir(parents=True, exist_ok=True)
        # Imported and not run, so that Python compiles it once and not with each of a test's many calls.
        code = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import hub; sys.exit(hub.answer())"
        script = f'exec {shlex.quote(sys.executable)} -ISE -c {shlex.quote(code)} {shlex.quote(str(self.file))} "$@"'
        (folder / "gh").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "gh").chmod(0o755)
        kinds = ("pulls", "runs", "statuses", "calls", "labels", "attested", "issues")
        self.write({"fail": "", **{kind: [] for kind in kinds}})

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to ask this GitHub, as on a runner."""
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_SERVER_URL": "https://github.com"}

    def read(self) -> State:
        found: State = json.loads(self.file.read_text())
        return found

    def write(self, state: State) -> None:
        self.file.write_text(json.dumps(state))

    def fail(self, says: str) -> None:
        self.write(self.read() | {"fail": says})

    def pulls(self) -> list[State]:
        """In the order of their numbers."""
        return list(self.read()["pulls"])

    def pull(self, number: int) -> State:
        return next(each for each in self.pulls() if each["number"] == number)

    def calls(self) -> list[str]:
        """Method and path of each call of the API, without those that only ask."""
        return [call for call in self.read()["calls"] if not call.startswith("GET ")]

    def dispatched(self) -> list[str]:
        return [run["head_branch"] for run in self.read()["runs"] if run["event"] == "workflow_dispatch"]

    def propose(
        self, branch: str, repository: str = REPOSITORY, state: str = "open", sha: str = "0" * 40, closed: str = "now"
    ) -> int:
        """A person's pull request; from `repository`, which may be a stranger's fork; `closed`: when, unless open."""
        known = self.read()
        made = _propose(known, branch, repository, {"title": "theirs", "body": "theirs", "base": "main"}, sha)
        merged = state == "merged"
        ended = {"merged_at": closed if merged else None, "closed_at": closed if state != "open" else None}
        known["pulls"][-1] |= {"state": "closed" if merged else state} | ended
        self.write(known)
        return int(made["number"])

    def merge(self, commit: str, approved: dict[str, str], stale: bool = False, into: str = "main") -> None:
        """A pull request that is `commit` on main; who may write said these states of its last commit, or before it."""
        self.propose(f"branch-{commit}", sha="e" * 40, state="merged")
        known = self.read()
        known["pulls"][-1] |= {"merge": commit, "reviews": approved, "stale": stale, "base": {"ref": into}}
        self.write(known)

    def artifact(self, attempt: int, path: str, text: str) -> Path:
        """A file of what an attempt of a run uploaded: artifact and its path below."""
        file = self.folder / "artifacts" / str(attempt) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def attest(self, reference: str) -> None:
        known = self.read()
        self.write(known | {"attested": [*known["attested"], reference]})

    def strangers(self, *branches: str) -> None:
        """A stranger's fork, and one in the same organisation, propose branches of these names."""
        for branch in branches:
            for repository in ("stranger/fork", "team/another-fork"):
                self.propose(branch, repository)

    def demand_untouched(self) -> None:
        theirs = [each for each in self.pulls() if each["head"]["repo"]["full_name"] != REPOSITORY]
        assert all((each["title"], each["state"], each["comments"]) == ("theirs", "open", []) for each in theirs), (
            theirs
        )

    def own(self) -> State:
        """The newest pull request that was not a stranger's."""
        return [each for each in self.pulls() if each["head"]["repo"]["full_name"] == REPOSITORY][-1]

    def forget(self) -> None:
        """As if this repository had never had a pull request."""
        known = self.read()
        theirs = [each for each in known["pulls"] if each["head"]["repo"]["full_name"] != REPOSITORY]
        self.write(known | {"pulls": theirs})

    def ran(self, workflow: str, sha: str, **about: str) -> State:
        """A run that came to its end; by default of a push to main that succeeded."""
        known = self.read()
        run = _run(known, workflow, sha, {"event": "push", "head_branch": "main", "conclusion": "success"} | about)
        self.write(known)
        return run

    def mergeable(self, number: int, context: str = "required") -> bool:
        """What the merge box makes of a branch rule that asks for `context`."""
        known, head = self.read(), self.pull(number)["head"]["sha"]
        said = [each["state"] for each in known["statuses"] if (each["sha"], each["context"]) == (head, context)]
        checks = [run for run in known["runs"] if run["head_sha"] == head and run["event"] in ("pull_request", "push")]
        return said[-1:] == ["success"] or any(run["conclusion"] == "success" for run in checks)


def _propose(known: State, branch: str, repository: str | None, given: State, sha: str = "0" * 40) -> State:
    number = len(known["pulls"]) + 1
    owner = (repository or "ghost/gone").partition("/")[0]
    about = {"full_name": repository, "owner": {"login": owner}} if repository else None
    pull = {
        "number": number,
        "html_url": f"https://example.org/pull/{number}",
        "head": {"ref": branch, "sha": sha, "repo": about, "owner": owner},
        "base": {"ref": given["base"]},
        **{"state": "open", "merged_at": None, "title": given["title"], "body": given["body"], "comments": []},
        "closed_at": None,
    }
    known["pulls"].append(pull)
    return pull


def _run(known: State, workflow: str, sha: str, about: State) -> State:
    run = {
        **{"id": len(known["runs"]) + 1, "path": workflow, "head_sha": sha},
        **{
            "head_repository": {"full_name": about.get("repository", REPOSITORY)},
            "actor": about.get("actor", "someone"),
        },
        **{key: about[key] for key in ("event", "head_branch", "conclusion")},
    }
    known["runs"].append(run)
    return run


def _get(known: State, path: str, fields: dict[str, str]) -> Any:
    if path == "pulls":
        owner, _, branch = fields["head"].partition(":")
        states = ("open", "closed") if fields.get("state") == "all" else (fields.get("state", "open"),)
        return [
            each
            for each in reversed(known["pulls"])
            if (each["head"]["owner"], each["head"]["ref"]) == (owner, branch)
            and each["state"] in states
            and fields.get("base", each["base"]["ref"]) == each["base"]["ref"]
        ]
    if path == "issues":
        return [each for each in known["issues"] if each["state"] == fields["state"]]
    if path.startswith("actions/workflows/"):
        found = [run for run in reversed(known["runs"]) if run["path"] == path.split("/")[2]]
        kept = [
            run for run in found if run["head_branch"] == fields["branch"] and run["conclusion"] == fields["status"]
        ]
        return {"workflow_runs": kept}
    raise SystemExit(f"hub: nothing known of GET {path}")


def _graphql(known: State, query: str) -> State:
    """Of commits, which pull requests they merged: what audit asks for, and writers' reviews alone."""
    if "latestOpinionatedReviews(first: 100, writersOnly: true)" not in query:
        raise SystemExit(f"hub: nothing known of {query}")
    found: State = {}
    for name, commit in re.findall(r'(\w+): object\(oid: "([0-9a-f]{40})"\) \{ \.\.\.pulls \}', query):
        pulls = [each for each in known["pulls"] if each.get("merge") == commit]
        found[name] = {"associatedPullRequests": {"nodes": [_node(each) for each in pulls]}} if pulls else None
    return {"data": {"repository": found}}


def _node(pull: State) -> State:
    head = pull["head"]["sha"]
    of = {"oid": "f" * 40 if pull["stale"] else head}
    reviews = [{"state": state, "author": {"login": login}, "commit": of} for login, state in pull["reviews"].items()]
    return {
        **{"number": pull["number"], "merged": bool(pull["merged_at"]), "baseRefName": pull["base"]["ref"]},
        **{"headRefOid": head, "baseRepository": {"full_name": REPOSITORY}, "mergedBy": {"login": "merger"}},
        "latestOpinionatedReviews": {"nodes": reviews},
    }


def _change(known: State, method: str, path: str, given: State) -> Any:
    kind, _, rest = path.partition("/")
    number = rest.partition("/")[0]
    pull: State = next((each for each in known["pulls"] if str(each["number"]) == number), {})
    match method, kind:
        case "POST", "pulls":
            made = _propose(known, given["head"], REPOSITORY, given)
            about = {
                "event": "pull_request",
                "head_branch": given["head"],
                "actor": BOT,
                "conclusion": "action_required",
            }
            _run(known, "ci.yml", made["head"]["sha"], about)
            return made
        case "PATCH", "pulls":
            pull |= given | {"closed_at": datetime.now(UTC).isoformat() if given.get("state") == "closed" else None}
        case "POST", "issues" if not rest:
            issue = {"number": len(known["issues"]) + 100, "html_url": "https://example.org/issue", "state": "open"}
            known["issues"].append(issue | given)
            return issue
        case "PATCH", "issues":
            next(each for each in known["issues"] if str(each["number"]) == number).update(given)
            return {}
        case "POST", "issues":
            pull["comments"].append(given["body"])
        case "DELETE", "issues":
            known["labels"].append(rest)
        case "POST", "actions":
            about = {"event": "workflow_dispatch", "head_branch": given["ref"], "actor": BOT, "conclusion": "success"}
            _run(known, path.split("/")[2], "0" * 40, about)
            return None
        case "POST", "dispatches":
            known["events"] = [*known.get("events", []), given]
            return None
        case "POST", "statuses":
            known["statuses"].append({"sha": rest, **given})
        case _:
            raise SystemExit(f"hub: nothing known of {method} {path}")
    return pull


def main(file: Path, words: list[str]) -> int:
    known: State = json.loads(file.read_text())
    if known["fail"]:
        print(known["fail"], file=sys.stderr)
        return 1
    if words[:2] == ["attestation", "verify"]:
        return _verified(known, words)
    if words[0] != "api":
        raise SystemExit(f"hub: nothing known of gh {' '.join(words)}")
    if words[1] == "graphql":
        print(json.dumps(_graphql(known, next(word for word in words if word.startswith("query=")))))
        return 0
    method = words[words.index("--method") + 1]
    path = next(word for word in words if word.startswith("repos/")).removeprefix(f"repos/{REPOSITORY}/")
    fields = dict(word.split("=", 1) for before, word in pairwise(words) if before == "-f")
    given = json.loads(sys.stdin.read()) if "--input" in words else fields
    answer = _get(known, path, fields) if method == "GET" else _change(known, method, path, given)
    known["calls"].append(f"{method} {path}")
    file.write_text(json.dumps(known))
    if "--jq" in words:  # that of report.yml: the number of the open pull request with this head
        own = (each for each in answer if each["head"]["sha"] == os.environ["SHA"])
        print(next((each["number"] for each in own if _named(each) == os.environ["REPOSITORY"]), ""))
    elif answer is not None:
        print(json.dumps(answer))
    return 0


def newest(artifacts: Path, target: Path) -> None:
    """As actions/download-artifact does."""
    for artifact in sorted(artifacts.glob("*/*")):
        shutil.copytree(artifact, target / artifact.name, dirs_exist_ok=True, symlinks=True)


def _verified(known: State, words: list[str]) -> int:
    """Whether the workflow that is named attested the image."""
    asked = dict(pairwise(words))
    workflow = f"{REPOSITORY}/.github/workflows/release.yml"
    right = (asked["--repo"], asked["--signer-workflow"]) == (REPOSITORY, workflow)
    if right and words[2].removeprefix("oci://") in known["attested"]:
        return 0
    print("Error: no attestations found", file=sys.stderr)
    return 1


def _named(pull: State) -> str | None:
    return str(pull["head"]["repo"]["full_name"]) if pull["head"]["repo"] else None


def answer() -> int:
    return main(Path(sys.argv[1]), sys.argv[2:])
