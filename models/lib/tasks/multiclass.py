"""One of several classes: the file gives a probability for each, and the largest is the label."""
# ruff: noqa: ARG002 - what one task asks for the others may leave

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from models.lib import config, limits, metrics
from models.lib.limits import AtLeast, AtMost, Gate, LargeAtLeast
from models.lib.tasks import task
from models.lib.tasks.task import BINS, Counts, Floats, Metric

if TYPE_CHECKING:
    import polars as pl

SUM = 1e-3  # by which the probabilities of a row may miss 1


class Target(config.Target):
    """`classes` are the values of `column`, in the order of the file's output; of two the task is binary."""

    classes: Annotated[list[str | int], Field(min_length=3, max_length=200)]

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: list[Any]) -> list[Any]:
        if len({str(each) for each in classes}) < len(classes) or len({type(each) for each in classes}) > 1:
            raise ValueError("every class once, and all of them text or all integers")
        return classes


class Baseline(Gate):
    """What a first release, without a champion, is compared with, beside the shares of the classes."""

    macro_f1: float | None = None


class Gates(limits.Gates):
    macro_f1: AtLeast
    balanced_accuracy: AtLeast
    log_loss: AtMost
    class_recall: LargeAtLeast  # of every class with so many rows
    slice_macro_f1: LargeAtLeast
    baseline: Baseline
    shift: limits.LabelShift = limits.LabelShift()


class Settings(config.Model):
    target: Target
    gates: Gates


class Behaviour(task.Task):
    metrics: ClassVar[Mapping[str, Metric]] = {
        "macro_f1": metrics.macro_f1,
        "balanced_accuracy": metrics.balanced_accuracy,
        "log_loss": metrics.log_loss_of_classes,
    }
    higher = frozenset({"macro_f1", "balanced_accuracy"})
    main, proper, scale = "macro_f1", "log_loss", "macro_f1"
    output, field = "probabilities", "probabilities"
    trivial_title = "shares of the classes"
    level_title, moved_title = "largest class", "labels that change"
    answered_title = "labelled as the largest class"
    described = "Probability of each class, one object a row in the order sent."
    model: Settings

    @property
    def names(self) -> list[str]:
        return [str(each) for each in self.model.target.classes]

    @property
    def nothing(self) -> float:
        return 1 / len(self.names)

    def column(self) -> pl.Expr:
        """The index of the class; null, which `samples` refuses, for a value that is none of them."""
        import polars as pl

        places = {each: place for place, each in enumerate(self.model.target.classes)}
        column = pl.col(self.model.target.column)
        return column.replace_strict(places, default=None, return_dtype=pl.Int64).alias("target")

    def check_target(self, kind: Any, where: str) -> None:
        import polars as pl

        text = isinstance(self.model.target.classes[0], str)
        if (kind == pl.String) != text or not (text or kind.is_integer()):
            wrong = f"{self.model.target.column!r} is {kind}; give its values in that type (text or whole numbers)"
            task.refuse_target(f"{where}.classes", wrong)

    def in_range(self, values: Floats) -> bool:
        right = values.ndim == 2 and values.shape[1] == len(self.names) and np.isfinite(values).all()
        return bool(right and values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() <= SUM)

    def bins(self, values: Floats, edges: list[float] | None) -> NDArray[np.int64]:
        label: NDArray[np.int64] = values.argmax(axis=1)
        return np.minimum(label, BINS - 1)

    def level(self, target: Floats) -> float | None:
        return metrics.rounded(_shares(target).max()) if len(target) else None

    def trivial(self, target: Floats) -> float:
        return float(-sum(share * np.log(share) for share in _shares(target) if share > 0))

    def figures(self, target: Floats, values: Floats, counts: Counts) -> dict[str, Any]:
        """Recall, precision and mean probability of each class, and the confusion matrix."""
        label, size, classes, bins = values.argmax(axis=1), len(self.names), [], []
        for place, name in enumerate(self.names):
            true, said = target == place, label == place
            shares = {"recall": true, "precision": said}
            found = {key: metrics.interval(metrics.share_of(true & said, of, counts)) for key, of in shares.items()}
            classes.append({"class": name, "rows": int(true.sum())} | found)
            score, outcome = (metrics.rounded_mean(each) for each in (values[:, place], true))
            bins.append({"bin": name, "rows": int(true.sum()), "score": score, "outcome": outcome})
        matrix = np.bincount((target.astype(np.int64) * size + label), minlength=size * size).reshape(size, size)
        charts = [
            metrics.reliability_chart(bins, "mean probability of the class", "share of the class", [0.0, 1.0]),
            metrics.chart("Confusion", "matrix", ["label", "outcome"], names=self.names, cells=matrix.tolist()),
        ]
        return {"classes": classes, "reliability": bins, "charts": charts}

    def shift(self, before: Floats, now: Floats, target: Floats, served: Mapping[str, Any]) -> tuple[Any, Floats]:
        """The level is the share of the class that the outcomes have most often."""
        old, new = before.argmax(axis=1), now.argmax(axis=1)
        largest = _shares(target).argmax()
        return old != new, np.stack([old == largest, new == largest]).astype(np.float64)

    def judge_shift(
        self, gate: limits.LabelShift, moved: float, levels: list[float], spread: float
    ) -> tuple[str, str, bool]:
        return f"at most {gate.labels:.0%} of labels change", f"{moved:.1%} of labels change", moved <= gate.labels

    def alone(self, codes: NDArray[np.int64], target: Floats, fresh: NDArray[np.int64]) -> Floats:
        places = range(len(self.names))
        return np.stack([task.of_group(codes, (target == place).astype(np.float64), fresh) for place in places], axis=1)


def _shares(target: Floats) -> Floats:
    return np.bincount(target.astype(np.int64)) / len(target)
