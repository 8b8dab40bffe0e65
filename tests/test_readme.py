"""The READMEs say what is there, and briefly: commands parse, links and the tree lead somewhere, lines are short."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from deploy.lib.fork import NOBODY
from models.lib import config
from repo.lib import command
from repo.lib.change import GROUND as STAGES
from repo.lib.change import MARKS
from serving.lib import derivation
from serving.runtime import request
from tests.support.repository import ROOT, git

FRONT = Path("README.md")
FORKED = NOBODY not in (ROOT / "deploy/argocd/fork.yaml").read_text()  # a fork has a README and folders of its own
NAMES = [Path(name) for name in git("ls-files", root=ROOT).splitlines()]
CODE = r"(?m)(?:`|^ {3,}|&& )"  # where a command begins


def of_a_team(path: Path) -> bool:
    """Of one of its folders, or the card of a release, which `promote` writes."""
    released = path.match("deploy/releases/*/*/*")
    return released or (len(path.parts) > 2 and path.parts[0] in MARKS and path.parts[1] != "lib")


def of_the_template(path: Path) -> bool:
    return path.suffix == ".md" and path.parts[0] in {*STAGES, ".github", "tests"} and not of_a_team(path)


TEXTS = {path: (ROOT / path).read_text() for path in NAMES if path == FRONT or of_the_template(path)}
OURS = [path for path in TEXTS if not (FORKED and path == FRONT)]
TREE = "".join(re.findall(r"(?ms)^```\nrepo/.*?^```", TEXTS[FRONT]))
page = pytest.mark.parametrize("page", TEXTS, ids=str)


@page
def test_every_command_parses(page: Path) -> None:
    for line in set(re.findall(r"python -m (\w+ [^`\n#]+)", TEXTS[page])):
        stage, *arguments = shlex.split(line)
        verbs = importlib.import_module(f"{stage}.__main__").VERBS
        try:
            options = command.parser(stage, verbs).parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{page}: `python -m {line}` does not parse")
        assert (ROOT / stage / f"{options.verb}.py").is_file(), line


@page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(CODE + "make ([a-z-]+)", TEXTS[page])) <= targets


@page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    lost = []
    for link in set(re.findall(r"\]\((?!\w+:)([^)]+)\)", TEXTS[page])):
        name, _, heading = link.partition("#")
        path = ROOT / page.parent / name if name else ROOT / page
        if FORKED and of_a_team(path.resolve().relative_to(ROOT)):
            continue  # the example, which a fork may have renamed or removed
        if not path.exists() or (heading and heading not in headings(path.read_text())):
            lost.append(link)
    assert lost == []


def headings(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    words = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", [path for path in TEXTS if path != FRONT], ids=str)
def test_no_other_page_links_to_what_a_fork_replaces(page: Path) -> None:
    """The example, and the headings of the first page."""
    lost = []
    for name, heading in re.findall(r"\]\((?!\w+:)([^)#]+)(#[^)]+)?\)", TEXTS[page]):
        path = (ROOT / page.parent / name).resolve().relative_to(ROOT)
        if of_a_team(path) or (heading and path == FRONT):
            lost.append(name + heading)
    assert lost == []


@pytest.mark.parametrize("page", OURS, ids=str)
def test_no_page_is_long_or_wide(page: Path) -> None:
    lines = TEXTS[page].splitlines()
    assert [line for line in lines if len(line) > 120] == []
    assert len(lines) <= (150 if page == FRONT else 60 if page.parts[0] in STAGES else 120)


def test_every_stage_has_a_page() -> None:
    assert {Path(stage, "README.md") for stage in STAGES[1:]} <= TEXTS.keys()


@pytest.mark.parametrize("stage", STAGES if TREE or not FORKED else ())
def test_the_tree_names_every_verb_and_folder(stage: str) -> None:
    row, inside = re.findall(rf"(?m)^{stage}/(.*?(?: ·\n.*)?)\n((?:  .*\n)*)", TREE)[0]  # one line, or two
    verbs = {verb.name for verb in importlib.import_module(f"{stage}.__main__").VERBS}
    assert verbs == set(re.split(r" ·\s+", re.findall(r"\w+(?: ·\s+\w+)+", row)[0]))
    folders = {path.parts[1] for path in NAMES if path.parts[0] == stage and len(path.parts) > 2}
    assert FORKED or folders == set(re.findall(r"(?m)^  (\w+)/", inside))


@pytest.mark.skipif(FORKED, reason="a fork has a README and models of its own")
def test_the_request_fits_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = TEXTS[FRONT]
    name = re.findall(r"python -m serving serve (\w+)", text)[0]
    asked, answered = request.models(derivation.derive(config.load(name)))
    (sent,), (got,) = re.findall(r"(?s)/predict .*?-d '(.+?)'\n", text), re.findall(r'(?m)^    (\{"scores.+)$', text)
    asked.model_validate_json(sent)
    assert answered.model_validate_json(got).model_dump()["model"] == name


def test_the_top_level_holds_only_stages_and_their_frame() -> None:
    names = {path.parts[0] for path in NAMES}
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
