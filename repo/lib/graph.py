"""What the Python files of the stages read: what they import, start and name; found in their text, nothing is run.

python -c 'from repo.lib import graph; print(sorted(graph.closure(["models/train.py"])))'

Own code, because grimp, which import-linter uses, takes a second for a thousand model folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath

STAGES = ("repo", "data_schemas", "models", "serving", "deploy")
NOUNS = ("data_schemas", "models")  # their folders are what the others work on

# No statement shares its line with another one: ruff's E70 sees to it. Words of a comment beside it do no harm.
IMPORT = re.compile(r"import[ \t]+(\([^)]*\)|[^\n]*)")
LOADED = re.compile(r'import_module\(f"([^"]*)"')  # f"models.{model.name}.network"
QUOTED = re.compile(r'"([^"\n]*)"')  # the quotes of `ruff format`
MODULE = re.compile(r'"((?:repo|data_schemas|models|serving|deploy)\.[\w.]+)(?::\w+)?"')  # "serving.runtime.entry"
STARTED = re.compile(r'"-m", "(\w+)", "(\w+)"')  # a verb, as a process of its own
COMMAND = re.compile(r"\bpython -m (\w+) (\w+)")  # a verb, in a command line


def forget() -> None:
    """What was read of another tree, or of this one at another time."""
    for remembered in (text, quoted, imports, reach):
        remembered.cache_clear()


@cache
def text(path: str) -> str:
    """A file of the working tree; empty where there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes twice as long, and there are thousands
            return file.read().decode(errors="replace")
    except OSError:
        return ""


@cache
def quoted(path: str) -> frozenset[str]:
    return frozenset(QUOTED.findall(text(path)))


def verb(stage: str, name: str) -> list[str]:
    """The files of `python -m <stage> <name>`."""
    return [f"{stage}/__main__.py", f"{stage}/{name}.py"]


@cache
def commanded(line: str) -> frozenset[str]:
    """The files of the verbs in a command line."""
    return frozenset(path for stage, name in COMMAND.findall(line) if stage in STAGES for path in verb(stage, name))


@cache
def imports(path: str) -> frozenset[str]:
    """The files that a Python file imports or starts, there or not: one that is deleted is a change, too."""
    source, modules = text(path), set[str]()
    for found in IMPORT.finditer(source):
        before = source[source.rfind("\n", 0, found.start()) + 1 : found.start()].split()
        if not before:
            modules |= set(re.findall(r"[\w.]+", found[1]))
        elif before[0] == "from" and len(before) == 2 and before[1].startswith((".", *STAGES)):
            module = _absolute(path, before[1])
            modules |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", found[1]))}
    modules |= set(MODULE.findall(source))
    started = STARTED.findall(source) if '"-m", "' in source else []
    files = {file for stage, name in started if stage in STAGES for file in verb(stage, name)}
    return frozenset(files.union(*map(_files, modules)))


def _absolute(path: str, module: str) -> str:
    """`..x` in a/b/c.py is a.x."""
    dots = len(module) - len(module.lstrip("."))
    return ".".join([*path.split("/")[:-dots], module[dots:]]).rstrip(".") if dots else module


@cache
def _files(module: str) -> frozenset[str]:
    """What is run when a module is imported, packages included; nothing for one that is not of the stages."""
    parts = module.split(".")
    packages = ["/".join([*parts[:end], "__init__.py"]) for end in range(1, len(parts))]
    return frozenset(["/".join(parts) + ".py", *packages]) if parts[0] in STAGES else frozenset()


def closure(roots: Iterable[str]) -> set[str]:
    """These Python files and all that they import, directly or not."""
    found = set(roots)
    ahead = list(found)
    while ahead:
        new = imports(ahead.pop()) - found
        found |= new
        ahead += new
    return found


@dataclass(frozen=True, eq=False)
class Reach:
    """All that some Python files read."""

    files: frozenset[str]
    words: frozenset[tuple[str, str]]  # what is quoted, and in which stage
    loaded: frozenset[str]  # patterns of the files that are imported by a name put together
    answers: dict[str, bool] = field(default_factory=dict)

    def works_in(self, path: str) -> bool:
        """Whether one of the files lies in the path's stage."""
        return any(stage == path.partition("/")[0] for stage, _ in self.words)

    def reads(self, path: str) -> bool:
        """Imported; or named by its path, a folder above it, or its own name, which is heard in its own stage only.

        Of a model or a dataset every stage may read a file, so its name is heard in all.
        """
        if (found := self.answers.get(path)) is None:
            found = self.answers[path] = self._reads(path)
        return found

    def _reads(self, path: str) -> bool:
        place = PurePosixPath(path)
        stages = STAGES if noun_folder(path) else place.parts[:1]
        for pattern in self.loaded:  # data_schemas/*/*.py asks for `schema` or `source` by this word
            if fnmatch(path, pattern) and (not pattern.endswith("*.py") or self._say(place.stem, STAGES)):
                return True
        above = [str(each) for each in place.parents if len(each.parts) > 1]
        if any(self._kustomizes(each, path) for each in above):
            return True
        named = self._say(place.name, stages) or any(self._say(each, STAGES) for each in (path, *above))
        return named or path in self.files

    def _kustomizes(self, folder: str, path: str) -> bool:
        """kustomize reads what lies in its folder or below, as the files there name it."""
        root = f"{folder}/kustomization.yaml"
        return path.startswith("deploy/") and path != root and Path(root).is_file() and self.reads(root)

    def _say(self, word: str, stages: Iterable[str]) -> bool:
        return any((stage, word) in self.words for stage in stages)


@cache
def reach(roots: frozenset[str]) -> Reach:
    files = frozenset(closure(roots))
    words = frozenset((path.partition("/")[0], word) for path in files for word in quoted(path))
    names = [re.sub(r"\{[^}]*\}", "*", name) for path in files for name in LOADED.findall(text(path))]
    # `*.*` is repo.lib.command, which loads a verb; commands name those.
    return Reach(files, words, frozenset(name.replace(".", "/") + ".py" for name in names if name[0] != "*"))


def noun_folder(path: str) -> tuple[str, str] | None:
    """The stage and the folder when the path lies in a folder of models/ or data_schemas/."""
    parts = path.split("/")
    return (parts[0], parts[1]) if len(parts) > 2 and parts[0] in NOUNS else None
