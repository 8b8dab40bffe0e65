"""A small perceptron in PyTorch, for any task: embeddings for names, scaled numbers, a flag where one is missing.

The columns, files and the way to ONNX are those of TorchModel: what is to be changed here is the network.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from models.lib.columns import Columns, outputs
from models.lib.frameworks.torch import TorchModel, TrainingParameters, moments, target, train

LOSS = {0: nn.MSELoss(), 1: nn.BCEWithLogitsLoss()}  # of an amount, of a yes or no; of more classes the cross entropy


class Network(nn.Module):
    """ids int64 [N, names], numbers float32 [N, numbers], NaN where missing -> what the task answers."""

    mean: Tensor
    scale: Tensor
    amount: Tensor  # mean and deviation of what is predicted

    def __init__(self, columns: Columns, hidden: int, many: int) -> None:
        super().__init__()
        self.many = many  # classes; 1 for a yes or no, 0 for an amount
        widths = [min(16, math.ceil(2 * size**0.5)) for size in columns.sizes]
        self.embeddings = nn.ModuleList(map(nn.Embedding, columns.sizes, widths))
        self.register_buffer("mean", torch.zeros(len(columns.numbers)))
        self.register_buffer("scale", torch.ones(len(columns.numbers)))
        self.register_buffer("amount", torch.tensor([0.0, 1.0]))
        first, last = nn.Linear(sum(widths) + 2 * len(columns.numbers), hidden), nn.Linear(hidden, max(many, 1))
        self.layers = nn.Sequential(first, nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)

    def raw(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Logits or a scaled amount, [N] or [N, classes]."""
        scaled = (numbers - self.mean) / self.scale
        missing = torch.isnan(scaled)
        filled = torch.asinh(torch.where(missing, torch.zeros_like(scaled), scaled))
        embedded = [table(ids[:, place]) for place, table in enumerate(self.embeddings)]
        found: Tensor = self.layers(torch.cat([*embedded, filled, missing.float()], dim=1))
        return found if self.many > 1 else found.squeeze(1)

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        raw = self.raw(ids, numbers)
        if self.many > 1:
            return raw.softmax(dim=1)
        return raw.sigmoid() if self.many else self.amount[0] + self.amount[1] * raw


class Model(TorchModel):
    class Parameters(TrainingParameters):
        hidden: int  # width of both hidden layers
        outputs: int = 0  # found by `fit`

    def __init__(self, columns: Columns, params: dict[str, Any]) -> None:
        super().__init__(columns, params)
        self.output = ("prediction", "score", "probabilities")[min(self.network.many, 2)]

    @staticmethod
    def build(columns: Columns, params: Any) -> Network:
        return Network(columns, params.hidden, params.outputs)

    @classmethod
    def fit(cls, rows: Any, valid: Any, params: dict[str, Any]) -> Self:
        """Train on `rows`, stop early on `valid`. Seeded, on one thread: the same bytes every time."""
        model = cls(Columns.of(rows), params | {"outputs": outputs(rows)})
        network, inputs, wanted = model.network, model.tensors(rows), target(rows)
        network.mean[:], network.scale[:] = moments(inputs[1])
        if not network.many:
            network.amount[:] = torch.stack([wanted.mean(), wanted.std()])
        loss = LOSS.get(network.many, nn.CrossEntropyLoss())

        def of(ids: Tensor, numbers: Tensor, target: Tensor) -> Tensor:
            scaled = (target - network.amount[0]) / network.amount[1]
            asked = target.long() if network.many > 1 else target if network.many else scaled
            found: Tensor = loss(network.raw(ids, numbers), asked)
            return found

        train(network, of, (*inputs, wanted), (*model.tensors(valid), target(valid)), model.params)
        return model
