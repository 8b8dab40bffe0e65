"""A model's dvc.yaml, the same for all but for its name and storage, and what of the template each of its stages runs.

No file of a model names a file of the template: its stages read the hashes of build/engine.json.
"""

import contextlib
import json
import re
from pathlib import Path

from models.lib import config
from repo.lib.files import sha256_of_files, write, write_json

FILE = "engine.json"
PACKAGES = "requirements/training.txt"


def _lib(*names: str) -> tuple[str, ...]:
    return tuple(f"models/lib/{name}.py" for name in names)


TEMPLATE = Path("models/lib/pipeline.yaml")
# What can change the bytes that a stage makes, of all that its verb imports; tests/models/test_engine.py holds it
# against the imports.
ROWS = "data_schemas/lib/datasets.py"
SOURCES = {
    "validate": ("data_schemas/validate.py", "data_schemas/lib/pointer.py", "data_schemas/lib/violations.py", ROWS),
    "describe": ("data_schemas/describe.py", ROWS),
    "train": ("models/train.py", *_lib("packages", "plugin", "samples", "columns"), ROWS, PACKAGES),
    "export": ("models/export.py", *_lib("packages", "plugin", "columns", "onnx_front", "onnx_order", "scikit"), ROWS),
    "evaluate": ("models/evaluate.py", *_lib("metrics", "samples", "scoring"), ROWS),
}


def hashes(model: config.Model) -> dict[str, str]:
    """Stage -> one hash of the template's files for it, and of the packages that are the model's own."""
    found = {stage: [*map(Path, sources)] for stage, sources in SOURCES.items()}
    for stage in ("train", "export", "evaluate"):
        found[stage].append(model.requirements)
    for stage in ("train", "export"):
        found[stage] += _frameworks(model)
    settings = dict.fromkeys(("train", "export"), f" {model.frame} {model.backend}")  # DVC needs them in the file
    return {
        stage: sha256_of_files(path for path in paths if path.is_file())[:32] + settings.get(stage, "")
        for stage, paths in found.items()
    }


def _frameworks(model: config.Model) -> list[Path]:
    """The base classes that its network.py imports."""
    network = model.folder / "network.py"
    text = network.read_text() if network.is_file() else ""
    named = r"(?s)\bframeworks(?:\.| import .*\b){}\b"
    return [path for path in Path("models/lib/frameworks").glob("*.py") if re.search(named.format(path.stem), text)]


def path(model: config.Model) -> Path:
    return model.build / FILE


def hash_sources(model: config.Model) -> None:
    """Before DVC is asked about a model; a file that says so already stays as it is."""
    found = hashes(model)
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path(model).read_text()) == found:
            return
    write_json(path(model), found)


def declare(model: config.Model) -> None:
    """Write the model's dvc.yaml where it differs."""
    if differs(model):
        write(model.folder / "dvc.yaml", pipeline(model))
        print(f"run {model.name}: wrote {model.folder}/dvc.yaml")


def differs(model: config.Model) -> bool:
    place = model.folder / "dvc.yaml"
    return not place.is_file() or place.read_text() != pipeline(model)


def pipeline(model: config.Model) -> str:
    """The text of the model's dvc.yaml."""
    text = TEMPLATE.read_text().replace("NAME", model.name)
    return text.replace("CACHE", "true" if model.storage == "dvc" else "false")
