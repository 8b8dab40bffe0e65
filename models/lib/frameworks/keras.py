"""Keras 3: what a class `Model` of network.py inherits. It adds `build` and `fit`.

`backend:` of model.yaml says what Keras stands on: torch, or tensorflow where models/<m>/requirements.txt brings it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.lib import onnx_front
from models.lib.columns import Columns, to_polars

if TYPE_CHECKING:
    import onnx

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
        return onnx_front.from_keras(self.network, self.columns.kinds, self.columns.vocabulary, self.output)

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
