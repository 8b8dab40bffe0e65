"""Fit a model's network on its training window.

python -m models train flight_delay
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models import config, product
from repo.lib.refusal import Ended, Refusal, described

if TYPE_CHECKING:
    import polars as pl


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    product.refuse_to_make(model.weights)
    train, valid = (table(model, model.windows.train), table(model, model.windows.valid))
    print(f"train {model.name}: {train.height:,} rows of {model.windows.train}, ", end="")
    print(f"validated on {valid.height:,} of {model.windows.valid}")
    with guarded(model):
        fitted = network(model).fit(train, valid, model.training)
    save(model, fitted)
    return 0


def save(model: config.Model, fitted: Any) -> None:
    """Replace weights/ by what the network saves; a kill leaves the former ones or none, which every reader reports."""
    model.build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.build, prefix=".weights.") as staging:
        new, former = Path(staging, "new"), Path(staging, "former")
        new.mkdir()
        with guarded(model):
            fitted.save(new)
        files = [path for path in new.rglob("*") if path.is_file()]
        if not files:
            raise Refusal(f"{model.folder / 'network.py'}: save() wrote no file; mend it there.")
        product.refuse_large(model, model.weights, sum(path.stat().st_size for path in files))
        for path in files:
            path.chmod(0o644)  # safetensors makes them private
        if model.weights.exists():
            model.weights.rename(former)
        new.rename(model.weights)


def network(model: config.Model) -> Any:
    """The class `Model` of the model's `network.py`: the seam described in the plan."""
    path = model.folder / "network.py"
    if not path.is_file():
        raise Refusal(f"{path} is missing; write its class `Model` (see models/flight_delay/network.py).")
    try:
        module = importlib.import_module(f"models.{model.name}.network")
    except (Refusal, Ended):
        raise
    except (Exception, SystemExit) as error:  # a team's file: any fault in it is one sentence
        raise Refusal(f"{path} cannot be loaded ({described(error)}); mend the file.") from error
    if not hasattr(module, "Model"):
        raise Refusal(f"{path} defines no class `Model`; name it so.")
    return module.Model


def load(model: config.Model) -> Any:
    """The fitted network of weights/."""
    weights, mend = model.weights, f"make it anew with `python -m models train {model.name}`"
    if not weights.is_dir():
        raise Refusal(f"{weights} is missing; make it with `python -m models run {model.name}`.")
    try:
        return network(model).load(weights)
    except (Refusal, Ended):
        raise
    except (Exception, SystemExit) as error:  # whatever a damaged file, or a network.py that it does not fit, brings up
        raise Refusal(f"{weights} cannot be loaded ({described(error)}); {mend}.") from error


@contextmanager
def guarded(model: config.Model) -> Iterator[None]:
    """Whatever a team's network.py raises becomes a Refusal that names the line."""
    path = model.folder / "network.py"
    try:
        yield
    except (Refusal, Ended):
        raise
    except ValidationError as error:  # network.py types `training` as it likes; pydantic is the way of the example
        fault = error.errors()[0]
        field = ".".join(["training", *map(str, fault["loc"])])
        raise Refusal(f"{model.folder}/model.yaml: {field}: {fault['msg']}; mend it there.") from None
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).parts[-3:] == path.parts[-3:]]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise Refusal(f"{where}: {described(error)}; mend it there.") from error


def table(model: config.Model, window: config.Window) -> pl.DataFrame:
    """The raw feature columns and `target` (0 or 1) of a window's rows, in the data's order."""
    import polars as pl

    from data_schemas import tables

    rows = tables.read(model.dataset, window.months())
    target = (pl.col(model.target.column) > model.target.above).cast(pl.Int8).alias("target")
    return rows.select(*model.features, target)
