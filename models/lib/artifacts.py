"""What training and export make and a commit proposes: `weights/` and `model.onnx` of a model's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    from models.lib import config

GIT_LIMIT_MB = 10.0  # above it the bytes belong in a DVC remote: `storage: dvc`
EDGES = "edges.json"  # in weights/, where the task takes them from the network
NO_TRAIN = "MODELS_NO_TRAIN"  # `models run --no-train` sets it for whatever DVC starts


def files(model: config.Model) -> list[Path]:
    return [*sorted(path for path in model.weights.rglob("*") if path.is_file()), model.onnx]


def refuse_to_make(path: Path) -> None:
    """Below `models run --no-train` nothing is made, whatever DVC believes to be out of date."""
    if os.environ.get(NO_TRAIN):
        forbidden = f"--no-train (the variable {NO_TRAIN}) forbids it; run without it"
        raise Refusal(f"{path} would be made again, and {forbidden}.")


def refuse_large(model: config.Model, path: Path, size: int) -> None:
    """A file or folder of so many bytes, before it is put where Git would take it."""
    megabytes = size / 1e6
    if model.storage == "git" and megabytes > GIT_LIMIT_MB:
        fix = f"`storage: dvc` in {model.folder}/model.yaml"
        raise Refusal(f"{path} has {megabytes:.1f} MB, more than the {GIT_LIMIT_MB:g} MB for Git to carry; set {fix}.")
