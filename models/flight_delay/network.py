"""The flight delay network: embeddings for names, a small perceptron, calibrated on the validation month.

    python -m models train flight_delay

Everything that a row goes through lives in the exported graph: names become ids, missing numbers become the training
mean plus a flag, numbers are scaled, scores are calibrated. So the file that was evaluated is the file that any ONNX
runtime serves.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from models.lib.columns import Columns
from models.lib.frameworks.torch import TorchModel, TrainingParameters, moments, target, temperature, train

DAY = 1440.0  # minutes
MINUTE = "sched_dep_minute"  # the one feature that runs in a circle: 23:59 is next to 00:00
HARMONICS = 2  # waves a day that describe it: more fit the noise of the early morning


class Network(nn.Module):
    """Ids and raw numbers in, calibrated probability out; shapes in trailing comments, N rows."""

    mean: Tensor
    scale: Tensor
    waves: Tensor
    slope: Tensor

    def __init__(self, sizes: list[int], numbers: list[str], hidden: int) -> None:
        super().__init__()
        self.minute = numbers.index(MINUTE)
        self.others = [place for place in range(len(numbers)) if place != self.minute]
        self.register_buffer("waves", torch.arange(1, HARMONICS + 1) * (2 * math.pi / DAY), persistent=False)
        # id 0 is every name that training has not seen; rare names get few dimensions (fourth root, as is common)
        self.embeddings = nn.ModuleList(nn.Embedding(size, min(16, math.ceil(2 * size**0.5))) for size in sizes)
        self.register_buffer("mean", torch.zeros(len(numbers)))
        self.register_buffer("scale", torch.ones(len(numbers)))
        self.register_buffer("slope", torch.ones(1))  # calibration of the logit
        width = sum(table.embedding_dim for table in self.embeddings) + 2 * len(self.others) + 2 * HARMONICS  # type: ignore[misc]
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def logit(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """ids: int64 [N, names]; numbers: float32 [N, numbers], NaN where missing -> [N], not calibrated."""
        others = ((numbers - self.mean) / self.scale)[:, self.others]  # [N, numbers - 1]
        missing = torch.isnan(others)
        scaled = torch.where(missing, torch.zeros_like(others), others)  # the training mean stands in
        scaled = torch.asinh(scaled)  # linear near the mean, logarithmic far out: cloudbursts stay comparable
        minute = numbers[:, self.minute : self.minute + 1]  # [N, 1]
        angle = torch.where(torch.isnan(minute), torch.zeros_like(minute), minute) * self.waves  # [N, harmonics]
        circle = torch.cat([angle.sin(), angle.cos()], dim=1)  # [N, 2 harmonics]
        embedded = [table(ids[:, place]) for place, table in enumerate(self.embeddings)]
        logit: Tensor = self.layers(torch.cat([*embedded, scaled, missing.float(), circle], dim=1)).squeeze(1)
        return logit

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * self.logit(ids, numbers))


class Model(TorchModel):
    class Parameters(TrainingParameters):
        hidden: int  # width of both hidden layers

    @staticmethod
    def build(columns: Columns, params: Any) -> Network:
        return Network(columns.sizes, columns.numbers, params.hidden)

    @classmethod
    def fit(cls, rows: Any, valid: Any, params: dict[str, Any]) -> Model:
        """Train on `rows`, stop early and calibrate on `valid`. Seeded, on one thread: the same bytes every time."""
        model = cls(Columns.of(rows), params)
        network, loss = model.network, nn.BCEWithLogitsLoss()
        (ids, numbers), held_back = model.tensors(rows), (*model.tensors(valid), target(valid))
        network.mean[:], network.scale[:] = moments(numbers)
        train(
            network,
            lambda ids, numbers, target: loss(network.logit(ids, numbers), target),
            (ids, numbers, target(rows)),
            held_back,
            model.params,
        )
        network.slope.fill_(temperature(network.logit(*held_back[:2]).detach(), held_back[2]))
        return model
