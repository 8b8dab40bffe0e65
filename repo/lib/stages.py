"""The stages of a model's dvc.yaml as DVC understands them, with every variable put in; DVC itself takes a second.

python -c 'from repo.lib import stages; print(stages.of("flight_delay").stages)'

Pipelines that differ by their model's name alone, for which MARK stands in the paths, are read once: a thousand of them
take seconds otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from posixpath import normpath
from typing import Any

import yaml

from repo.lib import graph
from repo.lib.files import LOADER

VARIABLE = re.compile(r"\$\{([^}]*)\}")
MARK = "\ue000"
MANY = {"foreach", "do", "matrix", "vars"}  # what makes several stages of one


class Unclear(Exception):
    """A file says something that is not understood here: whoever asks must assume everything."""


@dataclass(frozen=True)
class Stage:
    """Every path is from the root."""

    verbs: frozenset[str]  # their files
    deps: frozenset[str]
    outs: frozenset[str]
    params: dict[str, list[str]]  # file -> keys; none: the whole file


@dataclass(frozen=True, eq=False)
class Pipeline:
    stages: dict[str, Stage]

    def depending(self, model: str, touched: set[str]) -> set[str]:
        """The stages that depend on one of these paths, model.yaml apart: its keys tell."""
        touched = touched - {f"models/{model}/model.yaml"}
        return {
            name
            for name, stage in self.stages.items()
            if any(path.replace(MARK, model) in touched for path in stage.deps | stage.params.keys())
        }

    def downstream(self, changed: Iterable[str]) -> set[str]:
        """These stages and all that read what they make."""
        found = set(changed)
        while True:
            made = touched({out for name in found & self.stages.keys() for out in self.stages[name].outs})
            new = {name for name, stage in self.stages.items() if not stage.deps.isdisjoint(made)} - found
            if not new:
                return found
            found |= new


def touched(paths: Iterable[str]) -> set[str]:
    """What a dependency may be called that one of these changes: the path, a folder above, or the data it pins."""
    found = set()
    for path in paths:
        parts = path.removesuffix(".dvc").split("/")
        found |= {path, *("/".join(parts[:end]) for end in range(1, len(parts) + 1))}
    return found


def of(model: str) -> Pipeline:
    """The pipeline in the working tree."""
    dvc, settings = graph.text(f"models/{model}/dvc.yaml"), graph.text(f"models/{model}/model.yaml")
    marked = dvc.replace(f"- model: {model}\n", f"- model: {MARK}\n")
    values = Values(model, mapping(marked).get("vars") or [], settings)
    return _pipeline(marked, tuple((name, values.value(name)) for name in _variables(marked)))


def dataset(model: str) -> str:
    return Values(model, ["model.yaml"], graph.text(f"models/{model}/model.yaml")).value("dataset")


def redefined(model: str, pipeline: str, settings: str) -> tuple[set[str], set[str]]:
    """The stages whose definition or parameters differ from those of an earlier dvc.yaml and model.yaml.

    And the keys of model.yaml, as `serving.max_rows`, that differ and of which no stage reads anything.
    """
    present = graph.text(f"models/{model}/model.yaml")
    old = _definitions(model, pipeline, settings)
    new = _definitions(model, graph.text(f"models/{model}/dvc.yaml"), present)
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    was, now = (dict(_leaves(mapping(content))) for content in (settings, present))
    keys = {key for key in was.keys() | now.keys() if key not in was or key not in now or was[key] != now[key]}
    read = set()
    for name, stage in of(model).stages.items():
        for file, listed in stage.params.items():
            of_it = keys if file.replace(MARK, model) == f"models/{model}/model.yaml" else set()
            if hit := {key for key in of_it if not listed or _touches(listed, key)}:
                changed.add(name)
                read |= hit
    return changed, keys - read


@cache
def mapping(content: str) -> dict[str, Any]:
    try:
        found = yaml.load(content, Loader=LOADER)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError) as error:
        raise Unclear("no YAML") from error
    if not isinstance(found, dict):
        raise Unclear("no mapping")
    return found


class Values:
    """What `vars` give; model.yaml is parsed only for what no single line of it tells."""

    def __init__(self, model: str, listed: list[Any], settings: str) -> None:
        self.model, self.settings = model, settings
        self.given = {key: value for each in listed if isinstance(each, dict) for key, value in each.items()}
        self.files = [each for each in listed if isinstance(each, str)]

    def value(self, name: str) -> str:
        if name in self.given:
            return str(self.given[name])
        if self.files != ["model.yaml"]:
            raise Unclear(f"models/{self.model}/dvc.yaml: ${{{name}}} comes from elsewhere")
        if "." not in name and (line := re.search(rf"(?m)^{re.escape(name)}: +(\w+) *(?:#.*)?$", self.settings)):
            return line[1]
        value: object = mapping(self.settings)
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            raise Unclear(f"models/{self.model}/dvc.yaml: ${{{name}}} is nowhere")
        return str(value)

    def put(self, template: str) -> str:
        return VARIABLE.sub(lambda found: self.value(found[1].strip()), template)


def _definitions(model: str, dvc: str, settings: str) -> dict[str, str]:
    """Stage -> all that dvc.yaml says of it."""
    content = mapping(dvc)
    values = Values(model, content.get("vars") or [], settings)
    if not isinstance(content.get("stages"), dict):
        raise Unclear(f"models/{model}/dvc.yaml has no stages")
    return {name: values.put(json.dumps(each, sort_keys=True, default=str)) for name, each in content["stages"].items()}


@cache
def _variables(marked: str) -> list[str]:
    """Those that paths are made of."""
    try:
        stages = [{**each, "cmd": ""} for each in mapping(marked)["stages"].values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise Unclear("dvc.yaml has no stages") from error
    return sorted({name.strip() for name in VARIABLE.findall(json.dumps(stages, default=str))})


@cache
def _pipeline(marked: str, values: tuple[tuple[str, str], ...]) -> Pipeline:
    given = Values(MARK, [dict(values)], "")
    try:
        return Pipeline({name: _stage(each, given) for name, each in mapping(marked)["stages"].items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise Unclear("dvc.yaml") from error


def _stage(content: dict[str, Any], values: Values) -> Stage:
    if MANY & content.keys():
        raise Unclear("dvc.yaml makes stages of a list")
    place = f"models/{MARK}/{values.put(content.get('wdir', '.'))}"

    def paths(*keys: str) -> frozenset[str]:
        listed = [each for key in keys for each in content.get(key) or []]
        names = [next(iter(each)) if isinstance(each, dict) else each for each in listed]
        return frozenset(normpath(f"{place}/{values.put(name)}") for name in names)

    params: dict[str, list[str]] = {}
    for each in content.get("params") or []:
        for file, keys in (each if isinstance(each, dict) else {"params.yaml": [each]}).items():
            params[normpath(f"{place}/{values.put(file)}")] = [values.put(key) for key in keys or []]
    return Stage(graph.commanded(str(content["cmd"])), paths("deps"), paths("outs", "metrics", "plots"), params)


def _touches(listed: Iterable[str], key: str) -> bool:
    """Whether a key lies above, at or below one of these."""
    return any(f"{key}.".startswith(f"{each}.") or f"{each}.".startswith(f"{key}.") for each in listed)


def _leaves(content: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _leaves(value, f"{above}.{key}" if above else str(key))
    else:
        yield above, content
