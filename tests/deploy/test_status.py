"""Status shows every model in every environment, and what is not committed."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.deploy.tree import Tree, digest, folder, passed


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # a plain terminal must hold it


def rows(text: str) -> dict[str, str]:
    """What is said of each environment, as one line."""
    found: dict[str, list[str]] = {}
    environment = ""
    for line in text.splitlines()[1:]:
        environment = next((name for name in ("staging", "production") if f" {name} " in line), environment)
        found.setdefault(environment, []).append(line)
    return {name: " ".join(" ".join(lines).split()) for name, lines in found.items()}


def test_an_environment_without_a_release_says_so(tree: Tree) -> None:
    answer = passed(tree.deploy("status"))
    assert "none yet" in rows(answer.out)["staging"]
    assert "none yet" in rows(answer.out)["production"]


def test_version_date_commit_and_metrics_are_shown(tree: Tree) -> None:
    version = tree.release("a", "staging")
    commit = tree.git("rev-parse", "HEAD")
    tree.commit()  # a later commit of something else is not what brought it
    said = rows(tree.deploy("status").out)["staging"]
    for part in (
        version,
        commit[:10],
        f"{datetime.now():%Y-%m-%d}",
        "ROC AUC 0.750",
        "(0.740-0.760)",
        "log-loss 0.750",
    ):
        assert part in said


def test_a_release_that_is_not_committed_is_marked(tree: Tree) -> None:
    tree.release("a", "staging")
    tree.promote("production")
    said = rows(tree.deploy("status").out)
    assert "not yet" in said["production"]
    assert "not yet" not in said["staging"]


def test_an_aborted_digest_is_marked(tree: Tree) -> None:
    tree.release("a", "staging")
    Path("deploy/releases/aborted.yaml").write_text(
        f"- {{digest: {digest('a')}, model: specimen_delay, reason: slow}}\n"
    )
    assert "aborted" in rows(tree.deploy("status").out)["staging"]


def test_a_release_that_cannot_be_read_hides_no_other(tree: Tree) -> None:
    version = tree.release("a", "staging", "production")
    (folder("staging") / "passport.yaml").write_text("{")
    said = rows(tree.deploy("status").out)
    assert "unreadable" in said["staging"]
    assert "deploy verify" in said["staging"]
    assert version in said["production"]
