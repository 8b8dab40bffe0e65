"""What depends on what a model answers: a yes or no, one of several classes, or a number. Each has a module here.

Nothing else knows a task by its name: settings come from `settings`, behaviour from `of`, and what the service and the
stages after it need stands in contract.json, under `answer`.
"""
# ruff: noqa: ARG002 - what one task asks for the others may leave

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.lib import config
from models.lib.metrics import TITLES, rounded_mean
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Counts = NDArray[np.float32]
Metric = Callable[[Floats, Floats, Counts], Floats]
BINS = 10  # of what is answered, whatever the task: telemetry, promise and judge count by them


def settings(task: str) -> type[config.Model]:
    """`model.yaml` as the task has it."""
    found: type[config.Model] = importlib.import_module(f"models.lib.tasks.{task}").Settings
    return found


def of(model: config.Model) -> Task:
    """The behaviour of a model's task."""
    found: type[Task] = importlib.import_module(f"models.lib.tasks.{model.task}").Behaviour
    return found(model)


class Task(ABC):
    """Values are what the ONNX file gives: float64 [rows], or [rows, classes]."""

    metrics: ClassVar[Mapping[str, Metric]]  # (target [rows], values, counts [draws, rows]) -> [draws]
    higher: ClassVar[frozenset[str]]  # metrics of which more is better
    main: ClassVar[str]  # the metric of slices, margin and baseline
    proper: ClassVar[str]  # the metric in which a model has to beat the answer that looks at nothing
    scale: ClassVar[str]  # a metric of which 1 is perfect, for `plausible`
    output: ClassVar[str]  # of the ONNX file
    field: ClassVar[str]  # of the service's answer
    trivial_title: ClassVar[str]  # what that answer is
    level_title: ClassVar[str]  # heading of `level`
    moved_title: ClassVar[str]  # what `shift` counts
    answered_title: ClassVar[str]  # and the level of what is answered

    described: ClassVar[str]  # what a value is, of `{target}`
    bounds: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)  # of a value
    fixed_edges: ClassVar[list[float] | None] = None  # of the bins, where they are not taken from the network
    kept: ClassVar[tuple[str, int] | None] = None  # a note of the file: its key, and of how many bins it has the edges

    def __init__(self, model: config.Model) -> None:
        self.model = model

    @property
    def names(self) -> list[str] | None:
        """Of the classes, in the order of the file's output."""
        return None

    @property
    def titles(self) -> dict[str, str]:
        """Of the metrics, in their order."""
        return {name: TITLES[name] for name in self.metrics}

    def sign(self, metric: str) -> float:
        """1 where more is better, else -1."""
        return 1.0 if metric in self.higher else -1.0

    def target(self, rows: pl.DataFrame) -> Floats:
        """The outcome of raw rows as numbers, float64 [rows]."""
        return rows.select(self.column()).to_series().to_numpy().astype(np.float64)

    @abstractmethod
    def column(self) -> pl.Expr:
        """The outcome as `fit` gets it, from the raw columns."""

    @abstractmethod
    def check_target(self, kind: Any, where: str) -> None:
        """Refuse a target column of a polars type, or with nulls, that this task cannot be judged by."""

    def measurable(self, target: Floats) -> str | None:
        """Why nothing can be measured on these outcomes."""
        return "have one outcome only, on which nothing is measured" if target.min() == target.max() else None

    @abstractmethod
    def in_range(self, values: Floats) -> bool:
        """Whether the values are finite and what this task may answer."""

    @abstractmethod
    def bins(self, values: Floats, edges: list[float] | None) -> NDArray[np.int64]:
        """The bin of every row [rows], 0 to 9, as the service counts it; `edges` are those of the ONNX file."""

    def edges(self, values: Callable[[], Any]) -> list[float] | None:
        """Edges of `bins` from a network's values; None where the task has fixed ones."""
        return None

    def keep(self, values: Callable[[], Any]) -> list[float] | None:
        """What training keeps of a network's values on the validation rows for the note `kept`."""
        return quantiles(values(), self.kept[1]) if self.kept else None

    def notes(self, edges: list[float] | None) -> dict[str, Any]:
        """What the ONNX file carries in its metadata beside the graph, key -> JSON."""
        kept = self.kept[0] if self.kept else ""
        return {key: each for key, each in (("names", self.names), (kept, edges)) if each is not None}

    def answer(self, edges: list[float] | None = None) -> dict[str, Any]:
        """`answer` of contract.json: all that the service, the rehearsal and the monitoring know of the task."""
        return {
            "output": self.output,
            "field": self.field,
            "description": self.described.format(target=self.model.target.column),
            "names": self.names,
            "minimum": self.bounds[0],
            "maximum": self.bounds[1],
            "threshold": getattr(self.model.serving, "threshold", None),
            "edges": self.fixed_edges or edges,
            "unit": None,
        }

    def level(self, target: Floats) -> float | None:
        """The outcomes in one figure: share of positives, of the largest class, or the mean."""
        return rounded_mean(target, float(target.std()) if len(target) else None)

    def shown(self, level: float | None) -> str:
        """That figure in words."""
        return "" if level is None else f"{level:.1%}"

    @abstractmethod
    def trivial(self, target: Floats) -> float:
        """`proper` of the answer that looks at nothing: base rate, class shares or mean."""

    @property
    @abstractmethod
    def nothing(self) -> float:
        """`scale` of an answer that knows nothing."""

    def chance(self, evaluation: dict[str, Any]) -> float:
        """`main` of the answer that looks at nothing: a first baseline."""
        return self.nothing

    @abstractmethod
    def figures(self, target: Floats, values: Floats, counts: Counts) -> dict[str, Any]:
        """`reliability` and `charts` of evaluation.json, and what else the task reports."""

    @abstractmethod
    def shift(self, before: Floats, now: Floats, target: Floats, served: Mapping[str, Any]) -> tuple[Any, Floats]:
        """What callers notice, row by row: (whether the answer changes [rows], levels before and now [2, rows]).

        `served` is `serving` of the champion's passport, by which it labelled.
        """

    @abstractmethod
    def judge_shift(self, gate: Any, moved: float, levels: list[float], spread: float) -> tuple[str, str, bool]:
        """(limit, value, within) of the gate `shift`; `spread` is the standard deviation of the outcome."""

    def alone(self, codes: NDArray[np.int64], target: Floats, fresh: NDArray[np.int64]) -> Floats:
        """Values for rows of which one feature's bin is known (`fresh`), learnt from `codes` and their outcomes."""
        return of_group(codes, target, fresh)


def quantiles(values: Any, many: int) -> list[float]:
    """The edges of so many bins with as many values each; a value at an edge lies in the upper bin."""
    places = np.arange(1, many) / many
    return [float(each) for each in np.quantile(np.asarray(values, np.float32), places, method="nearest")]


def of_group(codes: NDArray[np.int64], weights: Floats, fresh: NDArray[np.int64]) -> Floats:
    """Of each of `fresh` the mean of `weights` in its group of `codes`, near the mean of all where that says little.

    How near follows from the variance within the groups and between them (empirical Bayes): groups of one say nothing.
    """
    size = int(max(codes.max(initial=0), fresh.max(initial=0))) + 1
    mean, rows = weights.mean(), np.bincount(codes, minlength=size)
    off = np.bincount(codes, weights - mean, minlength=size) / np.maximum(rows, 1)
    spare = len(codes) - np.count_nonzero(rows)
    within = float(((weights - mean - off[codes]) ** 2).sum() / spare) if spare else float(weights.var())
    between = rows * max(float(weights.var()) - within, 0.0)
    return np.asarray(mean + off * between / np.maximum(between + within, np.finfo(np.float64).tiny), np.float64)[fresh]


def refuse_target(where: str, why: str) -> None:
    raise Refusal(f"{where}: {why}.")
