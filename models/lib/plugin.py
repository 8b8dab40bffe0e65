"""The class `Model` of a model's network.py, and what it raises as one sentence."""

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data_schemas.lib import datasets
from models.lib import config, packages
from repo.lib.refusal import Ended, Refusal, described


class Misuse(Exception):
    """What a network.py does wrong, in one sentence."""


def network(model: config.Model) -> Any:
    """The class `Model` of network.py: fit, predict, save, load, to_onnx (models/README.md)."""
    path = model.folder / "network.py"
    if not path.is_file():
        raise Refusal(f"{path} is missing; write its class `Model` (see models/README.md).")
    packages.activate(model)
    _choose_backend(model)
    with _loading(path, "fix the file"):
        module = importlib.import_module(f"models.{model.name}.network")
    if not hasattr(module, "Model"):
        raise Refusal(f"{path} defines no class `Model`; name it so.")
    return module.Model


def _choose_backend(model: config.Model) -> None:
    """For Keras, which reads it once; and no settings of this user's home, nor its own notes on standard error."""
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != model.backend:
        raise Refusal(f"Keras runs on {keras.backend.backend()} already; run {model.name} in a process of its own.")
    if model.backend == "tensorflow" and importlib.util.find_spec("tensorflow") is None:
        raise Refusal(
            f"{model.folder}/model.yaml: backend: tensorflow needs a lock, {model.requirements}; compile one."
        )
    os.environ |= {"KERAS_BACKEND": model.backend, "KERAS_HOME": str((model.build / "keras").absolute())}
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}  # oneDNN rounds by machine


def load(model: config.Model) -> Any:
    """The fitted network of weights/."""
    if not model.weights.is_dir():
        raise Refusal(f"{model.weights} is missing; make it with `python -m models run {model.name}`.")
    with _loading(model.weights, f"make it again with `python -m models train {model.name}`"):
        return network(model).load(model.weights)


@contextmanager
def _loading(path: Path, fix: str) -> Iterator[None]:
    """Any error in a team's file, or whatever a damaged one brings up, is one sentence."""
    try:
        yield
    except (Refusal, Ended):
        raise
    except (Exception, SystemExit) as error:
        raise Refusal(f"{path} cannot be loaded ({described(error)}); {fix}.") from error


@contextmanager
def guarded(model: config.Model) -> Iterator[None]:
    """Whatever a team's network.py raises becomes a Refusal that names the line."""
    path = model.folder / "network.py"
    try:
        yield
    except (Refusal, Ended):
        raise
    except ValidationError as error:  # network.py types `training` as it likes; pydantic is the way of the example
        first = error.errors()[0]
        field = ".".join(["training", *map(str, first["loc"])])
        raise Refusal(f"{model.folder}/model.yaml: {field}: {first['msg']}; fix it there.") from None
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).parts[-3:] == path.parts[-3:]]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        hidden = not datasets.personal(model.dataset).isdisjoint(model.features)
        what = str(error) if isinstance(error, Misuse) else described(error, hidden)
        raise Refusal(f"{where}: {what}; fix it there.") from error
