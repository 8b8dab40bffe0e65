"""The flight delay network: embeddings for names, a small perceptron, calibrated on the validation month.

    python -m models train flight_delay

Everything that a row goes through lives in the exported graph: names become ids by `ai.onnx.ml.LabelEncoder`, missing
numbers become the training mean plus a flag, numbers are scaled, scores are calibrated. So the file that was evaluated
is the file that any ONNX runtime serves. Any class with these five methods can stand in this one's place:

    fit(train, valid, params) -> Model     predict(table) -> scores     save(folder)     load(folder)     to_onnx()
"""

from __future__ import annotations

import logging
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.lib.inputs import Kind, attach
from repo.lib.files import read_json, write_json

DAY = 1440.0  # minutes
MINUTE = "sched_dep_minute"  # the one feature that runs in a circle: 23:59 is next to 00:00
HARMONICS = 2  # waves a day that describe it: more fit the noise of the early morning


class Parameters(BaseModel):
    """`training:` of model.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int
    hidden: int  # width of both hidden layers
    learning_rate: float
    batch: int  # rows in one step
    max_epochs: int
    patience: int  # epochs without a better validation loss before it stops
    weight_decay: float


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


class Model:
    """The seam: tables in, scores out. A table has the feature columns; `fit` also needs `target` (0 or 1)."""

    def __init__(self, columns: dict[str, Kind], vocabulary: dict[str, list[str]], params: Parameters) -> None:
        self.columns = columns  # every feature, in the order of the graph's inputs
        self.vocabulary = vocabulary  # column -> names, in the order of their ids from 1
        self.numbers = [name for name in columns if name not in vocabulary]
        self.params = params
        torch.set_num_threads(1)  # two threads give other bits, and on busy cores a tenth of the speed
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(params.seed)
        self.network = Network([len(names) + 1 for names in vocabulary.values()], self.numbers, params.hidden)

    @classmethod
    def fit(cls, train: pl.DataFrame, valid: pl.DataFrame, params: dict[str, Any]) -> Model:
        """Train on `train`, stop early and calibrate on `valid`. Seeded, on one thread: the same bytes every time."""
        columns = {name: _kind(train.schema[name]) for name in train.columns if name != "target"}
        model = cls(
            columns,
            {name: train[name].drop_nulls().unique().sort().to_list() for name in columns if columns[name] == "string"},
            Parameters(**params),
        )
        ids, numbers = model._tensors(train)
        model.network.mean.copy_(torch.nanmean(numbers, dim=0))
        spread = torch.nanmean((numbers - model.network.mean) ** 2, dim=0).sqrt()
        model.network.scale.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))
        model._train(ids, numbers, _target(train), model._tensors(valid), _target(valid))
        model._calibrate(*model._tensors(valid), _target(valid))
        return model

    def _train(
        self, ids: Tensor, numbers: Tensor, target: Tensor, valid: tuple[Tensor, Tensor], valid_target: Tensor
    ) -> None:
        from rich.progress import track

        params, network = self.params, self.network
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, foreach=True
        )
        loss = nn.BCEWithLogitsLoss()
        best, best_state, waited = math.inf, network.state_dict(), 0
        quiet = not sys.stdout.isatty()  # an empty line would be left of the bar
        for _ in track(range(params.max_epochs), description="epochs", transient=True, disable=quiet):
            for rows in torch.split(torch.randperm(len(target)), params.batch):
                optimizer.zero_grad()
                loss(network.logit(ids[rows], numbers[rows]), target[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                score = float(loss(network.logit(*valid), valid_target))
            if score < best:
                best, waited = score, 0
                best_state = {name: value.clone() for name, value in network.state_dict().items()}
            elif (waited := waited + 1) >= params.patience:
                break
        network.load_state_dict(best_state)

    @torch.no_grad()
    def _calibrate(self, ids: Tensor, numbers: Tensor, target: Tensor) -> None:
        """Temperature scaling (Guo et al. 2017): the one slope of the logit that minimises the log-loss, by Newton.

        No offset: it would fit the base rate of one month, and that is the month's weather, not the network's fault.
        """
        logit, slope = self.network.logit(ids, numbers).double(), 1.0
        for _ in range(20):
            score = torch.sigmoid(slope * logit)
            gradient = torch.dot(logit, score - target.double())
            slope -= float(gradient / torch.dot(logit**2, score * (1 - score)))
        self.network.slope.fill_(slope)

    @torch.no_grad()
    def predict(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 [N]. Unknown names and nulls are allowed."""
        score: NDArray[np.float32] = self.network(*self._tensors(table)).numpy()
        return score

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` (no pickle) and `model.json` into an existing folder."""
        save_file(self.network.state_dict(), folder / "weights.safetensors")
        write_json(
            folder / "model.json",
            {
                "columns": list(self.columns.items()),  # a list: sorted keys would lose the order of the inputs
                "vocabulary": list(self.vocabulary.items()),
                "params": self.params.model_dump(),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Model:
        described = read_json(folder / "model.json", f"python -m models run {Path(__file__).parent.name}")
        model = cls(dict(described["columns"]), dict(described["vocabulary"]), Parameters(**described["params"]))
        model.network.load_state_dict(load_file(folder / "weights.safetensors"))
        return model

    def to_onnx(self) -> onnx.ModelProto:
        """One graph from raw columns to `score`: the network with `models/lib/inputs.py` before it."""
        rows = torch.export.Dim("rows")
        example = (torch.zeros(2, len(self.vocabulary), dtype=torch.int64), torch.zeros(2, len(self.numbers)))
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it announces every optional package that is absent
        with warnings.catch_warnings(action="ignore"):  # its own deprecations, nothing a reader can act on
            program: Any = torch.onnx.export(
                self.network.eval(),
                example,
                input_names=["ids", "numbers"],
                output_names=["score"],
                dynamic_shapes={"ids": {0: rows}, "numbers": {0: rows}},
                opset_version=20,
                dynamo=True,
                verbose=False,
            )
        return attach(program.model_proto, self.columns, self.vocabulary)

    def _tensors(self, table: pl.DataFrame) -> tuple[Tensor, Tensor]:
        """ids int64 [N, names], numbers float32 [N, numbers] with NaN for null."""
        ids = [
            table[name].replace_strict(
                {value: place for place, value in enumerate(known, 1)}, default=0, return_dtype=pl.Int64
            )
            for name, known in self.vocabulary.items()
        ]
        numbers = table.select(pl.col(self.numbers).cast(pl.Float32).fill_null(math.nan))
        return torch.from_numpy(pl.DataFrame(ids).to_numpy(writable=True)), torch.from_numpy(
            numbers.to_numpy(writable=True)
        ).contiguous()


def _kind(kind: pl.DataType) -> Kind:
    if kind == pl.String:
        return "string"
    return "integer" if kind.is_integer() else "number"


def _target(table: pl.DataFrame) -> Tensor:
    return torch.from_numpy(table["target"].cast(pl.Float32).to_numpy(writable=True))
