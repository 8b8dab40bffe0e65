"""Do all of it for one model, and only what changed: data to verdict.

Its dvc.yaml holds what determines the model's bytes and figures, the same on every machine; its lock is committed. The
verdict depends on this machine (latency) and this moment (the champion), so it is judged here and never locked.
"""

import argparse
import os
import sys
from pathlib import Path

from data_schemas.lib import datasets, pointer
from models import reproduce
from models.lib import artifacts, champion, config, engine, governance, lock, passport, pipeline, several, worktree
from models.lib.clients import tracking
from models.lib.report import conclusion
from repo.lib.files import read_yaml, sha256, sha256_of_files, write
from repo.lib.git import NoGit, git
from repo.lib.refusal import Refusal

PRODUCTS = ("measured.json", "comparison.json", "passport.yaml", "report.html", "report.md")


def main(options: argparse.Namespace) -> int:
    if options.push:
        return worktree.push(options)
    if options.model is None:
        raise Refusal(f"no model is named; give one of models/: {', '.join(config.names()) or 'there is none'}.")
    model = config.load(options.model, check_columns=False)
    if options.check:
        return check(model)
    if options.stage:
        return _prepare(model, train=True) or pipeline.repro(model.folder / "dvc.yaml", shared=options.stage)
    if not options.windows:
        return run(model, train=not options.no_train, pull=options.pull, track=True)
    several.demand(model, options.windows)
    if (code := run(model, train=not options.no_train)) < 2 and not lock.stale(model):  # so there is a verdict
        from models import report

        several.measure(config.load(model.name), options.windows, reproduce.again)
        report.run(model)
        tracking.track(f"run {model.name}", "run", model.name)
    return code


def run(model: config.Model, train: bool = True, pull: bool = False, track: bool = False) -> int:
    """0 when every gate passes, 1 when one fails or the data does, 2 when a stage refuses its work.

    Without `train` it judges what the lock names, and neither makes a model nor touches the lock. With `pull` it takes
    the model from DVC's remote, where `--stage` left it on another machine.
    """
    if code := _prepare(model, train):
        return code
    before, stood = lock.path(model).read_bytes() if lock.path(model).is_file() else b"", _times(model)
    try:
        place = model.folder / "dvc.yaml"
        code = pipeline.repro(place, train=False, shared="") if pull else pipeline.repro(place, train)
    finally:
        if not train and lock.path(model).read_bytes() != before:  # figures of another machine, or a stage that refused
            write(lock.path(model), before)
    if train and stood != _times(model) and not code:
        reproduce.note(lock.path(model), "another machine, by DVC's run cache" if pull else reproduce.machine())
    if code:
        print(f"run {model.name}: the pipeline stopped (see above); nothing after it ran.", file=sys.stderr)
        return code
    changed = not _judged(model)
    if changed:
        from models import gates, measure, report

        checked = config.load(model.name)  # its columns held against the schema, which takes a second
        for step in (measure, gates, report):  # a gate that fails is recorded and reported, not raised
            step.run(checked)
        write(model.build / "judged", judged_from(model))
    record = read_yaml(
        model.build / "passport.yaml", f"make it with `python -m models gates {model.name}`", passport.KEYS
    )
    if stood == _times(model):  # otherwise the stages printed what they made
        idle = not changed and before == lock.path(model).read_bytes()
        outcome = "nothing changed" if idle else "trained nothing: weights and model.onnx are those that the lock names"
        print(f"run {model.name}: {outcome}.")
    print(f"run {model.name}: {_reproduced(model)}")
    print(f"run {model.name}: version {record['version']}, {model.build / 'report.html'}")
    print(f"run {model.name}: {conclusion.outcome(record)}")
    governance.warn(f"run {model.name}", governance.gaps(model.name, model.dataset, record.get("governance", {})))
    if track:
        tracking.track(f"run {model.name}", "run", model.name)
    return 0 if record["verdict"] == "pass" else 1


def _prepare(model: config.Model, train: bool) -> int:
    """The pipeline, hashes of the template, bytes of the lock, data. 0, or the data's fault."""
    git("--version")  # without it nobody could say whether the bytes are new
    governance.sections(model.folder / governance.CARD)  # refused before anything is trained
    if train:
        engine.declare(model)
    elif faults := lock.stale(model):
        raise Refusal(
            f"{model.folder} is not what its sources make ({faults[0]}), and --no-train makes nothing new; "
            f"run `python -m models run {model.name}` and commit {model.folder}."
        )
    engine.hash_sources(model)
    if model.storage == "dvc" and lock.path(model).is_file():
        _bring(model, train)
    data, pinned = datasets.data(model.dataset), pointer.pinned(model.dataset)
    if not data.is_dir():
        from data_schemas import ingest

        if code := ingest.main(argparse.Namespace(dataset=model.dataset, accept=False, pinned=pinned is not None)):
            return code
    elif pointer.measure(data) != pinned:  # DVC would rewrite the pointer to fit, silently
        fix = f"python -m data_schemas ingest {model.dataset}"
        raise Refusal(f"{data} is not the version that {data}.dvc pins; bring it, or see what differs, with `{fix}`.")
    return 0


def check(model: config.Model) -> int:
    """0 when lock and model fit their inputs. Needs neither data nor a DVC cache, so it is right in a fresh clone."""
    faults = lock.stale(model)
    for fault in faults:
        print(f"run {model.name}: {fault}")
    if faults:
        print(f"run {model.name}: run `python -m models run {model.name}` and commit {model.folder}.")
        if os.environ.get("GITHUB_ACTIONS"):  # where train.yml does it for people without a machine to train on
            print(f"run {model.name}: or give the pull request the label `train`.")
        return 1
    print(f"run {model.name}: {lock.path(model)}, weights and model.onnx are up to date with their inputs.")
    return 0


def _bring(model: config.Model, train: bool) -> None:
    """With `storage: dvc`: what a fresh clone lacks comes from the remote; what that lacks is trained, or refused."""
    for path, reason in pipeline.bring(model.folder / "dvc.yaml", [model.weights, model.onnx]).items():
        if not train:
            raise Refusal(
                f"{path} is missing ({reason}), and --no-train makes nothing new; run `dvc push` on the machine that "
                "has it, then this again."
            )
        print(f"run {model.name}: {path} is missing ({reason}), so it is made again.")


def _reproduced(model: config.Model) -> str:
    """Whether what is on disk is what the last commit proposes."""
    of_git, fix = model.storage == "git", f"commit weights, model.onnx and dvc.lock of {model.folder}"
    paths = (model.onnx, model.weights) if of_git else (lock.path(model),)
    try:
        words = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=all", "--ignored", "--no-renames"]
        changes = git(*words, "--", *map(str, paths)).decode().splitlines()
    except NoGit:
        raise
    except Refusal:  # no repository yet
        changes = [f"?? {path}" for path in paths]
    if not changes:
        return f"{model.onnx} has the committed bytes ({sha256(model.onnx)[:12]})."
    how = "is new" if changes[0][:2] in ("??", "!!", "A ") else "differs from the committed one"
    fix = fix if of_git else f"`dvc push`, then commit {lock.path(model)}"
    return f"{changes[0][3:]} {how}; {fix} to propose it."


def _times(model: config.Model) -> list[int]:
    """When weights and model.onnx were made, whatever their bytes are."""
    return [path.stat().st_mtime_ns for path in (model.weights, model.onnx) if path.exists()]


def _judged(model: config.Model) -> bool:
    """Whether the recorded verdict is about exactly what stands here now."""
    paths = [model.build / name for name in (*PRODUCTS, "judged")]
    return all(path.is_file() for path in paths) and paths[-1].read_bytes() == judged_from(model).encode()


def judged_from(model: config.Model) -> str:
    """One hash of all that a verdict depends on, this machine apart."""
    files = [*artifacts.files(model), model.build / "evaluation.json"]
    files += [Path("requirements/training.txt"), *passport.code(model)]
    files += [Path("models/report.py"), *Path("models/lib/report").glob("*.*")]
    released = (champion.standing(model.name, environment) for environment in champion.ENVIRONMENTS)
    return sha256_of_files([*files, *filter(None, released)])
