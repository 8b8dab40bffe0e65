"""PyTorch: what a class `Model` of network.py inherits, and a training loop. It adds `build` and `fit`."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.lib import onnx_front
from models.lib.columns import Columns, to_polars

if TYPE_CHECKING:
    import onnx


class TrainingParameters(BaseModel):
    """`training:` of model.yaml; a network adds what it needs itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int
    learning_rate: float
    batch: int  # rows in one step
    max_epochs: int
    patience: int  # epochs without a better validation loss before it stops
    weight_decay: float


class TorchModel:
    """A network that takes `ids` int64 [N, names] and `numbers` float32 [N, numbers], NaN where missing."""

    Parameters: ClassVar[type[TrainingParameters]] = TrainingParameters
    output: str = "score"  # of the ONNX file: what the network's forward gives

    def __init__(self, columns: Columns, params: dict[str, Any]) -> None:
        self.columns, self.params = columns, self.Parameters(**params)
        torch.set_num_threads(1)  # two threads give other bits, and on busy cores a tenth of the speed
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(self.params.seed)
        self.network: Any = self.build(columns, self.params)

    @staticmethod
    def build(columns: Columns, params: Any) -> nn.Module:
        raise NotImplementedError

    @torch.no_grad()
    def predict(self, table: Any) -> NDArray[np.float32]:
        """float32 [N] or [N, classes]. Unknown names and nulls are allowed."""
        found: NDArray[np.float32] = self.network(*self.tensors(table)).numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` (no pickle) and `model.json` into an existing folder."""
        save_file(self.network.state_dict(), folder / "weights.safetensors")
        self.columns.save(folder, params=self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        columns, described = Columns.load(folder)
        model = cls(columns, described["params"])
        model.network.load_state_dict(load_file(folder / "weights.safetensors"))
        return model

    def to_onnx(self) -> onnx.ModelProto:
        return export(self.network, self.columns, self.output)

    def tensors(self, table: Any) -> tuple[Tensor, Tensor]:
        """ids int64 [N, names], numbers float32 [N, numbers] with NaN for null."""
        return torch.from_numpy(self.columns.ids(table)), torch.from_numpy(self.columns.floats(table).copy())


def export(network: Any, columns: Columns, output: str) -> onnx.ModelProto:
    """The file of a torch.nn.Module that takes `ids` int64 [N, names] and `numbers` float32 [N, numbers]."""
    rows = torch.export.Dim("rows")
    example = (torch.zeros(2, len(columns.vocabulary), dtype=torch.int64), torch.zeros(2, len(columns.numbers)))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it announces every optional package that is absent
    with warnings.catch_warnings(action="ignore"):  # its own deprecations, nothing a reader can act on
        program: Any = torch.onnx.export(
            network.eval(),
            example,
            input_names=["ids", "numbers"],
            output_names=[output],
            dynamic_shapes=({0: rows}, {0: rows}),
            opset_version=20,
            dynamo=True,
            verbose=False,
        )
    return onnx_front.attach(program.model_proto, columns.kinds, columns.vocabulary)


def target(table: Any) -> Tensor:
    """float32 [N]."""
    return torch.from_numpy(to_polars(table)["target"].to_numpy().astype(np.float32))


def moments(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every column [N, numbers], nulls left out; 1 where it is constant."""
    mean = torch.nanmean(numbers, dim=0)
    spread = torch.nanmean((numbers - mean) ** 2, dim=0).sqrt()
    return mean, torch.where(spread > 0, spread, torch.ones_like(spread))


def train(
    network: nn.Module,
    loss: Callable[..., Tensor],
    rows: tuple[Tensor, ...],
    valid: tuple[Tensor, ...],
    params: TrainingParameters,
) -> None:
    """AdamW until the loss on `valid` no longer falls; keeps the best epoch. `loss(*tensors)` of rows is one number."""
    from rich.progress import track

    optimizer = torch.optim.AdamW(
        network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, foreach=True
    )
    best, best_state, waited = math.inf, network.state_dict(), 0
    quiet = not sys.stdout.isatty()  # an empty line would be left of the bar
    for _ in track(range(params.max_epochs), description="epochs", transient=True, disable=quiet):
        for chosen in torch.split(torch.randperm(len(rows[0])), params.batch):
            optimizer.zero_grad()
            loss(*(each[chosen] for each in rows)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            score = float(loss(*valid))
        if score < best:
            best, waited = score, 0
            best_state = {name: value.clone() for name, value in network.state_dict().items()}
        elif (waited := waited + 1) >= params.patience:
            break
    network.load_state_dict(best_state)


@torch.no_grad()
def temperature(logit: Tensor, target: Tensor) -> float:
    """Temperature scaling (Guo et al. 2017): the one slope of the logit [N] that minimises the log-loss, by Newton.

    No offset: it would fit the base rate of one month, and that is not the network's fault.
    """
    logit, slope = logit.double(), 1.0
    for _ in range(20):
        score = torch.sigmoid(slope * logit)
        gradient = torch.dot(logit, score - target.double())
        slope -= float(gradient / torch.dot(logit**2, score * (1 - score)))
    return slope
