"""What a candidate's scores will be, given those of a release that stands: counts of rows by both models' score bins.

A canary serves another model on purpose, so it is not held to the stable pods' scores but to this promise: their live
distribution pushed through the table (deploy/canary/judge.py). The numbers are made where the gates compare the models,
on the same rows, and travel in the passport.
"""

from pathlib import Path
from typing import Any

import numpy as np

from models.lib import champion, config, metrics, scoring
from repo.lib.refusal import Refusal

Entry = dict[str, Any]
SERVED = ("slow_ms", "latency_budget_ms")  # by which a release's own latency is measured


def every(model: config.Model, slow_ms: float) -> list[Entry]:
    """One entry for each release that stands in an environment, and one about the candidate's own version.

    {champion: its version, slow_ms and latency_budget_ms as it has them, counts: rows of the test window by [its bin]
    [the candidate's bin]}, or fault in the place of counts: why the release cannot be scored on these rows.
    """
    from data_schemas.lib import datasets
    from models.lib import passport

    rows = datasets.read(model.dataset, model.windows.test.months())
    ours = scoring.scores(scoring.session(model.onnx), rows)
    own = passport.version(passport.content(model))
    served = model.serving.model_dump(include=set(SERVED)) | {"slow_ms": slow_ms}
    # About itself: of a release of other resources alone.
    found: dict[str, Entry] = {own: {"champion": own} | served | {"counts": table(ours, ours)}}
    for release in champion.standing_anywhere(model):
        if release.version not in found:
            its = {key: release.served[key] for key in SERVED if key in release.served}
            found[release.version] = {"champion": release.version} | its | _about(model, release.onnx, rows, ours)
    return list(found.values())


def between(model: config.Model, champion_file: Path, candidate_file: Path) -> list[list[int]]:
    """The table of two files, of which the second need not be the model's own, on the model's test window."""
    from data_schemas.lib import datasets

    rows = datasets.read(model.dataset, model.windows.test.months())
    return table(*(scoring.scores(scoring.session(file), rows) for file in (champion_file, candidate_file)))


def _about(model: config.Model, onnx: str, rows: Any, ours: metrics.Floats) -> Entry:
    try:
        theirs = scoring.scores(scoring.session(champion.blob(model, onnx)[0]), rows)
        return {"counts": table(theirs, ours)}
    except Refusal as refusal:
        return {"fault": str(refusal)}


def table(champion_scores: metrics.Floats, candidate_scores: metrics.Floats) -> list[list[int]]:
    """Rows counted by [bin of the champion's score][bin of the candidate's], both in tenths as the service counts."""
    for scores in (champion_scores, candidate_scores):
        if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1:
            raise Refusal("scores outside 0 to 1 or not finite on the test window; choose another window.")
    counts = np.zeros((metrics.BINS, metrics.BINS), np.int64)
    np.add.at(counts, (metrics.score_bin(champion_scores), metrics.score_bin(candidate_scores)), 1)
    return [[int(count) for count in row] for row in counts]
