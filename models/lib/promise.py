"""What a candidate will answer, given what a release that stands does: counts of rows by the bins of both.

A canary serves another model on purpose, so it is not held to the stable pods' scores but to this promise: their live
distribution pushed through the table (deploy/canary/judge.py). The numbers are made where the gates compare the models,
on the same rows, and travel in the passport.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.lib import champion, compare, config, samples
from models.lib.tasks import task
from repo.lib.refusal import Refusal

Entry = dict[str, Any]
Bins = NDArray[np.int64]
SERVED = ("slow_ms", "latency_budget_ms")  # by which a release's own latency is measured


def every(model: config.Model, slow_ms: float) -> list[Entry]:
    """One entry for each release that stands in an environment, and one about the candidate's own version.

    {champion: its version, slow_ms and latency_budget_ms as it has them, counts: rows of the test window by [its bin]
    [the candidate's bin]}, or fault in the place of counts: why the release cannot be scored on these rows.
    """
    from models.lib import passport

    rows = samples.rows(model, "test")
    ours = _bins(model, model.onnx, rows)
    own = passport.version(passport.content(model))
    served = model.serving.model_dump(include=set(SERVED)) | {"slow_ms": slow_ms}
    # About itself: of a release of other resources alone.
    found: dict[str, Entry] = {own: {"champion": own} | served | {"counts": table(ours, ours)}}
    for release in champion.standing_anywhere(model):
        if release.version not in found:
            its = {key: release.served[key] for key in SERVED if key in release.served}
            entry = found[release.version] = {"champion": release.version} | its
            try:
                entry["counts"] = table(_bins(model, champion.blob(model, release.onnx)[0], rows), ours)
            except Refusal as refusal:
                entry["fault"] = str(refusal)
    return list(found.values())


def between(model: config.Model, champion_file: Path, candidate_file: Path) -> list[list[int]]:
    """The table of two files, of which the second need not be the model's own, on the model's test window."""
    rows = samples.rows(model, "test")
    return table(*(_bins(model, file, rows) for file in (champion_file, candidate_file)))


def _bins(model: config.Model, source: Path | bytes, rows: Any) -> Bins:
    """The bin of every row, by the file's own edges and order of classes, as its service counts."""
    whose = "a release" if isinstance(source, bytes) else str(source)
    values, edges = compare.answers(model, source, rows, whose, own_order=True)
    return task.of(model).bins(values, edges)


def table(champion_bins: Bins, candidate_bins: Bins) -> list[list[int]]:
    """Rows counted by [bin of the champion's answer][bin of the candidate's]."""
    counts = np.bincount(champion_bins * task.BINS + candidate_bins, minlength=task.BINS**2)
    found: list[list[int]] = counts.reshape(task.BINS, task.BINS).tolist()
    return found
