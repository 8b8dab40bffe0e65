"""One small table and a model of it for each task, none of them trained: the ONNX files are written by hand.

`amount` is what a regression predicts, `late` and `kind` are made from it; `x`, `y` and `side` are known beforehand.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from onnx import TensorProto, helper, numpy_helper

from models import evaluate
from models.lib import compare, config
from models.lib.judges import Evidence
from repo.lib.files import write
from tests.models.planted import compared

ROWS = 600  # a month: one each to train, validate and test
KINDS = ["low", "mid", "high"]
SCHEMA = """
import pandera.polars as pa
import polars as pl

class Rows(pa.DataFrameModel):
    x: float
    y: float = pa.Field(nullable=True)
    side: str
    amount: float
    count: int
    late: bool
    kind: str
    after: float  # the amount in other clothes
    word: str  # and in words
    again: str  # a key of a few rows each, which have the same outcome
    key: str  # one of every row
    maybe: int = pa.Field(nullable=True)
    day: pl.Date
    target: float

    class Config:
        strict = True
"""
COMMON: dict[str, Any] = {
    "parity": {"at_most": 1e-5},
    "latency": {"one_row_ms": 2.0, "hundred_rows_ms": 10.0},
    "size_mb": {"at_most": 10.0},
    "behaviour": {"tests": 1},
}
TASKS: dict[str, Any] = {
    "binary": {
        "output": "score",
        "target": {"column": "late"},
        "gates": {"roc_auc": 0.8, "log_loss": -0.5, "brier": -0.2, "calibration_error": -0.2, "slice_roc_auc": 0.7}
        | {"champion": 0.005, "baseline": {"roc_auc": 0.65}},
    },
    "multiclass": {
        "output": "probabilities",
        "target": {"column": "kind", "classes": KINDS},
        "gates": {"macro_f1": 0.6, "balanced_accuracy": 0.6, "log_loss": -0.9, "slice_macro_f1": 0.5}
        | {"class_recall": 0.4, "champion": 0.005, "baseline": {"macro_f1": 0.4}},
    },
    "regression": {
        "output": "prediction",
        "target": {"column": "amount"},
        "gates": {"rmse": -6000.0, "mae": -5000.0, "r2": 0.6, "slice_rmse": -7000.0}
        | {"champion": 100.0, "baseline": {"rmse": 8000.0}},
    },
}
MEASURED: dict[str, Any] = {
    "size_mb": 0.01,
    "parity": {"rows": 10_000, "largest_difference": 1e-6},
    "latency": {name: {"p50_ms": 0.1, "p99_ms": 0.2, "calls": 9} for name in ("one_row", "hundred_rows")},
    "slow_ms": 0.6,
}


def make(root: Path) -> None:
    write(root / "data_schemas/tiny/schema.py", SCHEMA)
    (root / "data_schemas/tiny/data").mkdir()
    for month in (1, 2, 3):
        rows(month).write_parquet(root / f"data_schemas/tiny/data/2013-{month:02}.parquet")
    for word in TASKS:
        write(root / f"models/tiny_{word}/model.yaml", yaml.safe_dump(settings(word), sort_keys=False))
        write(root / f"models/tiny_{word}/model.onnx", file(word))


def rows(seed: int) -> pl.DataFrame:
    dice = np.random.default_rng(seed)
    x, y, noise = dice.normal(size=(3, ROWS))
    amount = 40_000 + 9_000 * x + 3_000 * y + 4_000 * noise
    band = np.clip(amount // 1000, 15, 65).astype(int)
    return pl.DataFrame(
        {
            "x": x,
            "y": y,
            "side": dice.choice(["left", "right", "top"], ROWS, p=[0.5, 0.48, 0.02]),
            "amount": amount,
            "count": band,
            "late": amount > 44_000,
            "kind": [KINDS[int(each > 35_000) + int(each > 45_000)] for each in amount],
            "after": -amount / 7,
            "word": [f"about {each} thousand" for each in band],
            "again": [f"account {each * 7919 % 1009}" for each in band],
            "key": [f"{seed}-{row}" for row in range(ROWS)],
            "maybe": band,
            "day": [None] * ROWS,
            "target": amount,
        },
        schema_overrides={"day": pl.Date},
    )


def settings(word: str) -> dict[str, Any]:
    """model.yaml. Of a gate above, a positive number is what it is to reach, a negative one what it may not exceed."""
    gates: dict[str, Any] = {}
    for name, limit in TASKS[word]["gates"].items():
        key = "margin" if name == "champion" else "at_least" if isinstance(limit, float) and limit > 0 else "at_most"
        large = {"rows": 40} if name.startswith(("slice_", "class_")) else {}
        gates[name] = limit if name == "baseline" else {key: abs(limit)} | large
    serving: dict[str, Any] = {"max_rows": 100, "max_body_bytes": 10_000, "latency_budget_ms": 10.0}
    return {
        "description": "A tiny model.",
        "task": word,
        "dataset": "tiny",
        "windows": {
            part: dict.fromkeys(("first", "last"), f"2013-0{month}")
            for month, part in enumerate(("train", "valid", "test"), 1)
        },
        "target": TASKS[word]["target"],
        "features": ["x", "y", "side"],
        "slices": {"side": "categories"},
        "training": {},
        "gates": gates | COMMON,
        "serving": serving | ({"threshold": 0.5} if word == "binary" else {}),
        "storage": "git",
    }


def file(
    word: str, x: float = 1.0, y: float = 1.0, names: list[str] = KINDS, edges: list[float] | None = None
) -> bytes:
    """An ONNX file; with `x` and `y` other than 1 the two inputs weigh too much or too little."""
    score = np.array([9.0 * x, 3.0 * y], np.float32)
    if word == "binary":
        weights, bias, last = score[:, None] / 3, [-1.2], "Sigmoid"
    elif word == "multiclass":
        sides = {"low": -1.0, "high": 1.0}
        weights = np.stack([score / 3 * sides.get(name, 0.0) for name in names], axis=1)
        bias, last = [1.5 * (name == "mid") for name in names], "Softmax"
    else:
        weights, bias, last = 1000 * score[:, None], [40_000.0], "Identity"
    output, many = TASKS[word]["output"], weights.shape[1]
    shape = np.array([-1, many] if many > 1 else [-1])
    made = {"weights": weights, "bias": np.array(bias, np.float32), "one": np.array([1]), "shape": shape}
    nodes = [
        *(helper.make_node("Unsqueeze", [name, "one"], [f"{name}/wide"]) for name in ("x", "y")),
        helper.make_node("Concat", ["x/wide", "y/wide"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "weights", "bias"], ["sum"]),
        helper.make_node(last, ["sum"], ["answer"]),
        helper.make_node("Reshape", ["answer", "shape"], [output]),
    ]
    tensors = {"x": TensorProto.FLOAT, "y": TensorProto.FLOAT, "side": TensorProto.STRING}
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(name, kind, ["rows"]) for name, kind in tensors.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", many] if many > 1 else ["rows"])],
        [numpy_helper.from_array(each, name) for name, each in made.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    noted = {"names": names} if word == "multiclass" else {"edges": edges} if edges else {}
    for key, value in noted.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    content: bytes = model.SerializeToString()
    return content


class Tiny:
    """The tree, and what is measured in it, once a session."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: dict[str, Evidence] = {}

    def evidence(self, word: str) -> Evidence:
        """Of a first release."""
        if word not in self._found:
            with contextlib.chdir(self.root):
                model = config.load(f"tiny_{word}")
                self._found[word] = Evidence(model, evaluate.evaluate(model), MEASURED, champion=None)
        return self._found[word]

    def against(self, word: str, champion: bytes, **settings: Any) -> Evidence:
        """The same beside a champion of these bytes; `settings` replace those of model.yaml."""
        first = self.evidence(word)
        with contextlib.chdir(self.root):
            return compared(first, compare.compare(first.model.model_copy(update=settings), champion))

    def copy(self, word: str, root: Path) -> config.Model:
        """A model's folder below `root`, for a test that changes it there; the data is linked."""
        folder = Path("models", f"tiny_{word}")
        shutil.copytree(self.root / folder, root / folder)
        (root / "data_schemas").symlink_to(self.root / "data_schemas")
        return self.evidence(word).model

    def rows(self) -> pl.DataFrame:
        """Those of the test window."""
        return rows(3)
