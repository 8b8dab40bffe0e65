"""A first model.yaml for a table: what its columns say of task, rows and features, and gates from what was measured.

Every guess carries the comment "drafted". `python -m models new fraud --dataset orders --target is_fraud` writes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from data_schemas.lib import datasets
from models.lib import config
from models.lib.tasks import task
from repo.lib.refusal import Refusal
from repo.lib.templates import template

if TYPE_CHECKING:
    import polars as pl

MOST_CLASSES = 200
ROWS = 10  # of a class, on average, below which values are no classes
CLASSES = 20  # distinct values up to which whole numbers are classes and not amounts
NAMES = 1_000  # distinct texts in a feature above which it is a name of a row, not a category
SLICED = 30  # and below which it makes slices


@dataclass(frozen=True)
class Column:
    """What a contract and its rows say of one column."""

    name: str
    values: pl.Series
    nullable: bool
    metadata: dict[str, Any]

    @property
    def text(self) -> bool:
        import polars as pl

        return bool(self.values.dtype == pl.String)


def columns(dataset: str, rows: pl.DataFrame) -> dict[str, Column]:
    found = datasets.schema(dataset).to_schema().columns
    return {name: Column(name, rows[name], each.nullable, each.metadata or {}) for name, each in found.items()}


def target(column: Column, wanted: str | None) -> tuple[str, dict[str, Any]]:
    """(task, `target:`) that the values of a column suggest, or that fit the wanted task."""
    import polars as pl

    values, named = column.values.drop_nulls(), {"column": column.name}
    counts = values.value_counts(sort=True)
    if counts.height < 2:
        raise Refusal(f"--target: {column.name!r} has one value only, so there is nothing to learn; name another.")
    listed = column.text or values.dtype.is_integer()
    fits: dict[str, dict[str, Any]] = {}
    if values.dtype == pl.Boolean:
        fits["binary"] = named
    elif listed and counts.height == 2:
        rarer = counts[column.name][1] if column.text else max(counts[column.name].to_list())
        fits["binary"] = named | {"equals": rarer}
    if listed and 2 < counts.height <= (MOST_CLASSES if wanted else min(CLASSES, len(values) // ROWS)):
        fits["multiclass"] = named | {"classes": sorted(counts[column.name].to_list())}
    if values.dtype.is_numeric() and (wanted or counts.height > 2):
        fits["regression"] = named
    if (word := wanted or next(iter(fits), "task")) in fits:
        return word, fits[word]
    what = f"{column.name!r} has {counts.height:,} different values of {values.dtype} in {len(values):,} rows"
    raise Refusal(f"--target: {what}, which fit no {word}; name another target, or the task with --task.")


def features(found: dict[str, Column], wanted: str, read: list[str]) -> tuple[list[str], dict[str, str]]:
    """Columns to learn from, and why each of the others is left out; `read` are those by which rows are divided."""
    taken, left = [], {}
    for name, column in found.items():
        unfit = config.unfit(name, column.values.dtype, column.nullable)
        if name == wanted:
            left[name] = "the target"
        elif name in read or column.metadata.get("key"):
            left[name] = "a key" if not column.values.dtype.is_temporal() else "a date, which divides the rows"
        elif column.metadata.get("personal"):
            left[name] = "personal"
        elif column.metadata.get("known") == "after":
            left[name] = "known only afterwards"
        elif unfit:
            left[name] = unfit
        elif column.values.drop_nulls().n_unique() < 2:
            left[name] = "one value only"
        elif column.text and column.values.n_unique() > min(NAMES, len(column.values) // 2):
            left[name] = "nearly every row has another text"
        else:
            taken.append(name)
    if not taken:
        raise Refusal(f"no column is left to learn from ({', '.join(f'{name}: {why}' for name, why in left.items())}).")
    return taken, left


def slices(found: dict[str, Column], names: list[str]) -> dict[str, str]:
    few = [name for name in names if found[name].text and 2 <= found[name].values.n_unique() <= SLICED]
    return dict.fromkeys(few[:2], "categories")


def text(settings: dict[str, Any], gates: str, left: dict[str, str]) -> str:
    """model.yaml as text, by draft.yaml.jinja."""
    drawn = template(Path(__file__).with_name("draft.yaml.jinja"), flow=_flow)
    return drawn.render(settings=settings, gates=gates, left=left).rstrip() + "\n"


def _flow(value: Any) -> str:
    """On one line, in quotes where YAML would read it another way."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=4096)
    return text.removesuffix("...\n").strip()


def gates_off(word: str) -> str:
    """Every gate that needs figures, while there are none."""
    kind: Any = task.settings(word).model_fields["gates"].annotation
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    return "\n".join(f'  {name}: {{off: "drafted: nothing is measured yet"}}' for name in needed)


def gates(model: config.Model, evaluation: dict[str, Any], measured: dict[str, Any], tests: int) -> str:
    """Limits just beyond what the first model reaches, with room for the interval of each figure.

    By draft_gates.yaml.jinja.
    """
    behaviour, least = task.of(model), max(30, int(evaluation["rows"]) // 50)
    main, listed = behaviour.main, evaluation.get("classes")
    large = [each for each in evaluation["slices"] if each["rows"] >= least and each[main]["value"]]
    classes = [each for each in listed or [] if each["rows"] >= least]
    drawn = template(Path(__file__).with_name("draft_gates.yaml.jinja"), up=_up, down=_down)
    return drawn.render(
        {"class": None if listed is None else min(classes, key=lambda each: each["recall"]["value"], default={})},
        task=behaviour,
        metrics=evaluation["metrics"],
        least=least,
        slice=min(large, key=lambda each: behaviour.sign(main) * each[main]["value"], default=None),
        chance=behaviour.chance(evaluation),
        unit=1.0 if behaviour.bounds[1] else evaluation["spread"],
        measured=measured,
        tests=tests,
    ).rstrip()


def _down(value: float) -> float:
    return -_up(-value)


def _up(value: float) -> float:
    """Three digits, never below."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return float(f"{math.ceil(value / step) * step:.12g}")


def threshold(values: task.Floats, share: float) -> float:
    """That labels as many rows as there are positives."""
    return min(0.99, max(0.01, float(f"{np.quantile(values, 1 - share):.2g}")))
