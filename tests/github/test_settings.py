"""What stands beside the workflows: owners, branch rules and their script, dependabot, and what contributors read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.github import workflows
from tests.github.tools import INSTALL, schemas, zizmor

GITHUB = Path(".github")
OWNERS = [line.split() for line in (GITHUB / "CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
RULESETS = {path.stem: json.loads(path.read_text()) for path in (GITHUB / "rulesets").glob("*.json")}
ORIGIN = "https://github.com/team/fork"
GH = """#!/bin/sh
echo "$GH_REPO" >> "$TOLD"
echo "$@" >> "$TOLD"
case "$*" in *includes_parents*) echo "checks 7" ;; esac
"""


def _owners(path: str) -> list[str]:
    """GitHub's reading of the patterns that stand here: the last one that fits decides."""
    for pattern, *owners in reversed(OWNERS):
        expression = re.escape(pattern.strip("/")).replace(r"\*", "[^/]*")
        whole = f"{expression}/.*" if pattern.endswith("/") else ".*" if pattern == "*" else expression
        if re.fullmatch(whole, path):
            return owners
    return []


@pytest.mark.parametrize(
    ("path", "team"),
    [
        ("models/flight_delay/network.py", "data-science"),
        ("models/flight_delay/resources.yaml", "platform"),
        ("models/another/model.yaml", "data-science"),
        ("models/gates.py", "platform"),
        ("data_schemas/flights/schema.py", "data"),
        ("data_schemas/validate.py", "platform"),
        ("deploy/releases/production/flight_delay/passport.yaml", "production"),
        (".github/CODEOWNERS", "platform"),
    ],
)
def test_a_change_has_the_owner_who_answers_for_it(path: str, team: str) -> None:
    assert _owners(path) == [f"@your-organisation/{team}"]


def test_a_release_to_staging_needs_no_owner() -> None:
    assert _owners("deploy/releases/staging/flight_delay/passport.yaml") == []


@pytest.mark.parametrize("pattern", [pattern for pattern, *_ in OWNERS if "releases/" not in pattern])
def test_every_pattern_of_codeowners_fits_something(pattern: str) -> None:
    assert any(Path().glob(pattern.strip("/")))


def test_the_branch_rules_ask_for_a_job_that_every_pull_request_has() -> None:
    rules = {rule["type"]: rule.get("parameters", {}) for rule in RULESETS["checks"]["rules"]}
    (check,) = rules["required_status_checks"]["required_status_checks"]
    ci = workflows.read(Path(".github/workflows/ci.yml"))
    assert check["context"] in ci.jobs
    assert {"pull_request", "merge_group"} <= ci.triggers
    assert ci.jobs[check["context"]]["name"] == check["context"], "the name is what the rule looks for"
    assert check["integration_id"] == 15368, "GitHub Actions, so that no other app or token reports it"
    assert {"deletion", "non_fast_forward"} <= rules.keys()


def test_nobody_is_excepted_from_the_checks() -> None:
    assert RULESETS["checks"]["bypass_actors"] == []
    assert all(actor["bypass_mode"] == "pull_request" for actor in RULESETS["review"]["bypass_actors"])


@pytest.mark.parametrize("name", RULESETS)
def test_a_ruleset_is_active_on_main_and_named_like_its_file(name: str) -> None:
    assert (RULESETS[name]["name"], RULESETS[name]["enforcement"]) == (name, "active")
    assert RULESETS[name]["conditions"]["ref_name"]["include"] == ["~DEFAULT_BRANCH"]


def test_apply_replaces_the_rules_that_are_there_and_makes_the_others(tmp_path: Path) -> None:
    gh = tmp_path / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    told = tmp_path / "told"
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TOLD": str(told)}
    subprocess.run(["cp", "--recursive", ".github/rulesets", str(tmp_path)], check=True)
    for words in (["init", "--quiet"], ["remote", "add", "origin", ORIGIN], ["remote", "add", "upstream", "parent"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    subprocess.run([str(tmp_path / "rulesets/apply")], env=environment, check=True, capture_output=True)
    assert set(told.read_text().splitlines()[::2]) == {ORIGIN}, "gh's own default may be the template"
    assert told.read_text().splitlines()[3::2] == [
        "api --silent --method PUT repos/{owner}/{repo}/rulesets/7 --input checks.json",
        "api --silent --method POST repos/{owner}/{repo}/rulesets --input review.json",
    ]


def test_dependabot_is_valid_and_looks_where_something_is() -> None:
    assert schemas(GITHUB / "dependabot.yml") == ""
    assert zizmor(GITHUB) == ""
    for folder in re.findall(r"directory: /(\S*)", (GITHUB / "dependabot.yml").read_text()):
        assert Path(folder).is_dir()


@pytest.mark.parametrize("page", sorted(GITHUB.rglob("*.md")), ids=str)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_ci_of_this_repository_installs_the_linter_too() -> None:
    assert INSTALL in Path(".ci/run").read_text()
    assert INSTALL in Path(".github/actions/setup/action.yml").read_text()


def test_the_plan_reads_yaml_with_what_the_lock_names() -> None:
    action = workflows.read(Path(".github/actions/setup/action.yml"))
    cut = next(line for step in action.steps() for line in step.run.splitlines() if line.startswith("sed "))
    lines = subprocess.run(["bash", "-c", cut.partition(" > ")[0]], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^([\w-]+)==", lines, re.MULTILINE) == ["pyyaml"]
    assert "--hash=sha256:" in lines
