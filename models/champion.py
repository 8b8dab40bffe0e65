"""The model that production runs, found by its hash in Git: what a candidate must not be worse than."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from data_schemas.command import Refusal
from data_schemas.files import read_yaml
from data_schemas.history import git
from models import config


@dataclass(frozen=True)
class Champion:
    version: str
    onnx: str  # SHA-256
    commit: str  # the newest commit whose file has these bytes


def passport_path(name: str) -> Path:
    """Written by promotion, never by hand; absent until the first release."""
    return Path("deploy/releases/production") / name / "passport.yaml"


def find(model: config.Model) -> Champion | None:
    """Production's model, or None before the first release."""
    path = passport_path(model.name)
    if not path.is_file():
        return None
    passport = read_yaml(path, "restore it with `git checkout`")
    try:
        onnx, version = str(passport["content"]["onnx"]), str(passport["version"])
    except (KeyError, TypeError):
        raise Refusal(f"{path}: content.onnx or version is missing; restore the file with `git checkout`.") from None
    return Champion(version=version, onnx=onnx, commit=blob(model, onnx)[1])


def blob(model: config.Model, onnx: str) -> tuple[bytes, str]:
    """The bytes whose SHA-256 is `onnx` and the newest commit that holds them, searched through Git history.

    With `storage: dvc` the bytes are looked for in the DVC cache and remote instead.
    """
    for commit in git("log", "--format=%H", "--", str(model.onnx)).decode().split():
        try:
            content = git("show", f"{commit}:{model.onnx}")
        except Refusal:  # deleted in this commit
            continue
        if hashlib.sha256(content).hexdigest() == onnx:
            return content, commit
    raise Refusal(
        f"the model {onnx[:12]} that {passport_path(model.name)} names is nowhere in the history of {model.onnx}; "
        "fetch all of it with `git fetch --unshallow`."
    )
