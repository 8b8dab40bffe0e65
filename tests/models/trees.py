"""Trees in which the verbs of models can be tried without touching the repository's own."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

ROOT = Path(__file__).parents[2]
MODEL = Path("models/flight_delay")  # in every tree
SETTINGS = ROOT / "tests/models/model.yaml"  # those of no model, where a test names values
SECOND = Path("models/taxi_tip")  # in a fork, where it learns from TRIPS
TRIPS = Path("data_schemas/trips")
OPTIONS = argparse.Namespace(model="flight_delay")
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{role}_{field}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")},
}


@dataclass
class Answer:
    code: int
    out: str
    error: str


def clone(root: Path) -> Path:
    """The working tree as a fresh clone would have it after a commit: no data, no cache, no build products."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", root=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():  # not deleted since the last commit
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    git("init", "--quiet", root=root)
    commit(root)
    return root


def fork(root: Path) -> Path:
    """A clone with a second model and a second dataset, on main."""
    clone(root)
    shutil.copytree(root / "data_schemas/flights", root / TRIPS)
    shutil.copytree(root / MODEL, root / SECOND)
    edit(root / SECOND / "dvc.yaml", "model: flight_delay", f"model: {SECOND.name}")
    edit(root / SECOND / "model.yaml", "dataset: flights", f"dataset: {TRIPS.name}")
    shutil.rmtree(root / "tests/models")  # whose words name them
    git("checkout", "--quiet", "-B", "main", root=root)
    commit(root)
    return root


def workshop(root: Path, cloned: Path) -> Path:
    """A clone in which the pipeline ran: data, DVC's cache and build products are there."""
    shutil.copytree(cloned, root)
    shutil.copytree(ROOT / "data_schemas/flights/data", root / "data_schemas/flights/data")
    shutil.copytree(ROOT / MODEL / "build", root / MODEL / "build", ignore=shutil.ignore_patterns("bento"))
    shutil.copytree(ROOT / ".dvc/cache/files", root / ".dvc/cache/files")
    return root


def run(*words: str, root: Path) -> Answer:
    """`python -m …` in a process of its own."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=root, env=os.environ | GIT, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def plain(root: Path) -> Path:
    """Only what the verbs read, with the repository's data and without build products or Git."""
    shutil.copytree(ROOT / "models", root / "models", ignore=shutil.ignore_patterns("build", "__pycache__"))
    dataset = Path("data_schemas/flights")
    for name in (
        Path("pyproject.toml"),
        Path("requirements/training.txt"),
        dataset / "schema.py",
        dataset / "data.dvc",
        *(path.relative_to(ROOT) for path in (ROOT / "data_schemas").glob("*.py")),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / dataset / "data").symlink_to(ROOT / dataset / "data")
    return root


def git(*arguments: str, root: Path = Path()) -> str:
    environment = os.environ | (GIT if root != ROOT else {})
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path = Path()) -> str:
    git("add", "--all", root=root)
    git("commit", "--quiet", "--allow-empty", "--message", "change", root=root)
    return git("rev-parse", "HEAD", root=root)


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))


def append(path: Path | str, text: str = "\n# more\n") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a") as file:
        file.write(text)


def stages(plan: dict[str, Any], model: str = "flight_delay") -> list[str]:
    """Those that a plan of `affected` has for a model."""
    return next((each["stages"] for each in plan["models"] if each["name"] == model), [])


def configure(root: Path, settings: dict[str, Any]) -> None:
    """Change settings of model.yaml, whatever a fork has there; None deletes one."""
    path = root / MODEL / "model.yaml"
    content = yaml.safe_load(path.read_text())
    for name, value in settings.items():
        *above, key = name.split(".")
        place = content
        for each in above:
            place = place[each]
        if value is None:
            del place[key]
        else:
            place[key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def store(root: Path, storage: str) -> None:
    """Where the bytes of weights and model.onnx live; a commit holds them or, with `dvc`, does not."""
    configure(root, {"storage": storage})
    path = root / MODEL / "dvc.yaml"
    if storage == "dvc":
        path.write_text(path.read_text().replace("cache: false", "cache: true"))
        git("rm", "-r", "--quiet", "--cached", str(MODEL / "weights"), str(MODEL / "model.onnx"), root=root)
        (root / MODEL / ".gitignore").write_text("/weights\n/model.onnx\n")  # as DVC writes it
    commit(root)


def shrink(root: Path) -> None:
    """Settings that train in a second."""
    first, second = ({"first": month, "last": month} for month in ("2013-01", "2013-02"))
    configure(root, {"windows.train": first, "windows.valid": second, "training.max_epochs": 1})


def sample(rows: int, seed: int) -> pl.DataFrame:
    """Flights with a target that a network can learn in a second; some names and numbers are missing."""
    random = np.random.default_rng(seed)
    minute, humid = random.integers(300, 1400, rows), random.uniform(30, 100, rows)
    return pl.DataFrame(
        {
            "carrier": random.choice(["UA", "B6", "EV"], rows),
            "origin": random.choice(["EWR", "JFK"], rows),
            "dest": random.choice(["ORD", "MCO", "ATL", "BOS"], rows),
            "weekday": random.integers(1, 8, rows),
            "sched_dep_minute": minute,
            "distance": random.integers(200, 2500, rows),
            "temp": pl.Series(random.normal(60, 15, rows)).set(pl.arange(0, rows, eager=True) % 50 == 0, None),
            "humid": humid,
            "wind_speed": random.uniform(0, 30, rows),
            "precip": random.exponential(0.01, rows),
            "pressure": random.normal(1016, 6, rows),
            "visib": random.uniform(1, 10, rows),
            "target": (random.random(rows) < minute / 2800 + humid / 400).astype(np.int8),
        }
    )
