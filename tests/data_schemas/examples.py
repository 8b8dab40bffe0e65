"""Small valid flights, and trees where a dataset can be ingested without touching the repository's own."""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
from pathlib import Path

import polars as pl

from data_schemas import ingest

REPOSITORY = Path(__file__).parents[2]


def make_flights(month: int = 1, rows: int = 40) -> pl.DataFrame:
    """Rows that hold the contract, one a flight number."""
    days = [datetime.date(2013, month, 1 + index % 28) for index in range(rows)]
    return pl.DataFrame(
        {
            "flight_date": days,
            "carrier": [["UA", "AA", "B6"][index % 3] for index in range(rows)],
            "flight": range(100, 100 + rows),
            "origin": [["EWR", "JFK"][index % 2] for index in range(rows)],
            "dest": [["IAH", "MIA", "BQN", "ATL"][index % 4] for index in range(rows)],
            "weekday": [day.isoweekday() for day in days],
            "sched_dep_minute": [300 + 10 * index for index in range(rows)],
            "distance": [700 + index for index in range(rows)],
            "temp": [None if index == 3 else 30.0 + index for index in range(rows)],
            "humid": [50.0 + index % 10 for index in range(rows)],
            "wind_speed": [float(index % 12) for index in range(rows)],
            "precip": [0.0] * rows,
            "pressure": [1010.0 + index % 5 for index in range(rows)],
            "visib": [10.0] * rows,
            "arr_delay": [index - 10 for index in range(rows)],
        }
    )


def make_tree(root: Path) -> Path:
    """A repository with the flights dataset and DVC's settings, but no data and no pinned version."""
    dataset = root / "data_schemas" / "flights"
    dataset.mkdir(parents=True)
    for name in ("schema.py", "source.py"):
        shutil.copy(REPOSITORY / "data_schemas" / "flights" / name, dataset)
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc" / "config", root / ".dvc")
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, root)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    return root


def run_ingest(accept: bool = False) -> int:
    return ingest.main(argparse.Namespace(dataset="flights", accept=accept, pinned=False))
