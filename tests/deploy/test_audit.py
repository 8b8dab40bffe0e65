"""Who changed what an environment runs, on which evidence, approved by whom, resting on which data."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from repo.lib.git import blobs
from tests.conftest import Once
from tests.deploy.conftest import make_original
from tests.deploy.tree import NAME, Tree, folder, gate_names, passed, refused
from tests.github.hub import Hub
from tests.support import gh, specimens
from tests.support.process import signals_kept

FIRST, SECOND = (f"{letter * 32}.dir" for letter in "ab")
FORMULA = "=HYPERLINK(1);\x1b[31m @SUM(1)"  # also where a list is divided by semicolons, and an order to a terminal
WHO = "\u202e+Flight operations"
AWAY = "its rollout was aborted"
MERGE = "Merge pull request #2 from team/promote"
Row = dict[str, str]


def make(root: Path) -> None:
    """Three versions on two versions of the data, of which one is aborted and one rolled back; staging ends."""
    make_original(root)
    with chdir(root), signals_kept():
        tree, staging = Tree(None), folder("staging")
        gates = [{"name": name, "limit": "l", "value": "v", "verdict": "pass", "reason": None} for name in gate_names()]
        release(tree, "a", FIRST, "Promote a (#1)")
        gates[0] |= {"verdict": "off", "reason": FORMULA}
        gates[1] |= {"reason": "explained: age alone 0.9 (known to all)"}
        release(tree, "b", SECOND, MERGE, gates=gates, champion={"version": "0" * 12})
        passed(tree.deploy("rollback", NAME, "--environment", "production", "--reason", AWAY))
        land(tree, "Roll back to a (#3)")
        release(tree, "c", SECOND, "Promote c (#4)")
        passed(tree.deploy("rollback", NAME, "--environment", "production", "--keep"))
        land(tree, 'Revert "Promote c (#4)" (#5)')
        for name in ("resources.yaml", "passport.yaml"):
            (staging / name).write_text("{")
            land(tree, f"Break {name}")
        tree.git("rm", "-rq", str(staging))
        land(tree, "Retire it in staging")


def release(tree: Tree, letter: str, data: str, promotion: str, **changes: object) -> None:
    """Onto staging, then onto production, by a merge where the subject says so."""
    (specimens.DATASET / "data.dvc").write_text(f"outs: [{{md5: {data}, size: 1, nfiles: 1}}]\n")
    tree.build(letter, **{"dataset": {"name": specimens.DATASET_NAME, "rows": 9}, **changes})
    passed(tree.promote("staging", letter))
    land(tree, f"Release {letter}")
    tree.git("checkout", "--quiet", "-B", "side")
    passed(tree.promote("production"))
    land(tree, promotion if promotion != MERGE else "Not on main's own line (#9)")
    tree.git("checkout", "--quiet", "main")
    tree.git("merge", "--quiet", *(["--no-ff", "--message", MERGE] if promotion == MERGE else ["--ff-only"]), "side")


def land(tree: Tree, subject: str) -> None:
    tree.git("add", "--all")
    tree.git("commit", "--quiet", "--message", subject)


@pytest.fixture
def tree(once: Once, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tree:
    """The history, which no test changes."""
    monkeypatch.setenv("GIT_AUTHOR_NAME", WHO)
    monkeypatch.chdir(once("audited", make))
    monkeypatch.setenv("PATH", str(Path(shutil.which("git") or "").parent))
    return Tree(capsys)


@pytest.fixture
def hub(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Approved are #1, #2 before its last commit, and #4 into another branch; of #3 changes were asked for."""
    landed = {line[41:]: line[:40] for line in tree.git("log", "--format=%H %s").splitlines()}
    found = gh.install(tmp_path, monkeypatch)
    found.merge(landed["Promote a (#1)"], {"chief": "APPROVED", "second": "APPROVED", "third": "COMMENTED"})
    found.merge(landed[MERGE], {"chief": "APPROVED"}, stale=True)
    found.merge(landed["Roll back to a (#3)"], {"chief": "CHANGES_REQUESTED"})
    found.merge(landed["Promote c (#4)"], {"chief": "APPROVED"}, into="other")
    return found


def rows(tree: Tree, *more: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(passed(tree.deploy("audit", "--format", "csv", *more)).out)))


@pytest.mark.usefixtures("hub")
def test_a_line_for_each_change_says_who_what_by_which_evidence_on_which_data(tree: Tree) -> None:
    lines = rows(tree)[::-1]
    a, b, c = dict.fromkeys(each["version"] for each in lines if each["version"])
    told = [tuple(each[name] for name in ("environment", "version", "what", "runs now", "data")) for each in lines]
    assert told == [
        ("staging", a, "first release", "no", FIRST),
        ("production", a, "first release", "no", FIRST),
        ("staging", b, "promotion", "no", SECOND),
        ("production", b, "promotion", "no", SECOND),
        ("production", a, f"abort ({AWAY})", "no", FIRST),
        ("staging", c, "promotion", "no", SECOND),
        ("production", c, "promotion", "no", SECOND),
        ("production", a, "rollback", "yes", FIRST),
        ("staging", c, "settings (resources.yaml)", "no", SECOND),
        ("staging", "", "unreadable", "no", ""),
        ("staging", "", "retired", "no", ""),
    ]
    reviewed = [
        tuple(lines[place][name] for name in ("pull request", "merged by", "approved by")) for place in (1, 3, 4, 6)
    ]
    assert reviewed == [
        ("#1", "merger", "chief, second"),
        ("#2", "merger", "nobody"),
        ("#3", "merger", "nobody"),
        ("none", "", "nobody"),
    ]
    merge = lines[3]
    assert merge["commit"] == tree.git("rev-list", "--merges", "HEAD")
    assert merge["passport"] == hashlib.sha256(passport(merge)).hexdigest()
    assert (merge["verdict"], merge["dataset"]) == ("pass", specimens.DATASET_NAME)
    assert "ROC AUC 0.750 (0.740-0.760), " in merge["metrics"]
    assert "explained: age alone 0.9 (known to all)" in merge["gates excused"]
    assert (merge["compared with"], lines[1]["compared with"]) == ("0" * 12, "no champion")
    assert merge["committer in Git"] == "test@example.org <test@example.org>"


def passport(line: Row) -> bytes:
    return blobs(line["commit"], [str(folder(line["environment"]) / "passport.yaml")]).popitem()[1]


def test_approvals_are_demanded_by_name(tree: Tree, hub: Hub) -> None:
    lines = rows(tree, "--environment", "production")
    lacking = [f"production {NAME} {each['version']} ({each['commit'][:10]})" for each in lines[:-1]]
    answer = tree.deploy("audit", "--environment", "production", "--require-approvals")
    refused(answer, *lacking)
    assert lines[-1]["commit"][:10] not in answer.error, "#1 was approved"
    for each in lines[:-1]:
        hub.write({**hub.read(), "pulls": [pull for pull in hub.pulls() if pull["merge"] != each["commit"]]})
        hub.merge(each["commit"], {"chief": "APPROVED"})
    passed(tree.deploy("audit", "--require-approvals"))
    refused(tree.deploy("audit", "--environment", "staging", "--require-approvals"), f"staging {NAME}")


def test_without_github_a_commit_says_the_number_and_nobody_knows_of_approvals(tree: Tree) -> None:
    lines = rows(tree, "--environment", "production")
    assert {(each["merged by"], each["approved by"]) for each in lines} == {("not known offline",) * 2}
    assert [each["pull request"] for each in lines] == ["#5", "#4", "#3", "#2", "#1"]
    refused(tree.deploy("audit", "--require-approvals"), "not known offline", lines[-1]["version"])


def test_what_rests_on_a_version_of_the_data_and_since_when(tree: Tree) -> None:
    assert {each["data"] for each in rows(tree, "--data", SECOND[:8].upper())} == {SECOND}
    assert len(rows(tree, "--data", FIRST)) == 4
    refused(tree.deploy("audit", "--data", "c" * 8), "no data.dvc in Git ever had it", SECOND[:12], FIRST[:12])
    for short in ("b" * 7, "", "bbbbbbb."):
        refused(tree.deploy("audit", "--data", short), "give eight digits")
    pinned = passed(tree.deploy("audit", "--data", "01230123"))
    assert (pinned.out, pinned.error.count("no release rests on the data 01230123")) == ("No release changed.\n", 1)
    assert len(rows(tree, "--since", "2013-01-31")) == 11
    assert rows(tree, "--since", "2999-01-01") == []
    refused(tree.deploy("audit", "--since", "yesterday"), "is not a date")


def test_a_canary_that_walks_by_commits_has_a_line_for_each_weight(
    enter: Callable[[str], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, serving = enter(""), {"strategy": "kserve", "slow_ms": 5.0}
    for letter in "ab":
        tree.build(letter, serving=serving)
        passed(tree.promote("staging", letter))
        tree.commit()
        passed(tree.deploy("promote", NAME, "--to", "production", *(["--weight", "25"] if letter == "b" else [])))
        tree.commit()
    canary = folder("production") / "canary.yaml"
    monkeypatch.setenv("PATH", str(Path(shutil.which("git") or "").parent))
    assert [(each["what"], each["runs now"]) for each in rows(tree, "--environment", "production")] == [
        ("promotion, 25 % of traffic", "yes"),
        ("first release", "yes"),
    ]
    canary.write_text(canary.read_text().replace("weight: 25", "weight: 100"))
    tree.commit()
    assert [(each["what"], each["runs now"]) for each in rows(tree, "--environment", "production")] == [
        ("weight, 100 % of traffic", "yes"),
        ("promotion, 25 % of traffic", "no"),
        ("first release", "no"),
    ]


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_no_text_of_a_commit_is_an_order_to_terminal_or_spreadsheet(tree: Tree, form: str) -> None:
    out = passed(tree.deploy("audit", "--format", form)).out
    assert "[31m" in out or "&#91;31m" in out
    assert [each for each in out if unicodedata.category(each)[0] == "C" and each != "\n"] == []
    if form == "csv":
        parts = [part for each in csv.reader(io.StringIO(out)) for cell in each for part in re.split("[;,]", cell)]
        assert [part for part in parts if part.lstrip()[:1] in tuple("=+-@")] == []
        assert any(cell.startswith("'+Flight operations <") for each in csv.reader(io.StringIO(out)) for cell in each)
