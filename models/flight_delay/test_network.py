"""What this network promises whatever it has learned; run with the model's gates, not as one.

pytest models/flight_delay/test_network.py
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open

from models.lib import config, plugin
from repo.lib.refusal import Refusal

MODEL = config.load(Path(__file__).parent.name)  # a copy of this folder tests the copy
NETWORK = plugin.network(MODEL)
PARAMS = {
    "seed": 7,
    "hidden": 16,
    "learning_rate": 0.002,
    "batch": 256,
    "max_epochs": 2,
    "patience": 3,
    "weight_decay": 0.0001,
}


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


def weights(folder: Path, **changes: Any) -> bytes:
    """The bytes on disk of a network fitted to 3,000 flights."""
    fitted = NETWORK.fit(sample(3000, 1), sample(1000, 2), PARAMS | changes)
    folder.mkdir()
    fitted.save(folder)
    return (folder / "weights.safetensors").read_bytes()


def test_fitting_twice_gives_the_same_bytes_whatever_was_drawn_before(tmp_path: Path) -> None:
    first = weights(tmp_path / "first")
    torch.rand(1000)
    torch.set_num_threads(2)
    assert weights(tmp_path / "second") == first
    assert torch.get_num_threads() == 1  # two give other bits
    assert (tmp_path / "first/model.json").read_bytes() == (tmp_path / "second/model.json").read_bytes()
    assert weights(tmp_path / "other", seed=8) != first


def test_what_was_saved_is_loaded_whole(tmp_path: Path) -> None:
    table = sample(500, 3)
    fitted = NETWORK.fit(sample(2000, 1), sample(500, 2), PARAMS)
    fitted.save(tmp_path)
    scores = NETWORK.load(tmp_path).predict(table)
    assert (scores == fitted.predict(table)).all()
    assert len(np.unique(scores)) > 400  # not a constant


def test_it_takes_nulls_and_names_that_it_never_saw() -> None:
    table = sample(300, 3).with_columns(
        pl.lit("ZZ").alias("carrier"), pl.lit(None, pl.String).alias("dest"), pl.lit(None, pl.Float64).alias("humid")
    )
    scores = NETWORK.fit(sample(2000, 1), sample(500, 2), PARAMS).predict(table)
    assert np.isfinite(scores).all()


def test_weights_are_numbers_and_nothing_that_could_run() -> None:
    assert sorted(path.name for path in MODEL.weights.iterdir()) == ["model.json", "weights.safetensors"]
    with safe_open(MODEL.weights / "weights.safetensors", "numpy") as stored:
        assert len(list(stored.keys())) > 5


def test_a_copied_network_names_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MODEL.folder, tmp_path / "models/copied", ignore=shutil.ignore_patterns("build"))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("models.copied.network")
    with pytest.raises(Refusal, match="`python -m models run copied`"):
        module.Model.load(tmp_path / "models/copied/none")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("hidden", "64", "Input should be a valid integer"),
        ("depth", 2, "Extra inputs are not permitted"),
        ("hidden", None, "Field required"),
    ],
)
def test_a_wrong_training_setting_is_refused_with_file_and_field(name: str, value: Any, words: str) -> None:
    params = {key: each for key, each in (PARAMS | {name: value}).items() if each is not None}
    expected = rf"^{MODEL.folder}/model\.yaml: training\.{name}: {words}; fix it there\.$"
    with pytest.raises(Refusal, match=expected), plugin.guarded(MODEL):
        NETWORK.fit(sample(200, 1), sample(100, 2), params)
