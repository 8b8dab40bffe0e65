"""Do all of it for one model, and only what changed: data to verdict.

python -m models run flight_delay

`dvc.yaml` holds what determines the model's bytes and figures, the same on every machine; its lock is committed. The
verdict depends on this machine (latency) and this moment (the champion), so it is judged here and never locked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from data_schemas import tables
from data_schemas.command import Refusal
from data_schemas.files import exclusive, read_json, read_yaml, sha256, sha256_of_tree, write_json
from data_schemas.history import git
from models import champion, config, passport

STEPS = ("measure", "gates", "report")  # what follows the pipeline, in order
PRODUCTS = ("measured.json", "passport.yaml", "report.html", "report.md")


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model, check_columns=False)
    if options.check:
        return check(model)
    with exclusive(Path(".dvc/tmp/run.lock"), "`python -m models run`"):
        return run(model)


def run(model: config.Model) -> int:
    """0 when every gate passes, 1 when one fails, or a stage did."""
    if not tables.data(model.dataset).is_dir():
        from data_schemas import ingest

        if code := ingest.main(argparse.Namespace(dataset=model.dataset, accept=False)):
            return code
    before = _lock(model).read_bytes() if _lock(model).is_file() else b""
    if code := _dvc("repro", "--quiet", str(model.folder / "dvc.yaml")).returncode:
        print(f"run {model.name}: the pipeline stopped (see above); nothing after it ran.", file=sys.stderr)
        return 1 if code > 0 else code
    changed = not _judged(model)
    if changed:
        _judge(model)
    record = read_yaml(model.build / "passport.yaml", f"make it with `python -m models gates {model.name}`")
    if not changed and before == _lock(model).read_bytes():
        print(f"run {model.name}: nothing changed.")
    print(f"run {model.name}: {reproduced(model)}")
    passed = sum(gate["verdict"] == "pass" for gate in record["gates"])
    print(f"run {model.name}: version {record['version']}, {passed} of {len(record['gates'])} gates pass: ", end="")
    print(f"{record['verdict'].upper()} ({model.build / 'report.html'})")
    return 0 if record["verdict"] == "pass" else 1


def check(model: config.Model) -> int:
    """0 when lock and model fit their inputs. Needs neither data nor a DVC cache, so it is right in a fresh clone."""
    faults = stale(model)
    for fault in faults:
        print(f"run {model.name}: {fault}")
    if faults:
        print(f"run {model.name}: run `python -m models run {model.name}` and commit {model.folder}.")
        return 1
    print(f"run {model.name}: {_lock(model)} and {model.onnx} are up to date with their inputs.")
    return 0


def stale(model: config.Model) -> list[str]:
    """What of the lock does not fit the tree, one sentence each."""
    if not _lock(model).is_file():
        return [f"{_lock(model)} is missing"]
    if not model.onnx.is_file() and model.storage == "git":
        return [f"{model.onnx} is missing"]
    done = _dvc("status", "--json", str(model.folder / "dvc.yaml"), capture=True)
    if done.returncode:
        raise Refusal(f"dvc cannot compare {_lock(model)} with the tree: {done.stderr.strip().splitlines()[-1]}.")
    data = str(tables.data(model.dataset))
    faults = [] if _locked(model, data) == passport.content(model)["data"] else [f"{data}.dvc is newer than the lock"]
    for stage, changes in json.loads(done.stdout).items():
        for change in changes:
            # A stage says {"changed deps" or "changed outs": {path: state}}, or a word such as "changed command".
            found = change if isinstance(change, dict) else {change: {}}
            for kind, paths in found.items():
                # A fresh clone has neither data nor build products; that they are absent says nothing of their age.
                news = [path for path, state in paths.items() if state not in ("deleted", "not in cache")]
                if news or not paths:
                    faults.append(f"{stage.rpartition(':')[2]}: {kind}: {', '.join(news) or 'see dvc.yaml'}")
    return faults


def reproduced(model: config.Model) -> str:
    """Whether the bytes on disk are those that the last commit proposes."""
    try:
        committed = git("show", f"HEAD:{model.onnx}")
    except Refusal:
        return f"{model.onnx} is new; commit it with {_lock(model)}."
    if hashlib.sha256(committed).hexdigest() == sha256(model.onnx):
        return f"{model.onnx} has the committed bytes ({sha256(model.onnx)[:12]})."
    return f"{model.onnx} differs from the committed one; commit it with {_lock(model)} to propose it."


def _judge(model: config.Model) -> None:
    """Measure, judge and report; a failing gate is recorded and reported, not raised."""
    from models import gates, measure, report

    options = argparse.Namespace(model=model.name)
    for step in (measure, gates, report):
        step.main(options)
    write_json(model.build / "judged.json", {"inputs": _inputs(model)})


def _judged(model: config.Model) -> bool:
    """Whether the recorded verdict is about exactly what stands here now."""
    paths = [model.build / name for name in (*PRODUCTS, "judged.json")]
    if not all(path.is_file() for path in paths):
        return False
    recorded: dict[str, Any] = read_json(paths[-1], f"python -m models run {model.name}")
    return recorded.get("inputs") == _inputs(model)


def _inputs(model: config.Model) -> str:
    """One hash of all that a verdict depends on, this machine apart."""
    files = [model.onnx, model.build / "evaluation.json", Path("requirements/training.txt"), *passport.code(model)]
    files += [path for path in [champion.passport_path(model.name)] if path.is_file()]
    return sha256_of_tree(files)


def _lock(model: config.Model) -> Path:
    return model.folder / "dvc.lock"


def _locked(model: config.Model, path: str) -> str | None:
    """The hash that the lock holds of a dependency, from the first stage that has it."""
    lock = yaml.safe_load(_lock(model).read_text())
    for stage in lock["stages"].values():
        for dependency in stage.get("deps", []):
            if dependency["path"] == path:
                return str(dependency["md5"])
    return None


def _dvc(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=capture, text=True, check=False)
