"""What must run again for a change: a table from the path of a file to the first stage that reads it.

The first row that fits a path counts. What no row knows makes everything run again: too much work, never too little.
The rows are held against what the verbs of each stage import by tests/repo/test_rows.py.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from repo.lib.files import LOADER
from repo.lib.git import contents

GROUND = ("repo", "data_schemas", "models", "serving", "deploy")  # the folders of the engine, from the lowest
STAGES = ["train", "gates", "build", "rehearse"]  # of a model; each is followed by all after it
MARKS = {"models": "model.yaml", "data_schemas": "schema.py"}  # what makes a folder one of these
TRAIN, GATES, BUILD, REHEARSE = STAGES
RUNNER = "ubuntu-24.04"  # of GitHub, that trains a model which names none


class Row(NamedTuple):
    prefixes: tuple[str, ...]
    first: str = ""  # of STAGES; none: no stage reads it
    data: bool = False  # whether the checks of datasets read it
    manifests: bool = False  # whether those of the manifests do


EVERYTHING = Row(("",), TRAIN, data=True, manifests=True)
# Of the engine, for every model and dataset.
ENGINE = (
    Row((".github/actions/",), *EVERYTHING[1:]),  # they install the tools of every job
    Row((".ci/", ".git", "tests/", "Makefile", "pyproject.toml")),
    Row(("requirements/training.txt",), *EVERYTHING[1:]),
    Row(("requirements/serving.txt",), BUILD),
    Row(("requirements/",)),
    Row(("repo/lib/",), *EVERYTHING[1:]),
    Row(("repo/",)),
    Row(("data_schemas/ingest.py",), GATES, data=True),
    Row(("data_schemas/validate.py",), TRAIN, data=True),
    Row(("data_schemas/new.py", "data_schemas/lib/draft/")),  # no job of a change runs them
    Row(("data_schemas/",), *EVERYTHING[1:]),
    Row(tuple(f"models/{verb}.py" for verb in ("evaluate", "measure", "gates", "report", "run", "accept")), GATES),
    Row(
        tuple(f"models/{verb}.py" for verb in ("compile", "drift", "retrain", "review"))
    ),  # no job of a change runs them
    Row(("models/lib/clients/",), GATES),
    Row(("models/lib/report/",), GATES),
    Row(("models/lib/",), TRAIN, manifests=True),
    Row(("models/",), TRAIN),
    Row(("serving/serve.py",), REHEARSE),
    Row(("serving/runtime/", "serving/lib/"), BUILD, manifests=True),
    Row(("serving/",), BUILD),
    Row(("deploy/releases/",), manifests=True),
    Row(
        tuple(f"deploy/{verb}.py" for verb in ("diff", "due", "promote", "rollback", "status", "verify")),
        manifests=True,
    ),
    # Of what stands below them a rehearsal reads none of these.
    Row(tuple(f"deploy/checks/{name}" for name in ("check", "difference", "promql", "rules/")), manifests=True),
    Row(tuple(f"deploy/lib/{name}." for name in ("decision", "pending", "promotion", "staging")), manifests=True),
    Row(("deploy/",), REHEARSE, manifests=True),
)
# Of a team's folder, by the path inside it.
MODEL = (Row(("test_", "conftest.py", "card.md"), GATES), Row(("resources.yaml",), REHEARSE, manifests=True))
DATASET = (Row(("source.py",), GATES, data=True),)
# Of a setting of model.yaml, by its dotted name: what `params` of the pipeline say, and who reads the rest.
SETTINGS = (
    Row(("dataset", "features", "frame", "backend", "split", "target", "task", "training"), TRAIN),
    Row(("windows.train", "windows.valid", "storage"), TRAIN),
    Row(("serving.threshold",), GATES),
    Row(("serving.",), BUILD),
    Row(("",), GATES),
)


class Change:
    """Paths that differ from the commit `base`."""

    def __init__(self, base: str, paths: list[str]) -> None:
        self.base, self.paths = base, paths
        self.models, self.datasets = (folders(stage) for stage in MARKS)
        self.rows: list[Row] = []  # of what the engine is made of
        self.owned: dict[tuple[str, str], list[str]] = {}  # (stage, folder of a team) -> paths inside
        self.shared = False  # whether anything but a team's folders and releases differs
        for path in paths:
            if (path.endswith(".md") and Path(path).name != "card.md") or path == "LICENSE":
                continue
            if owner := _owner(path):
                stage, folder, inner = owner
                self.owned.setdefault((stage, folder), []).append(inner)
            else:
                self.rows.append(_row(ENGINE, path))
                self.shared |= not path.startswith("deploy/releases/")

    def stages(self, model: str) -> list[str]:
        """Which of STAGES this model needs."""
        found = {row.first for row in self.rows} | {row.first for row in self._of_model(model)}
        return STAGES[min((STAGES.index(each) for each in found if each), default=len(STAGES)) :]

    def tests_data(self, dataset: str) -> bool:
        """Whether the tests of this dataset are due."""
        return any(row.data for row in self.rows) or ("data_schemas", dataset) in self.owned

    def tests(self) -> list[str]:
        """The folders of tests/ that are due: all, where more changed than folders of models and data.

        They work with models and data of their own, so a team's model or dataset is tested by its own jobs.
        """
        return tested() if self.shared else []

    def verifies(self) -> bool:
        """Whether the manifests are due: `verify` holds releases against their models, too."""
        return any(row.manifests for row in self.rows) or bool(self.owned)

    def _of_model(self, model: str) -> Iterator[Row]:
        for inner in self.owned.get(("models", model), ()):
            yield from self._of_settings(model) if inner == MARKS["models"] else [_row(MODEL, inner)]
        if ("releases", model) in self.owned:  # its champion
            yield Row((), GATES)
        changed = {folder for stage, folder in self.owned if stage == "data_schemas"}
        if changed and (used := dataset(model)) in changed | {None}:
            yield from (_row(DATASET, inner) for inner in self.owned.get(("data_schemas", str(used)), [""]))

    def _of_settings(self, model: str) -> Iterator[Row]:
        path = f"models/{model}/{MARKS['models']}"
        was, now = (_mapping(text) for text in (self._before.get(path, ""), _text(path)))
        if was is None or now is None:
            yield EVERYTHING
            return
        old, new = dict(leaves(was)), dict(leaves(now))
        yield from (_row(SETTINGS, key) for key in old.keys() | new.keys() if old.get(key, ...) != new.get(key, ...))

    @cached_property
    def _before(self) -> dict[str, str]:
        """Settings that changed, as they were."""
        return contents(self.base, [path for path in self.paths if path.endswith("/model.yaml") and "\n" not in path])


def folders(stage: str) -> list[str]:
    """As config.names and datasets.names have them, whose imports take longer than all of this."""
    return sorted(path.parent.name for path in Path(stage).glob(f"*/{MARKS[stage]}"))


def dataset(model: str) -> str | None:
    """The dataset that model.yaml names; None where it cannot be read."""
    text = _text(f"models/{model}/{MARKS['models']}")
    if line := re.search(r"(?m)^dataset: +(\w+) *(?:#.*)?$", text):  # parsing a thousand files takes seconds
        return line[1]
    found = (_mapping(text) or {}).get("dataset")
    return found if isinstance(found, str) else None


def runners(models: Iterable[str]) -> dict[str, str]:
    """The runner of each of these models that names one (`runs_on` of model.yaml)."""
    found = {name: re.search(r"(?m)^runs_on: +([\w.-]+)", _text(f"models/{name}/model.yaml")) for name in models}
    return {name: line[1] for name, line in found.items() if line}


def tested() -> list[str]:
    """The folders of tests/ that have tests."""
    return sorted({path.parts[1] for path in Path("tests").glob("*/**/test_*.py")})


def _owner(path: str) -> tuple[str, str, str] | None:
    """Stage, folder and path inside it, of what is a team's: it changes nothing for others."""
    stage, folder, inner = [*path.split("/", 2), "", ""][:3]
    if stage in MARKS and inner and folder != "lib":
        return stage, folder, inner
    if path.startswith("deploy/releases/") and path.count("/") > 3:
        return "releases", path.split("/")[3], ""  # written by promotion; each model's champion is in its own
    return None


def _row(table: tuple[Row, ...], path: str) -> Row:
    return next((row for row in table if path.startswith(row.prefixes)), EVERYTHING)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, ValueError):
        return ""


def _mapping(content: str) -> dict[str, Any] | None:
    try:
        found = yaml.load(content, Loader=LOADER)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def leaves(content: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from leaves(value, f"{above}.{key}" if above else str(key))
    else:
        yield above, content
