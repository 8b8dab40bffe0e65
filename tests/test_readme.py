"""The README says what is there: its commands parse, its links and its tree lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess

from deploy.due import NOBODY
from repo.lib import command
from repo.lib.change import GROUND as STAGES
from tests.support.repository import ROOT, git

TEXT = (ROOT / "README.md").read_text()
FORKED = NOBODY not in (ROOT / "deploy/argocd/fork.yaml").read_text()  # a fork has a README and folders of its own
COMMANDS = sorted(set(re.findall(r"python -m (\w+ [^`\n#]+)", TEXT)))
TREE = "".join(re.findall(r"(?ms)^```\nrepo/.*?^```", TEXT))


def test_every_command_of_the_readme_parses() -> None:
    for line in COMMANDS:
        stage, *arguments = shlex.split(line)
        verbs = importlib.import_module(f"{stage}.__main__").VERBS
        options = command.parser(stage, verbs).parse_args(arguments)
        assert (ROOT / stage / f"{options.verb}.py").is_file(), line


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", TEXT)) - {"and"} <= targets


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = set(re.findall(r"\]\((?!\w+:)([^)#]+)\)", TEXT))
    assert [link for link in sorted(links) if not (ROOT / link).exists()] == []


def test_the_tree_of_the_readme_names_every_stage_and_verb() -> None:
    assert TREE or FORKED
    for stage in STAGES if TREE else ():
        line = next(line for line in TREE.splitlines() if line.startswith(f"{stage}/"))
        verbs = {verb.name for verb in importlib.import_module(f"{stage}.__main__").VERBS}
        assert verbs == set(re.findall(r"\w+(?: · \w+)+", line)[0].split(" · ")), line


def test_the_top_level_holds_only_stages_and_their_frame() -> None:
    names = {name.partition("/")[0] for name in git("ls-files", root=ROOT).splitlines()}
    allowed = {*STAGES, "tests", "requirements", "pyproject.toml", "README.md", "Makefile", "LICENSE"}
    assert FORKED or {name for name in names if not name.startswith(".")} <= allowed


def test_no_file_names_a_package_index_or_a_machine() -> None:
    found = subprocess.run(
        ["git", "grep", "--untracked", "-nIE", r"(extra-)?index-url +https?:|https?://[^ ]*/simple\b|^/(work|root)/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert not found
