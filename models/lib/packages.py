"""Packages of a model's own: models/<m>/requirements.txt, a lock with hashes, on top of those of the template.

They go into the model's build folder and are found first by whatever imports its network.py, so the upgrade of one team
trains no other model again. Packages that the template itself runs are those of its own lock for every model.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from models.lib import config
from repo.lib.files import sha256
from repo.lib.refusal import Refusal

ENGINE = ("numpy", "polars", "onnx", "onnxruntime", "pandera", "pydantic", "pyyaml", "pytest")
PINNED = re.compile(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)")


def activate(model: config.Model) -> None:
    """Let imports find the model's own packages first; installs them, with progress, where they are not here yet."""
    if model.requirements.is_file() and (place := str(installed(model).absolute())) not in sys.path:
        sys.path.insert(0, place)


def installed(model: config.Model) -> Path:
    """The folder of these very packages."""
    lock = model.requirements
    place = model.build / "packages" / sha256(lock)[:12]
    if place.is_dir():
        return place
    _refuse_engine(lock)
    place.parent.mkdir(parents=True, exist_ok=True)
    for former in place.parent.iterdir():  # of an earlier lock, or of an install that was killed
        shutil.rmtree(former, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as folder:
        _install(lock, Path(folder, "packages"))
        Path(folder, "packages").rename(place)
    return place


def _refuse_engine(lock: Path) -> None:
    for name, wanted in PINNED.findall(lock.read_text()):
        try:
            here = version(name)
        except PackageNotFoundError:
            continue
        if name.lower() in ENGINE and wanted != here:
            raise Refusal(
                f"{lock}: {name}=={wanted} is another one than the template runs ({here}); compile it with "
                f"`uv pip compile {lock.with_suffix('.in')} --constraint requirements/training.txt --generate-hashes "
                f"--output-file {lock}`."
            )


def _install(lock: Path, target: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise Refusal(f"uv, which installs {lock}, is not on PATH; make the environment with `make env`.")
    ask = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]  # which uv does not read
    index = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    environment = {**({"UV_DEFAULT_INDEX": index} if index else {}), **os.environ}
    words = ["--system-certs", "--python", sys.executable, "--target", str(target), "--requirement", str(lock)]
    command = [uv, "pip", "install", "--require-hashes", *words]
    if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
        raise Refusal(f"{lock} cannot be installed (see above); fix that line, or compile it again.")
