"""Train a model on the newest data: ingest, move the windows, run. `python -m models retrain flight_delay --propose`

With --propose it is made on top of origin's main and becomes the pull request `retrain/<model>`, which begins with the
verdict. One that is not better than the champion is opened, too, so that the evidence is there, and closed.

    python -m models retrain --list --scheduled    # {"models": ["flight_delay"], "skipped": {"wait": "why"}}
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_schemas.lib import pointer
from models.lib import champion, worktree
from repo.lib import origin
from repo.lib.change import folders, runners
from repo.lib.files import read_yaml
from repo.lib.git import git
from repo.lib.markdown import plain
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    from models.lib.config import Model

JOBS = 256  # that GitHub starts for one matrix
WINDOWS = "4"  # that a model is trained and tested on, with its own
LONGEST = 60_000  # characters of the text of a pull request: GitHub takes 65,536


@dataclass(frozen=True)
class State:
    """What a model learns from: its settings with their windows, and the version of its data."""

    model: Model
    data: pointer.Version | None


@dataclass(frozen=True)
class Comparison:
    sentence: str
    better: bool | None  # None: nobody can say but a person


def main(options: argparse.Namespace) -> int:
    there = folders("models")
    if options.model and options.model not in there:
        path = f"models/{options.model}/model.yaml"
        raise Refusal(f"there is no model {options.model!r} ({path} is missing); models: {', '.join(there) or 'none'}.")
    if options.list:
        print(json.dumps(plan(options.model, options.scheduled)))
        return 0
    if options.read:
        return land(Path(options.read).absolute())
    if not options.model:
        raise Refusal("no model is named; give one of models/, or --list to see which there are.")
    if not options.propose and not options.write:
        return here(options.model, options.to)
    apply = partial(_retrained, options.model, clone := Path.cwd(), options.to, options.because or "")
    if not options.write:
        return _propose(options.model, apply)
    return worktree.write(origin.MAIN, apply, clone / options.write / options.model)


def plan(name: str | None, scheduled: bool) -> dict[str, Any]:
    """The models that are to be retrained, at most as many as one run can; imports nothing but PyYAML."""
    due: list[str] = []
    skipped = {}
    for each in [name] if name else folders("models"):
        if scheduled and not champion.standing(each):
            skipped[each] = "production has no release of it, so nothing that runs has aged"
        elif len(due) == JOBS:
            skipped[each] = f"{JOBS} models come before it, as many as one run takes; name it in a run of its own"
        else:
            due.append(each)
    return {"models": due, "runs_on": runners(due), "skipped": skipped}


def here(name: str, to: str | None = None) -> int:
    """In the working tree, which nobody else's unfinished work may get into."""
    before = _state(name)
    paths = [str(before.model.folder), str(pointer.path(before.model.dataset))]
    if changed := git("status", "--porcelain", "--", *paths).decode().splitlines():
        raise Refusal(
            f"{changed[0][3:]} is not committed, and retraining would mix with that; commit or restore it first."
        )
    if not _prepare(before, to):
        return 0
    code = _run(before)
    print(f"retrain {name}: {_verdict(before.model).sentence}")
    return code


def land(folder: Path) -> int:
    """Propose what `--write` left, each model in a pull request of its own: by a job that trains nothing."""
    failed = []
    for name in sorted(path.name for path in folder.glob("*/")):
        try:
            _propose(name, partial(_carried, folder / name))
        except Refusal as refusal:
            failed.append(name)
            print(f"retrain {name}: {refusal}")
    return 1 if failed else 0


def _carried(folder: Path) -> origin.Edit:
    pin = str(pointer.path(_state(folder.name).model.dataset))
    made = (each.format(model=folder.name) for each in (*worktree.MADE, "models/{model}/model.yaml"))
    return origin.carried(folder, [*made, pin])


def _propose(name: str, apply: Callable[[], origin.Edit | None]) -> int:
    if address := origin.propose(origin.MAIN, f"retrain/{name}", apply):
        print(f"retrain {name}: {address}")
    return 0


def _retrained(name: str, clone: Path, to: str | None, because: str) -> origin.Edit | None:
    """Made in the tree that is the current directory; None where there is nothing new to train on."""
    worktree.share_cache(clone)
    before = _state(name)
    if not _prepare(before, to):
        return None
    _run(before)
    worktree.keep(name)
    return _edit(before, _state(name), _verdict(before.model), because)


def _state(name: str) -> State:
    from models.lib import config

    model = config.load(name, check_columns=False)
    return State(model, pointer.pinned(model.dataset))


def _prepare(before: State, to: str | None) -> bool:
    """Take the newest data and move the windows; whether there is something new to train on."""
    from models.lib import windows

    name = before.model.name
    worktree.demand("data_schemas", "ingest", before.model.dataset, "--accept", answers=(0,))
    now = windows.slide(before.model, to)
    for line in windows.changes(before.model.parts, now) if now != before.model.parts else ():
        print(f"retrain {name}: {line}")
    if _state(name) == before:
        print(f"retrain {name}: neither the data nor the windows have anything new: nothing to train on.")
        return False
    return True


def _run(before: State) -> int:
    """Here or, where its address is set, on Kubeflow, which does not try earlier windows."""
    from models.lib.clients import kubeflow

    if not os.environ.get(kubeflow.ENDPOINT):
        return worktree.run(before.model.name, *_several(before))
    kubeflow.run(before.model.name)
    return worktree.run(before.model.name, "--pull")


def _several(before: State) -> list[str]:
    """One lucky window is no validation; where the rows divide in one way only there are no others."""
    return ["--windows", WINDOWS] if before.model.parts.others(1) else []


def _verdict(model: Model) -> Comparison:
    """Better is a model that passes every gate and whose interval of the difference lies above 0 as a whole."""
    from models.lib.passport import KEYS

    path = model.build / "passport.yaml"
    record = read_yaml(path, f"make it with `python -m models run {model.name}`", KEYS)
    failed = ", ".join(gate["name"] for gate in record["gates"] if gate["verdict"] == "fail")
    gates = f"gates that fail: {failed}" if failed else "no gate fails"
    if record["champion"] is None:
        first = f"production has no release of {model.name}, so there is no champion"
        return Comparison(f"Not compared: {first}; {gates}.", None)
    gate = next(gate for gate in record["gates"] if gate["name"] == "champion")
    against = f"the champion `{record['champion']['version']}`"
    if gate["verdict"] == "off":
        return Comparison(f"Not compared with {against}: that gate is off ({gate['reason']}); {gates}.", None)
    low = math.nan
    with contextlib.suppress(ValueError):  # of a gate that had no evidence
        low = float(gate["value"])
    better = record["verdict"] == "pass" and low > 0  # NaN is above nothing
    evidence = f"{gate['reason']}; lower bound of the paired 95 % interval: {gate['value']}"
    bound = "above 0" if low > 0 else "not above 0"
    return Comparison(f"{'Better' if better else 'Not better'} than {against}. {evidence}, {bound}; {gates}.", better)


def _edit(before: State, after: State, verdict: Comparison, because: str) -> origin.Edit:
    from models.lib import windows
    from models.lib.split import Windows

    name, branch = before.model.name, f"retrain/{before.model.name}"
    report = (before.model.build / "report.md").read_text()
    old, new = before.model.parts, after.model.parts
    listed = windows.changes(old, new) if old != new else [f"The {new.setting} stayed."]
    data = f"{_version(before.data)} -> {_version(after.data)}" if before.data != after.data else _version(after.data)
    person = "A person decides by this report.\n\n" if verdict.better is None else ""
    changes = "".join(f"- {line}\n" for line in (*listed, f"data: {before.model.dataset} {data}"))
    asked = f"{plain(because)}\n\n" if because else ""
    body = f"{asked}**{verdict.sentence}**\n\n{changes}\n{person}{report}"
    close_with = f"{verdict.sentence} The branch `{branch}` is kept with all of it." if verdict.better is False else ""
    newest = f"data up to {new.test.last}" if isinstance(new, Windows) else "its newest data"
    return origin.Edit(f"Retrain {name} on {newest}", body[:LONGEST], close_with)


def _version(data: pointer.Version | None) -> str:
    return f"`{data.short}`" if data else "none"
