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

from repo.lib.files import LOADER
from repo.lib.refusal import Refusal

STAGES = ("train", "export", "evaluate")  # what a passport is about
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
