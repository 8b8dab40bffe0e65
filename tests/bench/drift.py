"""Which windows after training a model's drift limits find: the year of its dataset, window by window.

python tests/bench/drift.py [MODEL]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages
os.chdir(sys.path[0])

from data_schemas.lib import bins, datasets  # noqa: E402
from models.lib import config, drift, samples, scoring  # noqa: E402
from models.lib.tasks import task  # noqa: E402
from models.lib.tasks.task import BINS  # noqa: E402
from repo.lib.files import read_json  # noqa: E402


def main(name: str = "flight_delay") -> None:
    model = config.load(name)
    fix = f"python -m models run {name}"
    profile, evaluation = (read_json(model.build / f"{each}.json", fix) for each in ("profile", "evaluation"))
    train, every = samples.rows(model, "train"), datasets.read_all(model.dataset)
    column = next(name for name, kind in every.schema.items() if kind == pl.Date)
    later = every.filter(pl.col(column) > train[column].max())
    runtime = scoring.session(model.onnx)
    edges = scoring.note(runtime, "edges")
    print(f"{name}: {later.height:,} rows after training, every window of them")
    table = Table("feature", *(f"{each}: {what}" for each in ("1d", "7d") for what in ("limit", "median", "fires")))
    for feature in (*model.features, None):
        found, rows = profile["features"].get(feature), profile["rows"]
        if feature is None:
            found, codes = evaluation["answers"], task.of(model).bins(scoring.scores(runtime, later), edges)
        else:
            codes = bins.places(later[feature], found["bins"])
        cells = []
        for window in ("1d", "7d"):
            counts = drift.Times.of(model, later).counts(codes, len(found["shares"]), window)
            excess, limit = drift.excess(counts, found["shares"], rows, found["chi2"]), found["limits"][window]
            fires = "silent" if limit is None else f"{(excess > limit).mean():.1%}"
            cells += [f"{limit:.4g}" if limit else "", f"{np.median(excess):.3f}", fires]
        table.add_row(feature or f"({task.of(model).field}, {BINS} bins)", *cells)
    Console().print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
