"""Fit a model's network on its training window."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from models.lib import artifacts, columns, config, plugin, samples
from models.lib.tasks import task
from repo.lib.files import write_json
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    artifacts.refuse_to_make(model.weights)
    train, valid = (samples.table(model, part) for part in ("train", "valid"))
    print(f"train {model.name}: {train.height:,} rows of {model.span('train')}, ", end="")
    print(f"validated on {valid.height:,} of {model.span('valid')}")
    with plugin.guarded(model):
        fitted, edges = fit(model, train, valid)
    save(model, fitted, edges)
    return 0


def fit(model: config.Model, train: Any, valid: Any) -> tuple[Any, list[float] | None]:
    """The trained network, and the edges of bins that the task takes from it."""
    frame = columns.FRAMES[model.frame]
    fitted = plugin.network(model).fit(frame(train), frame(valid), model.training)
    return fitted, task.of(model).keep(lambda: fitted.predict(frame(valid.drop("target"))))


def save(model: config.Model, fitted: Any, edges: list[float] | None) -> None:
    """Replace weights/ by what the network saves; a kill leaves the former ones or none, which every reader reports."""
    model.build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.build, prefix=".weights.") as staging:
        new, former = Path(staging, "new"), Path(staging, "former")
        new.mkdir()
        with plugin.guarded(model):
            fitted.save(new)
        if not any(path.is_file() for path in new.rglob("*")):
            raise Refusal(f"{model.folder / 'network.py'}: save() wrote no file; fix it there.")
        if edges is not None:
            write_json(new / artifacts.EDGES, edges)
        files = [path for path in new.rglob("*") if path.is_file()]
        artifacts.refuse_large(model, model.weights, sum(path.stat().st_size for path in files))
        for path in files:
            path.chmod(0o644)  # safetensors makes them private
        if model.weights.exists():
            model.weights.rename(former)
        new.rename(model.weights)
