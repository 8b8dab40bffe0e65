"""A small repository that can be rehearsed: the real code and model, and rows made up for the test window."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl

from deploy.judge import Limits
from deploy.rehearsal.meters import Bounds
from deploy.rehearsal.record import Pace, Rehearsal
from deploy.steps import Step, Steps
from tests.data_schemas.examples import make_flights
from tests.deploy.tree import GIT

ROOT = Path(__file__).parents[2]
STAGES = ("data_schemas", "models", "serving", "deploy")
BOUNDS = Bounds(5.0, 10.0)
QUICK = Pace(steps=2.0, rate=300.0, warm=20, evidence=10.0, limits=Limits(requests=100, backstop_requests=50))


def make_repository(root: Path) -> Path:
    """One commit: everything that Git would hold of this repository, less data and earlier releases."""
    ignored = shutil.ignore_patterns("build", "data", "__pycache__", "*.dvc", "releases")
    for stage in STAGES:
        shutil.copytree(ROOT / stage, root / stage, ignore=ignored)
    (root / "requirements").mkdir()
    for name in ("pyproject.toml", ".gitignore", "requirements/serving.txt", "requirements/training.txt"):
        shutil.copy(ROOT / name, root / name)
    with patch.dict(os.environ, GIT):
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
            subprocess.run(["git", "-C", str(root), *command], check=True)
    (root / "data_schemas/flights/data").mkdir()
    flights().write_parquet(root / "data_schemas/flights/data/2013-08.parquet")
    return root


def flights() -> pl.DataFrame:
    """Two thousand rows of August that differ in what the model looks at."""
    random = np.random.default_rng(3)
    rows = 2000
    table = pl.concat([make_flights(month=8)] * (rows // 40))
    return table.with_columns(
        carrier=pl.Series(random.choice(["UA", "AA", "B6", "EV"], rows)),
        sched_dep_minute=pl.Series(random.integers(300, 1400, rows)).cast(table["sched_dep_minute"].dtype),
        precip=pl.Series(random.choice([0.0, 0.0, 0.1, 0.4], rows)),
        visib=pl.Series([[None, 2.0, 10.0, 10.0][index] for index in random.integers(0, 4, rows)]),
    )


def rehearsal(pace: Pace = QUICK, fault: str | None = None) -> Rehearsal:
    """One that has not begun, of two weights."""
    plan = Steps((Step(25, 60.0), Step(50, 60.0)), ())
    return Rehearsal(
        "flight_delay", fault, "the champion", "the candidate", plan, pace, datetime.now(UTC), BOUNDS, BOUNDS
    )
