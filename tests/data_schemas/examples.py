"""Small valid trips, and a repository where a dataset can be ingested."""

from __future__ import annotations

import argparse
import datetime
import importlib
import shutil
from pathlib import Path

import polars as pl

from data_schemas import ingest
from data_schemas.__main__ import VERBS
from repo.lib import command
from tests.support.repository import ROOT, git
from tests.support.specimens import DATASET, DATASET_NAME, SPECIMENS

DATA, POINTER = DATASET / "data", DATASET / "data.dvc"
source = importlib.import_module(f"data_schemas.{DATASET_NAME}.source")


def make_trips(month: int = 1, rows: int = 40) -> pl.DataFrame:
    """Rows that hold the contract, one a number."""
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


def lay_out(root: Path) -> Path:
    """What the verbs of this stage need: its entry, the specimen's dataset and DVC's settings."""
    (root / ".dvc").mkdir(parents=True)
    shutil.copytree(SPECIMENS / DATASET, root / DATASET, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "data_schemas/__main__.py", ".dvc/config", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    git("init", "--quiet", "--template=", root=root)
    return root


def run_ingest(accept: bool = False, pinned: bool = False) -> int:
    return ingest.main(argparse.Namespace(dataset=DATASET_NAME, accept=accept, pinned=pinned))


def verb(*words: str) -> int:
    """As `python -m data_schemas …`, in this process; the test needs the fixture `handlers_kept`."""
    return command.run("data_schemas", VERBS, words)
