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
import onnx.helper
import onnx.parser
import polars as pl
import yaml

from models import evaluate
from models.lib import compare, config
from models.lib.judges import Evidence
from repo.lib.files import write
from tests.models.planted import compared

ROWS = 600  # a month: one each to train, validate and test
KINDS = ["low", "mid", "high"]
SIGNS = {"low": -1.0, "high": 1.0}
SCHEMA = """
import pandera.polars as pa
import polars as pl

class Rows(pa.DataFrameModel):
    x: float; y: float = pa.Field(nullable=True); side: str
    amount: float = pa.Field(nullable=True); count: int; late: bool; kind: str
    after: float; word: str  # the amount in other clothes, and in words
    again: str; key: str  # of a few rows each, which have the same outcome, and of one row each
    maybe: int = pa.Field(nullable=True); day: pl.Date; target: float

    class Config:
        strict = True
"""
COMMON: dict[str, Any] = {"parity": {"at_most": 1e-5}, "latency": {"one_row_ms": 2.0, "hundred_rows_ms": 10.0}}
COMMON |= {"size_mb": {"at_most": 10.0}, "behaviour": {"tests": 1}}
# Target, output, and gates: a positive number is what a figure is to reach, a negative one what it may not exceed.
TASKS: dict[str, tuple[dict[str, Any], str, dict[str, float], dict[str, float]]] = {
    "binary": (
        {"column": "late"},
        "score",
        {"roc_auc": 0.8, "log_loss": -0.5, "brier": -0.2, "calibration_error": -0.2, "slice_roc_auc": 0.7},
        {"roc_auc": 0.65},  # of the baseline
    ),
    "multiclass": (
        {"column": "kind", "classes": KINDS},
        "probabilities",
        {"macro_f1": 0.6, "balanced_accuracy": 0.6, "log_loss": -0.9, "slice_macro_f1": 0.5, "class_recall": 0.4},
        {"macro_f1": 0.4},
    ),
    "regression": (
        {"column": "amount"},
        "prediction",
        {"rmse": -6000.0, "mae": -5000.0, "r2": 0.6, "slice_rmse": -7000.0},
        {"rmse": 8000.0},
    ),
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
    """model.yaml."""
    target, _, limits, baseline = TASKS[word]
    gates: dict[str, Any] = {"champion": {"margin": 0.005 if word != "regression" else 100.0}, "baseline": baseline}
    for name, limit in limits.items():
        large = {"rows": 40} if name.startswith(("slice_", "class_")) else {}
        gates[name] = {"at_least" if limit > 0 else "at_most": abs(limit)} | large
    serving: dict[str, Any] = {"max_rows": 100, "max_body_bytes": 10_000, "latency_budget_ms": 10.0}
    months = zip(("train", "valid", "test"), ("2013-01", "2013-02", "2013-03"), strict=True)
    return {
        "description": "A tiny model.",
        "task": word,
        "dataset": "tiny",
        "windows": {part: {"first": month, "last": month} for part, month in months},
        "target": target,
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
    signs, bias, last, scale = [1.0], [-1.2], "Sigmoid", 1.0
    if word == "multiclass":
        signs, bias = [SIGNS.get(name, 0.0) for name in names], [1.5 * (name == "mid") for name in names]
        last = "Softmax"
    elif word == "regression":
        bias, last, scale = [40_000.0], "Identity", 3000.0
    many = f", {len(names)}" if word == "multiclass" else ""
    weights = ", ".join(f"{scale * weight * sign:g}" for weight in (3.0 * x, y) for sign in signs)
    made = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 20]>
        model (float[rows] x, float[rows] y, string[rows] side) => (float[rows{many}] {TASKS[word][1]})
        <int64[1] one = {{1}}, int64[{len(many and "ab") or 1}] shape = {{-1{many}}},
         float[2, {len(signs)}] weights = {{{weights}}}, float[{len(signs)}] bias = {{{", ".join(map(str, bias))}}}>
        {{
            wide_x = Unsqueeze (x, one)
            wide_y = Unsqueeze (y, one)
            both = Concat <axis = 1> (wide_x, wide_y)
            sum = Gemm (both, weights, bias)
            answer = {last} (sum)
            {TASKS[word][1]} = Reshape (answer, shape)
        }}
    """)
    noted = {"names": names} if word == "multiclass" else {"edges": edges} if edges else {}
    onnx.helper.set_model_props(made, {key: json.dumps(value) for key, value in noted.items()})
    return bytes(made.SerializeToString())


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
