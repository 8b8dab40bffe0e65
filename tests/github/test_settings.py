"""What stands beside the workflows: owners, branch rules and their script, dependabot, and what contributors read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.lib.fork import NOBODY
from tests.github import workflows
from tests.github.tools import INSTALL, schemas, zizmor
from tests.support.process import first_on_path, program
from tests.support.repository import ROOT, git

GITHUB = ROOT / ".github"  # with the teams of a fork, where it is one: the tree of tests has others
FORKED = NOBODY not in (ROOT / "deploy/argocd/fork.yaml").read_text()
TEAMS_OWN = ("models/", "data_schemas/")  # of which a fork may have none
OWNERS = [line.split() for line in (GITHUB / "CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
RULESETS = {path.stem: json.loads(path.read_text()) for path in (GITHUB / "rulesets").glob("*.json")}
ORIGIN = "https://github.com/team/fork"


def _owners(path: str) -> list[str]:
    """GitHub's reading of the patterns that stand here: the last one that fits decides."""
    for pattern, *owners in reversed(OWNERS):
        expression = re.escape(pattern.strip("/")).replace(r"\*", "[^/]*")
        whole = f"{expression}/.*" if pattern.endswith("/") else ".*" if pattern == "*" else expression
        if re.fullmatch(whole, path):
            return owners
    return []


def test_a_change_has_the_owner_who_answers_for_it() -> None:
    """Whoever that is: of a path the same as of another one, and somebody; of a release to staging nobody."""
    for path, like in (
        ("models/any/network.py", "models/any/model.yaml"),
        ("models/any/resources.yaml", "models/gates.py"),
        ("models/gates.py", "deploy/verify.py"),
        ("data_schemas/any/schema.py", "data_schemas/any/source.py"),
        ("data_schemas/validate.py", "deploy/verify.py"),
        ("deploy/releases/production/any/passport.yaml", "deploy/releases/production/any/kustomization.yaml"),
        (".github/CODEOWNERS", "deploy/verify.py"),
    ):
        assert _owners(path) == _owners(like) != []
    assert _owners("deploy/releases/staging/any/passport.yaml") == []
    kinds = ("models/any/model.yaml", "data_schemas/any/schema.py", "deploy/releases/production/any/x", "README.md")
    assert FORKED or len({str(_owners(path)) for path in kinds}) == len(kinds)
    for pattern in [pattern.strip("/") for pattern, *_ in OWNERS if "releases/" not in pattern]:
        assert any(ROOT.glob(pattern)) or (FORKED and pattern.startswith(TEAMS_OWN)), pattern


def test_the_branch_rules_ask_for_a_job_that_every_pull_request_has() -> None:
    rules = {rule["type"]: rule.get("parameters", {}) for rule in RULESETS["checks"]["rules"]}
    (check,) = rules["required_status_checks"]["required_status_checks"]
    ci = workflows.read(Path(".github/workflows/ci.yml"))
    assert check["context"] in ci.jobs
    assert {"pull_request", "merge_group"} <= ci.triggers
    assert ci.jobs[check["context"]]["name"] == check["context"], "the name is what the rule looks for"
    assert check["integration_id"] == 15368, "GitHub Actions, so that no other app or token reports it"
    assert {"deletion", "non_fast_forward"} <= rules.keys()


def test_the_rules_are_active_on_main_and_nobody_is_excepted_from_the_checks() -> None:
    assert RULESETS["checks"]["bypass_actors"] == []
    assert all(actor["bypass_mode"] == "pull_request" for actor in RULESETS["review"]["bypass_actors"])
    for name, rules in RULESETS.items():
        assert (rules["name"], rules["enforcement"]) == (name, "active")
        assert rules["conditions"]["ref_name"]["include"] == ["~DEFAULT_BRANCH"]


def test_apply_replaces_the_rules_that_are_there_and_makes_the_others(tmp_path: Path) -> None:
    script = f'echo "$GH_REPO" >> {tmp_path}/told; echo "$@" >> {tmp_path}/told; '
    program(tmp_path, "gh", f'{script}case "$*" in *includes_parents*) echo "checks 7" ;; esac')
    environment = os.environ | {"PATH": first_on_path(tmp_path)}
    shutil.copytree(GITHUB / "rulesets", tmp_path / "rulesets")
    for words in (["init", "--quiet"], ["remote", "add", "origin", ORIGIN], ["remote", "add", "upstream", "parent"]):
        git(*words, root=tmp_path)
    subprocess.run([tmp_path / "rulesets/apply"], env=environment, check=True, capture_output=True)
    told = (tmp_path / "told").read_text().splitlines()
    assert set(told[::2]) == {ORIGIN}, "gh's own default may be the template"
    assert told[3::2] == [
        "api --silent --method PUT repos/{owner}/{repo}/rulesets/7 --input checks.json",
        "api --silent --method POST repos/{owner}/{repo}/rulesets --input review.json",
    ]


def test_dependabot_is_valid_and_looks_where_something_is() -> None:
    assert schemas([GITHUB / "dependabot.yml"]) == {}
    assert zizmor([GITHUB]) == {}
    for folder in re.findall(r"directory: /(\S*)", (GITHUB / "dependabot.yml").read_text()):
        assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("page", sorted(GITHUB.rglob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        target = Path(os.path.normpath(page.parent / link))
        assert target.exists() or (FORKED and str(target.relative_to(ROOT)).startswith(TEAMS_OWN)), link


def test_ci_of_this_repository_installs_the_linter_too() -> None:
    assert INSTALL in Path(".ci/run").read_text()
    assert INSTALL in Path(".github/actions/setup/action.yml").read_text()


def test_the_plan_reads_yaml_with_what_the_lock_names() -> None:
    action = workflows.read(Path(".github/actions/setup/action.yml"))
    cut = next(line for step in action.steps() for line in step.run.splitlines() if line.startswith("sed "))
    lines = subprocess.run(["bash", "-c", cut.partition(" > ")[0]], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^([\w-]+)==", lines, re.MULTILINE) == ["pyyaml"]
    assert "--hash=sha256:" in lines
