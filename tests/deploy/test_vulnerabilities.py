"""One issue about what a newer version fixes: opened, renewed, closed, and never about what nothing fixes yet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tree import Tree, digest, passed
from tests.github.hub import Hub
from tests.support import gh


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return gh.install(tmp_path, monkeypatch)


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Path]:
    """A folder of reports: `report(name, (package, severity, fixes), …)`."""
    folder = tmp_path / "found"
    folder.mkdir()

    def write(name: str, *matches: tuple[str, str, list[str]]) -> Path:
        listed = [
            {
                "vulnerability": {"id": f"CVE-{package}", "severity": severity, "fix": {"versions": fixes}},
                "artifact": {"name": package, "version": "1.0"},
            }
            for package, severity, fixes in matches
        ]
        (folder / f"{name}.json").write_text(json.dumps({"matches": listed}))
        return folder

    return write


def issues(hub: Hub) -> list[dict[str, Any]]:
    return list(hub.read()["issues"])


def test_what_the_environments_run_is_looked_at_once(released: Tree) -> None:
    found = json.loads(released.deploy("vulnerabilities", "--list").out)["images"]
    assert found == [
        {
            "name": f"specimen_delay-{'a' * 12}",
            "reference": f"registry.example.org/specimens/specimen-delay@{digest('a')}",
            "host": "registry.example.org",
        }
    ]


def test_one_issue_is_opened_renewed_and_closed(tree: Tree, hub: Hub, report: Callable[..., Path]) -> None:
    passed(tree.deploy("vulnerabilities", "--found", str(report("locks"))))
    assert issues(hub) == [], "where there is nothing none is opened"
    folder = report("m-1", ("openssl", "Low", ["3.1"]), ("zlib", "Critical", ["1.3"]), ("glibc", "High", []))
    report("locks", ("openssl", "Low", ["3.1"]))
    assert tree.deploy("vulnerabilities", "--found", str(folder)).code == 0
    (issue,) = issues(hub)
    rows = [line for line in issue["body"].splitlines() if "CVE" in line]
    assert [row.split(" | ")[1] for row in rows] == ["zlib", "openssl"], "the worst first, and nothing without a fix"
    assert "locks, m-1" in rows[1]
    report("m-1", ("zlib", "Critical", ["1.3"]))
    report("locks")
    tree.deploy("vulnerabilities", "--found", str(folder))
    assert "openssl" not in issues(hub)[0]["body"]
    report("m-1")
    answer = tree.deploy("vulnerabilities", "--found", str(folder))
    assert (answer.code, [each["state"] for each in issues(hub)]) == (0, ["closed"])
    assert "no issue is open" in answer.out


def test_a_package_cannot_break_the_table(tree: Tree, hub: Hub, report: Callable[..., Path]) -> None:
    tree.deploy("vulnerabilities", "--found", str(report("m", ("<img src=x> | @team", "High", ["2"]))))
    assert "<img" not in issues(hub)[0]["body"]
    assert "@team" not in issues(hub)[0]["body"]


@pytest.mark.parametrize("text", ["", "{}", '{"matches": [{}]}'])
def test_what_is_no_report_is_one_sentence(tree: Tree, hub: Hub, tmp_path: Path, text: str) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/m.json").write_text(text)
    answer = tree.deploy("vulnerabilities", "--found", str(tmp_path / "reports"))
    assert (answer.code, answer.error.count("\n"), issues(hub)) == (2, 1, [])
