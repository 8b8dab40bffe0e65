"""The model that production runs, found by its hash in Git: what a candidate must not be worse than."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repo.lib.files import read_yaml
from repo.lib.git import git
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    from models.lib import config


ENVIRONMENTS = ("staging", "production")


@dataclass(frozen=True)
class Standing:
    """The release of one environment."""

    version: str
    onnx: str  # SHA-256
    served: Mapping[str, Any] = field(default_factory=dict, kw_only=True)  # `serving` of its passport
    reasons: frozenset[str] = field(default=frozenset(), kw_only=True)  # that its gates gave


@dataclass(frozen=True)
class Champion(Standing):
    commit: str  # the newest commit whose file has these bytes

    @property
    def named(self) -> dict[str, str]:
        """What a passport says of it."""
        return {"version": self.version, "onnx": self.onnx, "commit": self.commit}


def passport_path(name: str, environment: str = "production") -> Path:
    """Written by promotion, never by hand; absent until the first release."""
    return Path("deploy/releases") / environment / name / "passport.yaml"


def standing(name: str, environment: str = "production") -> Path | None:
    """An environment's passport, or None before the first release; a release that lost its passport is refused."""
    path = passport_path(name, environment)
    if path.is_file():
        return path
    if path.exists() or path.with_name("kustomization.yaml").exists():
        fix = f"restore it with `git checkout -- {path}`"
        raise Refusal(f"{path} is not a file, yet {environment} has a release; {fix}.")
    return None


def find(model: config.Model) -> Champion | None:
    """Production's model, or None before the first release."""
    path = standing(model.name)
    if path is None:
        return None
    release = _read(path)
    return Champion(**vars(release), commit=blob(model, release.onnx)[1])


def standing_anywhere(model: config.Model) -> list[Standing]:
    """The releases that a candidate may take the place of, one for each environment that has one."""
    paths = (standing(model.name, environment) for environment in ENVIRONMENTS)
    return [_read(path) for path in paths if path is not None]


def _read(path: Path) -> Standing:
    fix = f"restore it with `git checkout -- {path}`"
    passport = read_yaml(path, fix)
    try:
        onnx, version = str(passport["content"]["onnx"]), str(passport["version"])
    except (KeyError, TypeError):
        raise Refusal(f"{path}: content.onnx or version is missing; {fix}.") from None
    if not re.fullmatch("[0-9a-f]{64}", onnx):
        raise Refusal(f"{path}: content.onnx is not a SHA-256; {fix}.")
    gates = [gate for gate in passport.get("gates") or [] if isinstance(gate, dict)]
    reasons = frozenset(str(gate["reason"]) for gate in gates if gate.get("reason"))
    return Standing(version, onnx, served=passport.get("serving") or {}, reasons=reasons)


def blob(model: config.Model, onnx: str) -> tuple[bytes, str]:
    """The bytes whose SHA-256 is `onnx` and the newest commit that holds them, searched through Git history.

    With `storage: dvc` every commit's dvc.lock names the bytes, and the DVC cache or remote holds them.
    """
    pointer = model.onnx if model.storage == "git" else model.folder / "dvc.lock"
    read = _from_git if model.storage == "git" else _from_dvc
    for commit in git("log", "--format=%H", "--", str(pointer)).decode().split():
        content = read(model, commit)
        if content is not None and hashlib.sha256(content).hexdigest() == onnx:
            return content, commit
    where = f"the history of {model.onnx}" if model.storage == "git" else "the DVC cache and remote"
    fix = "git fetch --unshallow" if model.storage == "git" else "dvc pull --all-commits"
    paths = [passport_path(model.name, environment) for environment in ENVIRONMENTS]
    named = next((path for path in paths if path.is_file() and onnx in path.read_text()), paths[-1])
    raise Refusal(f"the model {onnx[:12]} that {named} names is nowhere in {where}; fetch it with `{fix}`.")


def _from_git(model: config.Model, commit: str) -> bytes | None:
    try:
        return git("show", f"{commit}:{model.onnx}")
    except Refusal:  # deleted in this commit
        return None


def _from_dvc(model: config.Model, commit: str) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model.onnx")
        command = ["dvc", "get", "--quiet", ".", str(model.onnx), "--rev", commit, "--out", str(target)]
        subprocess.run([sys.executable, "-m", *command], capture_output=True, check=False)
        return target.read_bytes() if target.is_file() else None
