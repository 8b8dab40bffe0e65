"""A first model.yaml for a table: what its columns say of task, rows and features, and gates from what was measured.

Every guess carries the comment "drafted". `python -m models new fraud --dataset orders --target is_fraud` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from data_schemas.lib import datasets
from models.lib import config
from models.lib.tasks import task
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import polars as pl

MOST_CLASSES = 200
ROWS = 10  # of a class, on average, below which values are no classes
CLASSES = 20  # distinct values up to which whole numbers are classes and not amounts
NAMES = 1_000  # distinct texts in a feature above which it is a name of a row, not a category
SLICED = 30  # and below which it makes slices
DRAFTED = "# drafted"


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


def text(settings: dict[str, Any], gates: list[str], left: dict[str, str]) -> str:
    """model.yaml as text."""
    lines = []
    for key, value in settings.items():
        if key == "features":
            lines += ["features:  # what is known when the model is asked", *(f"  - {_flow(name)}" for name in value)]
            lines += [f"  # without {name}: {why}" for name, why in left.items()]
        elif key == "gates":
            lines += ["gates:  # every gate is on; `off: <reason>` instead of the limits switches one off", *gates]
        elif isinstance(value, dict) and value:
            lines += [f"{key}:", *(f"  {_flow(name)}: {_flow(each)}" for name, each in value.items())]
        else:
            lines.append(f"{key}: {_flow(value)}")
            continue
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _flow(value: Any) -> str:
    """On one line, in quotes where YAML would read it another way."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=4096)
    return text.removesuffix("...\n").strip()


def gates_off(word: str) -> list[str]:
    """Every gate that needs figures, while there are none."""
    kind: Any = task.settings(word).model_fields["gates"].annotation
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    return [f'  {name}: {{off: "drafted: nothing is measured yet"}}' for name in needed]


def gates(model: config.Model, evaluation: dict[str, Any], measured: dict[str, Any], tests: int) -> Iterator[str]:
    """Limits just beyond what the first model reaches, with room for the interval of each figure."""
    behaviour, least = task.of(model), max(30, int(evaluation["rows"]) // 50)
    main = behaviour.main
    for name in behaviour.metrics:
        figure = evaluation["metrics"][name]
        room = f"{DRAFTED}: {figure['value']:.4g}, with room for its interval"
        yield f"  {name}: {{{_limit(behaviour, name, figure)}}}  {room}"
    large = [each for each in evaluation["slices"] if each["rows"] >= least and each[main]["value"]]
    if large:
        worst = min(large, key=lambda each: behaviour.sign(main) * each[main]["value"])
        limit, named = _limit(behaviour, main, worst[main]), f"{worst['column']} {worst['slice']}"
        yield f"  slice_{main}: {{{limit}, rows: {least}}}  {DRAFTED}: {named}"
    else:
        yield f'  slice_{main}: {{off: "drafted: there are no slices of a size to judge"}}'
    if classes := [each for each in evaluation.get("classes", []) if each["rows"] >= least]:
        worst = min(classes, key=lambda each: each["recall"]["value"])
        value = _down(max(0.0, 2 * worst["recall"]["low"] - worst["recall"]["value"]))
        yield f"  class_recall: {{at_least: {value}, rows: {least}}}  {DRAFTED}: {worst['class']}"
    elif "classes" in evaluation:
        yield '  class_recall: {off: "drafted: there is no class of a size to judge"}'
    figure = evaluation["metrics"][main]
    margin = _up((figure["high"] - figure["low"]) / 4)
    yield f"  champion: {{margin: {margin}}}  {DRAFTED}: of {behaviour.titles[main]}, a quarter of its interval"
    yield f"  baseline: {{{main}: {behaviour.chance(evaluation):.4g}}}  {DRAFTED}: {behaviour.trivial_title}"
    unit = 1.0 if behaviour.bounds[1] else evaluation["spread"]
    yield f"  parity: {{at_most: {_up(max(1e-5 * unit, 4 * measured['parity']['largest_difference'])):.10g}}}"
    one, many = (measured["latency"][name]["p99_ms"] for name in ("one_row", "hundred_rows"))
    yield f"  latency: {{one_row_ms: {max(2.0, _up(8 * one))}, hundred_rows_ms: {max(10.0, _up(8 * many))}}}"
    yield f"  size_mb: {{at_most: {max(10.0, _up(2 * measured['size_mb']))}}}"
    yield f"  behaviour: {{tests: {tests}}}"


def _limit(behaviour: task.Task, name: str, figure: dict[str, Any]) -> str:
    width = figure["high"] - figure["low"]
    if name in behaviour.higher:
        return f"at_least: {_down(figure['value'] - width)}"
    return f"at_most: {_up(figure['value'] + width)}"


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
