"""A model's dvc.yaml, the same for all but for its name, its storage and the settings that may be left out, and what of
the template each of its stages runs.

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
BINNED = (ROWS, "data_schemas/lib/bins.py")
CHECKED = ("pointer", "violations", "tables")
CHOSEN = ("samples", "split")
SOURCES = {
    "validate": ("data_schemas/validate.py", *(f"data_schemas/lib/{name}.py" for name in CHECKED), ROWS),
    "profile": ("models/profile.py", *_lib("drift", "metrics", *CHOSEN, "tasks/task"), *BINNED),
    "train": ("models/train.py", *_lib("columns", "packages", "plugin", *CHOSEN, "tasks/task"), ROWS, PACKAGES),
    "export": (
        "models/export.py",
        *_lib("columns", "onnx_front", "packages", "plugin", "tasks/task"),
        ROWS,
    ),
    "evaluate": (
        "models/evaluate.py",
        *_lib("alone", "drift", "importance", "metrics", "scoring", *CHOSEN, "tasks/task"),
        *BINNED,
    ),
}
COPIED = ("split",)  # settings that DVC reads in FILE: of a date in model.yaml it can make nothing


def hashes(model: config.Model) -> dict[str, str]:
    """Stage -> one hash of the template's files for it, of its task and framework, and of packages that are its own."""
    network, own = model.folder / "network.py", [model.requirements, Path("models/lib/tasks", f"{model.task}.py")]
    bases = _frameworks(network)
    more = {"train": [*own, *bases], "export": [*own, *bases], "evaluate": own}
    found = {stage: [*map(Path, sources), *more.get(stage, [])] for stage, sources in SOURCES.items()}
    return {stage: sha256_of_files(path for path in paths if path.is_file())[:32] for stage, paths in found.items()}


def _frameworks(network: Path) -> list[Path]:
    """The base classes that a network.py imports, and what of their folder these import."""
    found = list[Path]()
    texts = [network.read_text()] if network.is_file() else []
    for text in texts:
        for path in set(Path("models/lib/frameworks").glob("*.py")).difference(found):
            if re.search(rf"(?s)\bframeworks(?:\.| import .*\b){path.stem}\b", text):
                found.append(path)
                texts.append(path.read_text())
    return found


def path(model: config.Model) -> Path:
    return model.build / FILE


def hash_sources(model: config.Model) -> None:
    """Before DVC is asked about a model; a file that says so already stays as it is."""
    found = hashes(model) | model.model_dump(mode="json", include=set(COPIED), exclude_unset=True)
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path(model).read_text()) == found:
            return
    write_json(path(model), found)


def differs(model: config.Model) -> bool:
    place = model.folder / "dvc.yaml"
    return not place.is_file() or place.read_text() != pipeline(model)


def declare(model: config.Model) -> None:
    """Write the model's dvc.yaml where it differs."""
    if differs(model):
        write(model.folder / "dvc.yaml", pipeline(model))
        print(f"run {model.name}: wrote {model.folder}/dvc.yaml")


def pipeline(model: config.Model) -> str:
    """The text of the model's dvc.yaml."""
    lines = []
    for line in TEMPLATE.read_text().splitlines(keepends=True):
        text, _, setting = line.rstrip().partition("  # with ")
        if not setting:
            lines.append(line)
        elif setting in model.model_fields_set:  # or DVC would look for it in vain
            lines.append(f"{text}\n")
    cache = "true" if model.storage == "dvc" else "false"
    return "".join(lines).replace("NAME", model.name).replace("CACHE", cache)
