"""Whether dvc.lock names what the sources beside it make, told without DVC: for verbs that it runs, and for any commit.

python -c 'from models import lock; print(lock.faults("flight_delay", lock.here))'

`python -m models run flight_delay --check` asks DVC itself, which knows more and takes a second.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from data_schemas.lib import datasets, pointer
from models.lib import config, engine, pipeline
from repo.lib.files import LOADER, read_yaml
from repo.lib.refusal import Refusal

STAGES = ("train", "export", "evaluate")  # what a passport is about
ABSENT = ("deleted", "not in cache")  # DVC's words
Read = Callable[[str], bytes | None]  # a path from the root -> its bytes, None where there is none


def here(path: str) -> bytes | None:
    """The working tree."""
    file = Path(path)
    return file.read_bytes() if file.is_file() else None


def faults(name: str, read: Read) -> list[str]:
    """What of the sources, settings or data differs from what the lock was made of, a phrase each; model.onnx, too."""
    folder = f"models/{name}"
    stages = _mapping(read(f"{folder}/dvc.lock")).get("stages")
    if lacking := [stage for stage in STAGES if not isinstance(stages, dict) or stage not in stages]:
        return [f"{folder}/dvc.lock has no stage {lacking[0]}"]
    assert isinstance(stages, dict)
    found = [fault for stage in STAGES for fault in _of_stage(stage, stages[stage], folder, read)]
    for out in stages["export"].get("outs") or []:
        content = read(out["path"])  # None with `storage: dvc`, whose bytes the passport's own hash tells
        if content is not None and _md5(content) != out["md5"]:
            found.append(f"{out['path']} is not the file that the lock names")
    return list(dict.fromkeys(found))


def refuse_stale(name: str) -> None:
    """A model.onnx that the lock names, beside sources that would make another one: figures of it are not theirs.

    A file that the lock does not name was made by hand since; `promote` refuses that, and a trial does not.
    """
    onnx = f"models/{name}/model.onnx"
    found = faults(name, here)
    if found and not any(fault.startswith(onnx) for fault in found):
        raise Refusal(
            f"models/{name} is not what its sources make ({found[0]}); make it with `python -m models run {name}`."
        )


def path(model: config.Model) -> Path:
    return model.folder / "dvc.lock"


def stale(model: config.Model) -> list[str]:
    """What of the lock does not fit the tree, one sentence each."""
    if not path(model).is_file():
        return [f"{path(model)} is missing"]
    if model.storage == "git" and (missing := [each for each in (model.weights, model.onnx) if not each.exists()]):
        return [f"{missing[0]} is missing"]
    if engine.differs(model):
        return [f"{model.folder}/dvc.yaml is not what `models run` writes"]
    engine.hash_sources(model)
    changed, found = pipeline.status(model.folder / "dvc.yaml"), _torn(model)
    for stage, changes in changed.items():
        for change in changes:
            # A stage says {"changed deps" or "changed outs": {path: state}}, or a word such as "changed command".
            kinds = change if isinstance(change, dict) else {change: {}}
            for kind, states in kinds.items():
                # A fresh clone has neither data nor build products; that they are absent says nothing of their age.
                news = [each for each, state in states.items() if not (state in ABSENT and _is_made(model, each))]
                if str(engine.path(model)) in news:
                    found.append(f"{stage.rpartition(':')[2]}: what the template or its packages make of it changed")
                    news.remove(str(engine.path(model)))
                if news or not states:
                    found.append(f"{stage.rpartition(':')[2]}: {kind}: {', '.join(news) or 'see dvc.yaml'}")
    return found


def _is_made(model: config.Model, name: str) -> bool:
    """Whether verbs make this path and Git does not hold it."""
    stored = {model.weights, model.onnx} if model.storage == "dvc" else set()
    return Path(name).is_relative_to(model.build) or Path(name) in {datasets.data(model.dataset), *stored}


def _torn(model: config.Model) -> list[str]:
    """Where a stage saw another version than the lock or the data's pointer names: a run that was cut short."""
    stages = read_yaml(path(model), f"make it with `python -m models run {model.name}`").get("stages") or {}
    made = {each["path"]: each["md5"] for stage in stages.values() for each in stage.get("outs", [])}
    data, pinned = str(datasets.data(model.dataset)), pointer.pinned(model.dataset)
    faults: dict[str, None] = {}  # in order, each once
    for name, stage in stages.items():
        for dep, md5 in ((each["path"], each["md5"]) for each in stage.get("deps", [])):
            if dep == data and (pinned is None or md5 != pinned.hash):
                faults[f"{data}.dvc is newer than the lock"] = None
            elif made.get(dep, md5) != md5:
                faults[f"{name}: {dep} is newer than the stage"] = None
    return list(faults)


def _of_stage(stage: str, locked: dict[str, Any], folder: str, read: Read) -> Iterator[str]:
    for dep in locked.get("deps") or []:
        path, md5 = dep["path"], dep["md5"]
        if path.startswith(folder) and not path.endswith(".py"):
            continue  # made by a stage before
        content = read(f"{path}.dvc") if md5.endswith(".dir") else read(path)
        now = _pinned(content) if md5.endswith(".dir") else _md5(content or b"")
        if now != md5:
            yield f"{stage}: {path} changed"
    for file, params in (locked.get("params") or {}).items():
        if file == f"{folder}/build/{engine.FILE}":
            # Of another commit nobody can say which files of the template it was.
            made = engine.hashes(config.load(Path(folder).name, check_columns=False)) if read is here else params
            if any(made.get(key) != value for key, value in params.items()):
                yield f"{stage}: what the template or its packages make of it changed"
            continue
        settings = _mapping(read(file))
        for key, value in params.items():
            if _plain(_at(settings, key)) != _plain(value):
                yield f"{stage}: {key} of {file} changed"


def _mapping(content: bytes | None) -> dict[str, Any]:
    with contextlib.suppress(yaml.YAMLError, ValueError):
        found = yaml.load(content or b"", Loader=LOADER)  # noqa: S506 - both are safe loaders
        return found if isinstance(found, dict) else {}
    return {}


def _pinned(content: bytes | None) -> str | None:
    try:
        return str(_mapping(content)["outs"][0]["md5"])
    except (KeyError, TypeError, IndexError):
        return None


def _at(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _plain(value: Any) -> Any:
    """The value whatever its notation: DVC writes 1e-05 for 0.00001, and PyYAML takes that for text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
