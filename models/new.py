"""Draft a model for a dataset, train it once, and set its gates by what it reaches: a folder that passes every test."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.lib import config
from repo.lib.command import working
from repo.lib.files import read_json, read_yaml, write, write_json
from repo.lib.refusal import Refusal

TEMPLATES = Path("models/lib/templates")
SERVING = {"max_rows": 200, "max_body_bytes": 131072, "latency_budget_ms": 10.0}


def main(options: argparse.Namespace) -> int:
    from data_schemas.lib import datasets
    from models import run
    from models.lib import draft, drafted_split

    name, folder = options.model, config.MODELS / options.model
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise Refusal(f"{name!r} cannot be a folder of models/; take lower-case letters, digits and _, such as fraud.")
    if folder.exists():
        raise Refusal(f"{folder} exists already; name another model, or delete it.")
    rows = datasets.read_all(options.dataset)
    found = draft.columns(options.dataset, rows)
    if options.target not in found:
        raise Refusal(f"--target: {options.target!r} is not a column of {options.dataset}: {', '.join(found)}.")
    word, target = draft.target(found[options.target], options.task)
    split, keys = drafted_split.choose(options.dataset, found, options.target, options.split)
    names, left = draft.features(found, options.target, keys)
    settings: dict[str, Any] = {
        "description": f"Predicts {options.target} from a row of {options.dataset}.",
        "owner": "",
        "task": word,
        "dataset": options.dataset,
        **split,
        "target": target,
        "features": names,
        "slices": draft.slices(found, names),
        **read_yaml(TEMPLATES / options.like / "training.yaml", f"git checkout -- {TEMPLATES}"),
        "gates": {},
        "serving": ({"threshold": 0.5} if word == "binary" else {}) | SERVING,
        "storage": "git",
    }
    print(f"new {name}: {word}, {len(names)} of {len(found)} columns of {options.dataset}, {rows.height:,} rows")
    if lacking := found[options.target].values.null_count():
        print(f"  without {lacking:,} rows that have no {options.target}")
    for column, why in left.items():
        print(f"  without {column}: {why}")
    with _whole(folder):
        for path in (*TEMPLATES.glob("*.*"), TEMPLATES / options.like / "network.py"):
            shutil.copy(path, folder / path.name)
        write(folder / "model.yaml", draft.text(settings, draft.gates_off(word), left))
        _limit(name, settings, left)
    code = run.run(config.load(name, check_columns=False))
    if code:
        print(f"new {name}: not ready yet: see the gates that fail. Where a column gives the target away, mark it")
        print(f'  `"known": "after"` in the metadata of its schema, delete {folder}, and run this again.')
    else:
        print(f"new {name}: read what is drafted in {folder}/model.yaml, rehearse it with")
        print(f"  `python -m deploy rehearse {name}`, and commit {folder}.")
    return code


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """The folder as it is at the end, or none."""
    folder.mkdir()
    importlib.invalidate_caches()
    try:
        yield
    except Refusal as refusal:
        shutil.rmtree(folder)
        raise Refusal(f"{str(refusal).rstrip('.')} (of the draft, which was not kept).") from None
    except BaseException:
        shutil.rmtree(folder)
        raise


def _limit(name: str, settings: dict[str, Any], left: dict[str, str]) -> None:
    """Train the model, and write its model.yaml again with gates from what it reaches."""
    from models import measure
    from models.lib import draft, engine, pipeline, samples, scoring

    model = config.load(name)
    engine.declare(model)
    engine.hash_sources(model)
    if pipeline.repro(model.folder / "dvc.yaml"):
        raise Refusal(f"{name} could not be trained (see above).")
    evaluation = read_json(model.build / "evaluation.json", f"python -m models run {name}")
    with working(f"measuring {name}"):
        measured = measure.measure(model)
        write_json(model.build / "measured.json", measured)
        if "threshold" in settings["serving"]:
            scores = scoring.scores(scoring.session(model.onnx), samples.rows(model, "test"))
            settings["serving"]["threshold"] = draft.threshold(scores, evaluation["level"])
    tests = (model.folder / "test_behaviour.py").read_text().count("\ndef test_")
    gates = draft.gates(model, evaluation, measured, tests)
    write(model.folder / "model.yaml", draft.text(settings, gates, left))
