"""Logistic regression in numpy: everything that the engine asks of a network, trained in a tenth of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save_file

from models.lib.columns import Kind
from models.lib.onnx_front import attach
from repo.lib.files import read_json, write_json

Floats = NDArray[np.float32]


class Parameters(BaseModel):
    """`training:` of model.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int  # draws the rows that are left out, so that another seed gives another model
    learning_rate: float  # share of a Newton step
    max_epochs: int  # Newton steps
    weight_decay: float


class Model:
    def __init__(self, columns: dict[str, Kind], vocabulary: dict[str, list[str]], state: dict[str, Floats]) -> None:
        self.columns, self.vocabulary, self.state = columns, vocabulary, state
        self.numbers = [name for name in columns if name not in vocabulary]

    @classmethod
    def fit(cls, train: pl.DataFrame, valid: pl.DataFrame, params: dict[str, Any]) -> Model:
        settings = Parameters(**params)
        kinds = {name: kind for name, kind in train.schema.items() if name != "target"}
        columns: dict[str, Kind] = {
            name: "string" if kind == pl.String else "integer" if kind.is_integer() else "number"
            for name, kind in kinds.items()
        }
        names = [name for name, kind in columns.items() if kind == "string"]
        model = cls(columns, {name: train[name].drop_nulls().unique().sort().to_list() for name in names}, {})
        numbers = model._numbers(train)
        model.state["mean"] = np.nanmean(numbers, axis=0)
        model.state["scale"] = np.maximum(np.nanstd(numbers, axis=0), np.float32(1e-6))
        kept = np.random.default_rng(settings.seed).random(train.height) < 0.9
        rows, target = model._design(train)[kept].astype(np.float64), train["target"].to_numpy()[kept]
        weights: NDArray[np.float64] = np.zeros(rows.shape[1])
        for _ in range(settings.max_epochs):
            score = 1 / (1 + np.exp(-rows @ weights))
            decay = settings.weight_decay * len(rows)
            hessian = (rows * (score * (1 - score))[:, None]).T @ rows + decay * np.eye(len(weights))
            weights -= settings.learning_rate * np.linalg.solve(hessian, rows.T @ (score - target) + decay * weights)
        model.state["weights"] = weights.astype(np.float32)
        assert valid.height  # nothing is stopped early or calibrated
        return model

    def predict(self, table: pl.DataFrame) -> Floats:
        logit = self._design(table) @ self.state["weights"]
        return np.asarray(1 / (1 + np.exp(-logit)), np.float32)

    def save(self, folder: Path) -> None:
        save_file(self.state, folder / "weights.safetensors")
        described = {"columns": list(self.columns.items()), "vocabulary": list(self.vocabulary.items())}
        write_json(folder / "model.json", described)

    @classmethod
    def load(cls, folder: Path) -> Model:
        described = read_json(folder / "model.json", f"python -m models run {Path(__file__).parent.name}")
        state = load_file(folder / "weights.safetensors")
        return cls(dict(described["columns"]), dict(described["vocabulary"]), state)

    def to_onnx(self) -> onnx.ModelProto:
        """Each name's weight is looked up, numbers are scaled, and the sum goes through a sigmoid."""
        sizes = [len(known) + 1 for known in self.vocabulary.values()]
        tables = np.split(self.state["weights"][: sum(sizes)], np.cumsum(sizes)[:-1])
        rest = self.state["weights"][sum(sizes) :]  # numbers, then the intercept
        constants = {"mean": self.state["mean"], "scale": self.state["scale"], "numbers/weights": rest[:-1]}
        constants |= {f"{name}/table": table for name, table in zip(self.vocabulary, tables, strict=True)}
        constants["intercept"] = rest[-1:]
        node = helper.make_node
        nodes = [
            node("IsNaN", ["numbers"], ["missing"]),
            node("Where", ["missing", "mean", "numbers"], ["filled"]),
            node("Sub", ["filled", "mean"], ["centred"]),
            node("Div", ["centred", "scale"], ["scaled"]),
            node("MatMul", ["scaled", "numbers/weights"], ["numbers/logit"]),
        ]
        places = {f"{name}/place": np.array(place) for place, name in enumerate(self.vocabulary)}
        for name in self.vocabulary:
            nodes.append(node("Gather", ["ids", f"{name}/place"], [f"{name}/id"], axis=1))
            nodes.append(node("Gather", [f"{name}/table", f"{name}/id"], [f"{name}/logit"]))
        terms = ["numbers/logit", *(f"{name}/logit" for name in self.vocabulary), "intercept"]
        nodes += [node("Sum", terms, ["logit"]), node("Sigmoid", ["logit"], ["score"])]
        core = helper.make_model(
            helper.make_graph(
                nodes,
                "core",
                [
                    helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", len(self.vocabulary)]),
                    helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", len(self.numbers)]),
                ],
                [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"])],
                [numpy_helper.from_array(value, name) for name, value in (constants | places).items()],
            ),
            opset_imports=[helper.make_opsetid("", 20)],
            ir_version=10,
        )
        return attach(core, self.columns, self.vocabulary)

    def _numbers(self, table: pl.DataFrame) -> Floats:
        """float32 [N, numbers], NaN for null."""
        return table.select(pl.col(self.numbers).cast(pl.Float32).fill_null(float("nan"))).to_numpy()

    def _design(self, table: pl.DataFrame) -> Floats:
        """float32 [N, one column a known name and one for all others, numbers, 1]."""
        parts = []
        for name, known in self.vocabulary.items():
            ids = {value: place for place, value in enumerate(known, 1)}
            each = table[name].replace_strict(ids, default=0, return_dtype=pl.Int64).to_numpy()
            parts.append(np.eye(len(known) + 1, dtype=np.float32)[each])
        mean, scale = self.state["mean"], self.state["scale"]
        numbers = self._numbers(table)
        parts += [(np.where(np.isnan(numbers), mean, numbers) - mean) / scale]
        return np.hstack([*parts, np.ones((table.height, 1), dtype=np.float32)])
