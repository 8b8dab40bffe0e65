"""Candidate against champion on the same rows: every metric, and the main one of every slice, with paired intervals.

`python -m models gates flight_delay` writes it to build/comparison.json.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.lib import config, metrics, samples, scoring
from models.lib.tasks import task
from repo.lib.refusal import Refusal

KEYS = ("champion", "fault", "metrics", "slices", "shift")
NONE: dict[str, Any] = {key: {} if key == "metrics" else [] if key == "slices" else None for key in KEYS}  # no champion
MOST, LEAST_ROWS = 5, 200  # slices that a table of changes names, and the rows of each at least


def answers(
    model: config.Model, source: Any, rows: Any, whose: str, own_order: bool = False
) -> tuple[metrics.Floats, list[float] | None]:
    """What a file answers to raw rows, its classes in this model's order or its own, and the edges of its bins."""
    runtime, behaviour = scoring.session(source), task.of(model)
    output, names = runtime.get_outputs()[0].name, scoring.note(runtime, "names") or []
    ours = behaviour.names or []
    off = "say in model.yaml why the gates champion and shift are off"
    if output != behaviour.output or sorted(names) != sorted(ours):
        both = (output, names), (behaviour.output, ours)
        found, wanted = (f"{what} of {each}" if each else what for what, each in both)
        raise Refusal(f"{whose} answers {found}, and model.yaml wants {wanted}: they cannot be compared; {off}.")
    values = scoring.scores(runtime, rows)
    if ours and not own_order:
        values = values[:, [names.index(name) for name in ours]]
    if not behaviour.in_range(values):
        why = f"{behaviour.field} outside their range or not finite on the test rows"
        raise Refusal(f"{whose} gives {why}; choose other rows, or {off}.")
    return values, scoring.note(runtime, "edges")


def compare(model: config.Model, champion: bytes, served: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The champion's figures, and the candidate's minus them with the 95 % interval of a paired bootstrap.

    The champion reads its own inputs from the dataset, so the two may have different features. `served` is `serving` of
    its passport (default: the candidate's).
    """
    behaviour, table = task.of(model), samples.rows(model, "test")
    target = behaviour.target(table)
    counts = metrics.resamples(table.height)
    ours, _ = answers(model, model.onnx, table, str(model.onnx))
    theirs, _ = answers(model, champion, table, "the champion")

    def figures(name: str, rows: Any = slice(None)) -> dict[str, Any]:
        drawn = counts[:, rows]
        candidate, before = (behaviour.metrics[name](target[rows], values[rows], drawn) for values in (ours, theirs))
        difference = metrics.interval(candidate - before, before[0])
        return {"champion": metrics.interval(before)["value"], "difference": difference}

    return {
        "size_mb": round(len(champion) / 1e6, 4),
        "metrics": {name: figures(name) for name in behaviour.metrics},
        "slices": [
            {"column": column, "slice": name} | figures(behaviour.main, rows)
            for column, name, rows in samples.slices(model, table)
        ],
        "shift": shift(model, table, theirs, ours, served or {}),
    }


def shift(
    model: config.Model, table: Any, before: metrics.Floats, now: metrics.Floats, served: Mapping[str, Any]
) -> dict[str, Any]:
    """What callers will notice: answers that change, the level of all, rows by bin, the slices that change most."""
    behaviour = task.of(model)
    target = behaviour.target(table)
    changed, levels = behaviour.shift(before, now, target, served)
    spread = float(target.std())

    def rates(rows: Any) -> dict[str, Any]:
        moved = metrics.rounded(changed[rows].mean())
        return {"moved": moved, "levels": [metrics.rounded(level[rows].mean(), spread) for level in levels]}

    large = [each for each in samples.slices(model, table) if each[2].sum() >= LEAST_ROWS]
    listed = [rates(rows) | {"column": at, "slice": name, "rows": int(rows.sum())} for at, name, rows in large]
    edges = behaviour.edges(lambda: before)  # the same for both, or nothing could be seen
    bins = [np.bincount(behaviour.bins(values, edges), minlength=task.BINS).tolist() for values in (before, now)]
    most = sorted(listed, key=lambda each: -each["moved"])[:MOST]
    return rates(slice(None)) | {"bins": bins, "edges": edges, "slices": most}
