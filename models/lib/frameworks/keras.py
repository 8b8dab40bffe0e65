"""Keras 3: what a class `Model` of network.py inherits. It adds `build` and `fit`.

`backend:` of model.yaml says what Keras stands on: torch, or tensorflow where models/<m>/requirements.txt brings it.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.lib import onnx_front
from models.lib.columns import Columns, to_polars

BATCH = 4096  # rows of a prediction


class KerasModel:
    """A network of inputs named `ids` [names], int64, and `numbers` [numbers], NaN where missing."""

    output: str = "score"  # of the ONNX file: what the network gives, [rows, 1] or [rows, classes]

    def __init__(self, columns: Columns, params: dict[str, Any]) -> None:
        self.columns, self.params = columns, params
        _reproducible(params["seed"])
        self.network: Any = self.build(columns, params)

    @staticmethod
    def build(columns: Columns, params: dict[str, Any]) -> Any:
        raise NotImplementedError

    def predict(self, table: Any) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.network.predict(self.inputs(table), batch_size=BATCH, verbose=0)
        return found if self.output == "probabilities" else found[:, 0]

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` (Keras' own files differ each time) and `model.json` into an existing folder."""
        weights = {f"{place:04}": each for place, each in enumerate(self.network.get_weights())}
        save_file(weights, folder / "weights.safetensors")
        self.columns.save(folder, params=self.params)

    @classmethod
    def load(cls, folder: Path) -> Self:
        columns, described = Columns.load(folder)
        model = cls(columns, described["params"])
        model.network.set_weights([each for _, each in sorted(load_file(folder / "weights.safetensors").items())])
        return model

    def to_onnx(self) -> onnx.ModelProto:
        if keras.backend.backend() == "torch":
            from models.lib.frameworks.torch import export

            return export(_as_torch(self.network, self.output), self.columns, self.output)
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        names, numbers = len(self.columns.vocabulary), len(self.columns.numbers)
        self.network({"ids": np.zeros((1, names), np.int64), "numbers": np.zeros((1, numbers), np.float32)})
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            path = Path(folder, "model.onnx")
            self.network.export(path, format="onnx", opset_version=18, verbose=False)  # the newest of tf2onnx
            core = onnx.version_converter.convert_version(onnx.load(path), onnx_front.OPSETS[0].version)
        core = onnx_front.only_output(in_order(core), self.output)
        return onnx_front.attach(core, self.columns.kinds, self.columns.vocabulary)

    def inputs(self, table: Any) -> dict[str, NDArray[Any]]:
        return {"ids": self.columns.ids(table), "numbers": self.columns.floats(table)}


def target(table: Any) -> NDArray[np.float32]:
    """float32 [rows]."""
    return to_polars(table)["target"].to_numpy().astype(np.float32)


def _reproducible(seed: int) -> None:
    """One thread, one seed: the same bytes every time."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    else:
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()


def _as_torch(network: Any, output: str) -> Any:
    """A torch.nn.Module of what is one within, on this backend."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = network

        def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.model({"ids": ids, "numbers": numbers}, training=False)
            return found if output == "probabilities" else found[:, 0]

    return Network()


def in_order(core: onnx.ModelProto) -> onnx.ModelProto:
    """In place: weights and nodes are named by a hash of their content, ordered by depth and name, each there once.

    The exporter of TensorFlow counts through a process, and orders by the names that come of it.
    """
    graph = core.graph
    names, depth = {each.name: each.name for each in graph.input}, dict[str, int]()
    weights, nodes = dict[str, bytes](), dict[tuple[int, str], bytes]()
    for weight in graph.initializer:
        made, weight.name = weight.name, ""
        names[made] = weight.name = _digest(weight)
        weights[weight.name] = weight.SerializeToString()
    for node in graph.node:
        made, node.name = list(node.output), ""
        node.input[:] = [names.get(name, name) for name in node.input]
        del node.output[:]
        key = 1 + max((depth.get(name, 0) for name in node.input), default=0), _digest(node)
        node.output[:] = [f"{key[1]}/{place}" for place in range(len(made))]
        names |= zip(made, node.output, strict=True)
        depth |= dict.fromkeys(node.output, key[0])
        nodes[key] = node.SerializeToString()
    for output in graph.output:
        output.name = names[output.name]
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(onnx.TensorProto.FromString(each) for _, each in sorted(weights.items()))
    graph.node.extend(onnx.NodeProto.FromString(each) for _, each in sorted(nodes.items()))
    return core


def _digest(part: onnx.TensorProto | onnx.NodeProto) -> str:
    return hashlib.sha256(part.SerializeToString(deterministic=True)).hexdigest()[:16]
