"""What must be done again for a change: by dvc.yaml (stages.py), by imports and named files (graph.py).

python -c 'from repo.lib.change import Change; print(Change("HEAD", ["models/lib/metrics.py"]).stages("flight_delay"))'

What neither explains must all be done again: too much work, never too little.
"""

from __future__ import annotations

import ast
import re
from functools import cached_property
from pathlib import Path

from repo.lib import graph, stages
from repo.lib.git import contents
from repo.lib.graph import Reach, reach, verb
from repo.lib.stages import MARK, Pipeline, Unclear

STAGES = ["train", "gates", "build", "rehearse"]  # of a model; each is followed by all after it
FIGURES = {"validate", "profile", "evaluate"}  # of dvc.yaml: by themselves they make no other model
# What each job runs; what `train` runs, dvc.yaml says. The image is made at the release, of what `build` has tested.
ROOTS = {
    "gates": verb("models", "run"),
    "build": verb("serving", "contract") + verb("serving", "build") + verb("serving", "image"),
    "rehearse": verb("deploy", "rehearse"),
    "data": verb("data_schemas", "ingest") + verb("data_schemas", "validate"),
    "manifests": verb("deploy", "verify") + verb("deploy", "diff"),
}
MARKS = {"models": "model.yaml", "data_schemas": "schema.py"}  # what makes a folder one of these
PACKAGES = "requirements/training.txt"  # of all that reads data
# What only linters, tests and GitHub read; but the action installs the tools of every job.
FRAME = (".ci/", ".git", "tests/", "Makefile", "pyproject.toml", "requirements/development.txt")
INSTALLS = ".github/actions/"


class Change:
    """Paths that differ from the commit `base`."""

    def __init__(self, base: str, paths: list[str]) -> None:
        graph.forget()
        self.base, self.paths = base, paths
        self.models, self.datasets = (folders(stage) for stage in MARKS)
        self.reads = {job: reach(frozenset(roots)) for job, roots in ROOTS.items()}
        self.real = [path for path in paths if not _documents(path)]
        self.code = {path for path in self.real if path.endswith(".py")}
        self.shared: list[str] = []
        self.owned: dict[tuple[str, str], set[str]] = {}  # (stage, folder) -> paths
        for path in self.real:
            if owner := self._owner(path):
                self.owned.setdefault(owner, set()).add(path)
            else:
                self.shared.append(path)
        self.everything = any(map(self._unknown, self.shared))
        self.inputs = [path for path in self.shared if not path.startswith(FRAME)]
        self.touched = stages.touched(self.real)
        self.fed: dict[Pipeline, set[str]] = {}
        self.jobs = {job for path in self.inputs for job in self._jobs(path)}

    def stages(self, model: str) -> list[str]:
        """Which of STAGES this model needs."""
        try:
            found = {"train"} if self.everything else self._stages(model) if self.real else set()
        except Unclear:
            found = {"train"}
        return STAGES[min((STAGES.index(each) for each in found & set(STAGES)), default=len(STAGES)) :]

    def tests_data(self, dataset: str) -> bool:
        """Whether the tests of this dataset are due."""
        shared = self.everything or "data" in self.jobs or PACKAGES in self.shared
        loaded = self._imported(*(f"data_schemas/{dataset}/{name}.py" for name in ("schema", "source")))
        return shared or ("data_schemas", dataset) in self.owned or bool(loaded)

    def tests(self) -> list[str]:
        """The folders of tests/ that are due: all, where more changed than folders of models and data.

        They work with models and data of their own, so a team's model or dataset is tested by its own jobs.
        """
        return tested() if self.shared else []

    def verifies(self) -> bool:
        """Whether the manifests are due."""
        marked = {_marked(path) for path in self.real if not path.startswith(FRAME)}
        return self.everything or any(
            path.startswith("deploy/") or self.reads["manifests"].reads(path) for path in marked
        )

    def _owner(self, path: str) -> tuple[str, str] | None:
        """The model or dataset in whose folder it lies: it changes nothing for others that do not name it."""
        stage, folder, inner = [*path.split("/"), "", ""][:3]
        if (stage, folder) == ("deploy", "releases"):  # written by promotion; each model's champion is in its own
            return ("releases", [*path.split("/"), ""][3])
        there = folder in {"models": self.models, "data_schemas": self.datasets}.get(stage, ())
        gone = stage in MARKS and f"{stage}/{folder}/{MARKS[stage]}" in self.paths
        return (stage, folder) if inner and (there or gone) else None

    def _unknown(self, path: str) -> bool:
        """Nothing is known to read it, or it is Python that cannot be parsed."""
        if path.startswith(FRAME):
            return path.startswith(INSTALLS)
        if path.partition("/")[0] in graph.STAGES:
            return path.endswith(".py") and not _parses(path)
        return not any(each.reads(path) for each in self.reads.values())

    def _jobs(self, path: str) -> set[str]:
        return {job for job, each in self.reads.items() if each.reads(path) or self._unnamed(path, each)}

    def _unnamed(self, path: str, by: Reach) -> bool:
        """What lies in a stage and is named nowhere may be read by all of its modules."""
        named = path.endswith(".py") or any(each.reads(path) for each in self.reads.values())
        return not named and by.works_in(path)

    def _stages(self, model: str) -> set[str]:
        own = self.owned.get(("models", model), set())
        settings, dvc = f"models/{model}/model.yaml", f"models/{model}/dvc.yaml"
        found, changed, pipeline, dataset = set(self.jobs), set[str](), stages.of(model), stages.dataset(model)
        if own & {settings, dvc}:
            before = {path: self._before.get(path, "") if path in own else graph.text(path) for path in (dvc, settings)}
            changed, unread = stages.redefined(model, before[dvc], before[settings])
            found |= {_reader(key) for key in unread}
        trains, judges = self._trains(model, dataset), self._judges(model, dataset)
        found |= {"train"} if trains else {"gates"} if judges else set()
        mine = (own - {settings, dvc}) | self.owned.get(("data_schemas", dataset), set())
        mine |= self.owned.get(("releases", model), set())
        changed |= pipeline.depending(model, self.touched) | self._fed(pipeline)
        for path in mine:
            marked = _marked(path)
            jobs = {job for job, each in self.reads.items() if each.reads(marked)}
            by = {name for name, stage in pipeline.stages.items() if reach(stage.verbs).reads(marked)}
            outs = {out for stage in pipeline.stages.values() for out in stage.outs}
            known = jobs or by or path in trains | judges or pipeline.depending(model, stages.touched([path]))
            changed |= by
            found |= jobs if known and marked not in {*outs, f"models/{MARK}/dvc.lock"} else {"train"}
        if changed:
            changed = pipeline.downstream(changed)
            found |= {"train"} if changed - FIGURES else {"gates"}
        return found

    def _trains(self, model: str, dataset: str) -> set[str]:
        """Changed Python that the network or the schema is or imports."""
        return self._imported(f"models/{model}/network.py") | self._imported(f"data_schemas/{dataset}/schema.py")

    def _judges(self, model: str, dataset: str) -> set[str]:
        """The same of the model's own tests and of the data's source."""
        present = [path.as_posix() for path in Path("models", model).glob("test_*.py")] if self.code else []
        gone = [path for path in self.code if path.startswith(f"models/{model}/test_")]
        tests = self._imported(*present, *gone, f"models/{model}/conftest.py", "models/conftest.py")
        return tests | self._imported(f"data_schemas/{dataset}/source.py")

    def _imported(self, *paths: str) -> set[str]:
        return self.code & graph.closure(paths) if self.code else set()

    def _fed(self, pipeline: Pipeline) -> set[str]:
        """The stages whose verbs read something that changed, of no model."""
        if pipeline not in self.fed:
            verbs = {name: reach(stage.verbs) for name, stage in pipeline.stages.items()}
            self.fed[pipeline] = {
                name
                for name, each in verbs.items()
                if any(each.reads(path) or self._unnamed(path, each) for path in self.inputs)
            }
        return self.fed[pipeline]

    @cached_property
    def _before(self) -> dict[str, str]:
        """Settings and pipelines that changed, as they were."""
        names = ("/model.yaml", "/dvc.yaml")
        return contents(self.base, [path for path in self.real if path.endswith(names) and "\n" not in path])


def folders(stage: str) -> list[str]:
    """As config.names and tables.names have them, whose imports take longer than all of this."""
    return sorted(path.parent.name for path in Path(stage).glob(f"*/{MARKS[stage]}"))


def _documents(path: str) -> bool:
    return path.endswith(".md") or Path(path).name == "LICENSE"


def _marked(path: str) -> str:
    """No model is named by what reads the files of all of them, so that one answer holds for all."""
    return re.sub(r"^models/[^/]+/", f"models/{MARK}/", path)


def _parses(path: str) -> bool:
    try:
        ast.parse(graph.text(path))
    except (SyntaxError, ValueError):
        return False
    return True


def _reader(key: str) -> str:
    """Who reads a setting that no stage of dvc.yaml reads: what is named as a stage belongs to it."""
    return {"serving": "build", "deploy": "rehearse"}.get(key.partition(".")[0], "gates")


def tested() -> list[str]:
    """The folders of tests/ that have tests."""
    return sorted({path.parts[1] for path in Path("tests").glob("*/**/test_*.py")})
