"""Build a model's Bento offline: model file, contract and service code in one folder, versioned by their content."""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from models.lib import config, passport, scoring
from repo.lib import process
from repo.lib.command import ENVIRONMENT
from repo.lib.files import read_yaml, write
from repo.lib.refusal import Refusal
from serving.lib import derivation

LOCK = Path("requirements/serving.txt")
RUNTIME = Path("serving/runtime")  # all that runs inside the Bento; the rest of the stage needs the repository
WORKPLACE = ".bento-"
LEFTOVER_SECONDS = 3600


def main(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    bento = build(options.model)
    megabytes = sum(path.stat().st_size for path in bento.rglob("*") if path.is_file()) / 1e6
    print(f"build {options.model}: {bento.name}, {megabytes:.1f} MB in {time.perf_counter() - started:.1f} s")
    print(f"  {bento}")
    if not (config.MODELS / options.model / "build" / "passport.yaml").is_file():
        print(f"  no passport is here, so answers name the file; judge it with `python -m models run {options.model}`")
    print(f"  serve it: python -m serving serve {options.model}")
    print(f"  image:    python -m serving image {options.model}")
    return 0


def build(name: str) -> Path:
    """The model's Bento as a folder models/<name>/build/bento/<version>; made only if its content is new.

    The version is 12 hex digits over contract, model file, service code and lock. A build that is killed leaves no such
    folder, and of two at once the second takes what the first made.
    """
    model = config.load(name, check_columns=False)
    content = _content(model)
    bento = model.build / "bento" / _version(content)
    there = {path: bento / "src" / path for path in content}
    if bento.is_dir() and not all(it.is_file() and it.read_bytes() == content[path] for path, it in there.items()):
        shutil.rmtree(bento)  # somebody changed it by hand
    if not bento.is_dir():
        with _workplace(model.build) as place:
            for path, data in content.items():
                write(place / "context" / path, data)
            made = _run_bentoml(model, place / "context", place / "home", bento.name)
            made.chmod(0o755)  # bentoml leaves it to its owner, and the image has another user
            bento.parent.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # not empty: another build of the same content was faster
                made.rename(bento)
    write(model.build / "contract.json", content["contract.json"])  # of this one, for the model card
    return bento


def _content(model: config.Model) -> dict[str, bytes]:
    """Every file of the Bento, by its path inside."""
    onnx = _read(model.onnx, f"python -m models run {model.name}")
    digest = hashlib.sha256(onnx).hexdigest()
    version, session = _model_version(model, digest), scoring.session(model.onnx)
    notes = {key: scoring.note(session, key) for key in ("names", "edges", "bins", "fine")}
    derived = derivation.derive(model, version, digest, notes)
    answer = derived["answer"]
    if answer["names"] != notes["names"] or not (answer["names"] or answer["edges"]):
        raise Refusal(
            f"{model.onnx} notes other classes than {model.folder}/model.yaml, or no bins of its predictions; make it "
            f"again with `python -m models run {model.name}`."
        )
    return {
        **{str(path): _read(path, "git checkout serving") for path in sorted(RUNTIME.glob("*.*"))},
        # Regular packages, so that no other folder called serving/ can add to them.
        "serving/__init__.py": b"",
        "serving/runtime/__init__.py": b"",
        "contract.json": json.dumps(derived, indent=2, sort_keys=True, allow_nan=False).encode(),
        "model.onnx": onnx,
        "requirements.txt": _lock(),
    }


def _lock() -> bytes:
    """What the image installs; pip would take an empty or cut off file for a list that asks for nothing more."""
    lock = _read(LOCK, "make lock")
    missing = [name for name in ("bentoml", "onnxruntime", "uvloop") if not re.search(rf"(?m)^{name}==".encode(), lock)]
    if missing:
        raise Refusal(f"{LOCK} does not pin {', '.join(missing)}, which the service needs; make it with `make lock`.")
    return lock


def _read(path: Path, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path} cannot be read ({error.strerror}); make it with `{fix}`.") from None


def _model_version(model: config.Model, digest: str) -> str:
    """The version of the passport of exactly these sources; a file that was never judged here goes by its content."""
    path, fix = model.build / "passport.yaml", f"make it again with `python -m models run {model.name}`"
    if not path.is_file():
        return f"onnx-{digest[:12]}"
    record = read_yaml(path, fix, passport.KEYS)
    content = record["content"] if isinstance(record["content"], dict) else {}
    passport.refuse_stale(model, content, but=("service",))  # which is being built here
    if record["version"] != passport.version(content):
        raise Refusal(f"{path}: version {record['version']} does not fit the content; {fix}.")
    return str(record["version"])


def _version(content: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, data in sorted(content.items()):
        digest.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _workplace(build: Path) -> Iterator[Path]:
    """A folder of this build alone, on the file system of the result, so that the result can be renamed into place."""
    build.mkdir(parents=True, exist_ok=True)
    for leftover in build.glob(f"{WORKPLACE}*"):  # of builds that were killed
        if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=WORKPLACE, dir=build)).absolute()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run_bentoml(model: config.Model, context: Path, home: Path, version: str) -> Path:
    """The Bento in `home`, made by bentoml in a process of its own: it imports the service from `context`."""
    packages = re.findall(r"^[^\s#]+==[^\s;]+", (context / "requirements.txt").read_text(), re.MULTILINE)
    settings = {
        "service": "serving.runtime.entry:service",
        "version": version,
        "description": f"# {model.name} {version}\n\n{model.description}\n",
        "include": ["*.json", "*.onnx", "*.txt", "serving/*", "serving/runtime/*"],
        "python": {"packages": packages, "lock_packages": False},  # locked already; locking goes online
    }
    # Not `bentoml build`: it refuses a repository below a folder whose name begins with a dot.
    script = "import bentoml, json, sys; bentoml.build(**json.loads(sys.argv[1]))"
    made = home / "bentos" / model.name / version
    process.run(
        [sys.executable, "-c", script, json.dumps(settings)],
        f"bentoml could not build {model.name}",
        at=context,
        environment={**ENVIRONMENT, **os.environ, "BENTOML_HOME": str(home)},
        makes=made / "bento.yaml",
    )
    return made
