"""Whether dvc.lock names what the sources beside it make, found without DVC: here, in a second, and for any commit."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from data_schemas.lib import pointer
from models.lib import config, engine
from repo.lib.files import LOADER, read_yaml
from repo.lib.refusal import Refusal

STAGES = ("train", "export", "evaluate")  # what a passport is about
Read = Callable[[str], bytes | None]  # a path from the root -> its bytes, None where there is none


def here(path: str) -> bytes | None:
    """The working tree."""
    file = Path(path)
    return file.read_bytes() if file.is_file() else None


def faults(name: str, read: Read) -> list[str]:
    """What of sources, settings, data, weights and model.onnx is not what the lock was made of, a phrase each."""
    folder = f"models/{name}"
    stages = _mapping(read(f"{folder}/dvc.lock")).get("stages")
    if lacking := [stage for stage in STAGES if not isinstance(stages, dict) or stage not in stages]:
        return [f"{folder}/dvc.lock has no stage {lacking[0]}"]
    assert isinstance(stages, dict)
    stages = {stage: locked for stage, locked in stages.items() if stage in engine.SOURCES}  # DVC drops none
    made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs") or []}
    found = [fault for stage, locked in stages.items() for fault in _of_stage(stage, locked, folder, made, read)]
    for path, md5 in made.items():
        # Not the figures in build/, whose last digits another machine rounds another way.
        if not path.startswith(f"{folder}/build/") and _now(path, md5, read) not in (None, md5):
            found.append(f"{path} is not the file that the lock names")
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
    """What of the lock does not fit the tree, one phrase each. A lock that cannot be read is refused."""
    if not path(model).is_file():
        return [f"{path(model)} is missing"]
    if model.storage == "git" and (missing := [each for each in (model.weights, model.onnx) if not each.exists()]):
        return [f"{missing[0]} is missing"]
    if engine.differs(model):
        return [f"{model.folder}/dvc.yaml is not what `models run` writes"]
    locked = read_yaml(path(model), f"restore it with `git checkout -- {path(model)}`", ("stages",))["stages"]
    return faults(model.name, here) or [*_of_pipeline(model, locked)]


def _of_pipeline(model: config.Model, locked: dict[str, Any]) -> Iterator[str]:
    """Stages whose command, dependencies or settings differ between the lock and dvc.yaml."""
    settings = {"model": model.name} | _mapping(here(f"{model.folder}/model.yaml"))
    text = re.sub(r"\$\{([\w.]+)\}", lambda found: str(_at(settings, found[1])), engine.pipeline(model))
    for stage, wanted in _mapping(text.encode())["stages"].items():
        of_lock = locked.get(stage, {})
        keys = {file: sorted(values) for file, values in (of_lock.get("params") or {}).items()}
        params = {file: sorted(names) for each in wanted["params"] for file, names in each.items()}
        deps = [dep["path"] for dep in of_lock.get("deps") or []]
        if (of_lock.get("cmd"), sorted(deps), keys) != (wanted["cmd"], sorted(wanted["deps"]), params):
            yield f"{stage}: its command, dependencies or settings in dvc.yaml changed"


def _of_stage(stage: str, locked: dict[str, Any], folder: str, made: dict[str, str], read: Read) -> Iterator[str]:
    for dep in locked.get("deps") or []:
        path, md5 = dep["path"], dep["md5"]
        if path in made:  # by a stage before: a run that was cut short leaves another one there
            now: str | None = made[path]
        else:
            now = _pinned(read(f"{path}.dvc")) if md5.endswith(".dir") else _md5(read(path) or b"")
        if now != md5:
            yield f"{stage}: {path} changed"
    for file, params in (locked.get("params") or {}).items():
        if file == f"{folder}/build/{engine.FILE}":
            # Of another commit nobody can say which files of the template it was.
            hashes = engine.hashes(config.load(Path(folder).name, check_columns=False)) if read is here else params
            if any(hashes.get(key) != value for key, value in params.items() if key not in engine.COPIED):
                yield f"{stage}: what the template or its packages make of it changed"
            file, params = f"{folder}/model.yaml", {key: params[key] for key in engine.COPIED if key in params}
        settings = _mapping(read(file))
        for key, value in params.items():
            if _plain(_at(settings, key)) != _plain(value):
                yield f"{stage}: {key} of {file} changed"


def _now(path: str, md5: str, read: Read) -> str | None:
    """The hash of what is there; None where nothing is, or a folder that another commit has."""
    if md5.endswith(".dir"):
        return pointer.measure(Path(path)).hash if read is here and Path(path).is_dir() else None
    content = read(path)
    return None if content is None else _md5(content)


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
    """The value whatever its notation: text may be a number or a date that another parser takes for one."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return str(value) if isinstance(value, date) else value


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
