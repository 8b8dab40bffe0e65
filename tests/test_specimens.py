"""Tests prove the template on specimens, so that they hold in any fork: none knows a team's model, data or address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import repository, specimens
from tests.support.repository import ROOT
from tests.support.specimens import SPECIMENS

TESTS = ROOT / "tests"
EXEMPT = ("bench/", "fork")  # the figures of the shipped example; what renames it


def taken(root: Path) -> list[str]:
    """What only this repository says of itself: its models and datasets, and the addresses and teams of its owner."""
    folders = [
        path.parent
        for stage, mark in (("models", "model.yaml"), ("data_schemas", "schema.py"))
        for path in (root / stage).glob(f"*/{mark}")
    ]
    own = {path.name for path in SPECIMENS.glob("*/*")} if root == ROOT else set()  # in a scene of tests/github
    paths = [f"{folder.parent.name}/{folder.name}" for folder in folders if folder.name not in own]
    fork = yaml.safe_load((root / "deploy/argocd/fork.yaml").read_text())["data"]
    teams = re.findall(r"(@\S+/\S+)", (root / ".github/CODEOWNERS").read_text())
    return sorted({*paths, fork["repository"], fork["registry"], *teams})


def pattern(word: str) -> re.Pattern[str]:
    """A name of several words is found anywhere, with dashes too; a single word in a path, as a module or quoted."""
    stage, _, name = word.partition("/")
    if stage not in ("models", "data_schemas"):
        return re.compile(re.escape(word) + r"(?![\w-])")
    either = re.escape(name).replace("_", "[_-]")
    before = r"(?<![^\W_])" if "_" in name else rf"(?:{stage}[/.]|(?<=[\"'`\[]))"
    after = r"(?![^\W_])" if "_" in name else r"(?=[\"'`\]/.])"
    return re.compile(before + either + after)


def naming(files: dict[str, str], words: list[str]) -> Iterator[str]:
    for name, text in files.items():
        for word in words:
            if found := pattern(word).search(text):
                line = text.count("\n", 0, found.start()) + 1
                yield f"tests/{name}:{line} names {word}; use a specimen (tests/support/specimens.py)"


def texts() -> dict[str, str]:
    listed = repository.git("ls-files", "--cached", "--others", "--exclude-standard", "tests", root=ROOT).splitlines()
    names = [name.removeprefix("tests/") for name in listed if (ROOT / name).is_file()]
    return {name: (TESTS / name).read_text(errors="replace") for name in names if not name.startswith(EXEMPT)}


def test_no_test_names_what_belongs_to_a_team() -> None:
    words = taken(ROOT)
    assert list(naming(texts(), words)) == []
    kinds = [each for each in ("http", "@") if any(word.startswith(each) for word in words)]
    assert kinds == ["http", "@"], "an address, and a team of CODEOWNERS"


WORDS = ["models/specimen_wait", "data_schemas/specimenorders", "@specimen-shop/platform"]
WORDS += ["https://github.com/specimen-shop/fork", "registry.example.com/specimen-shop"]


@pytest.mark.parametrize(
    "line",
    [
        'config.load("specimen_wait")',
        "Path('models/specimen_wait/model.yaml')",
        '["python", "-m", "deploy", "status", "specimen-wait"]',
        "from data_schemas.specimenorders.schema import Specimens",
        "run[specimen_wait]",
        'image = "registry.example.com/specimen-shop/specimen-wait@sha256:…"',
        "clone https://github.com/specimen-shop/fork",
        "* @specimen-shop/platform",
    ],
)
def test_a_test_that_names_it_is_found(line: str) -> None:
    assert next(naming({"test_new.py": "ok\n" + line}, WORDS)).startswith("tests/test_new.py:2 names ")
    other = 'NAME = "specimen_delay"  # specimenorders of magnitude, a specimen_waiter'
    assert not list(naming({"test_new.py": other}, WORDS))


def test_the_tree_of_specimens_has_the_engine_and_nothing_of_a_team() -> None:
    """The current directory of every test."""
    assert not list(naming({"tree": "\n".join(specimens.engine())}, taken(ROOT)))
    assert {path.parent.name for path in Path("models").glob("*/model.yaml")} == {specimens.NAME}
    assert Path("deploy/base/rollout.yaml").read_bytes() == (ROOT / "deploy/base/rollout.yaml").read_bytes()
    assert specimens.REGISTRY in Path("deploy/argocd/fork.yaml").read_text()
