"""The table of what a change needs, held against what the verbs of each stage import."""

from __future__ import annotations

import grimp
import pytest

from repo.lib import change
from repo.lib.change import ENGINE, STAGES, Row
from tests.support.repository import ROOT

VERBS = {
    "train": ("data_schemas.validate", "models.train", "models.export"),
    "gates": tuple(f"models.{verb}" for verb in ("run", "evaluate", "measure", "gates", "report")),
    "build": ("serving.contract", "serving.build", "serving.image", "serving.runtime.entry"),
    "rehearse": ("deploy.rehearse",),
    "data": ("data_schemas.ingest", "data_schemas.validate"),
    "manifests": ("deploy.verify", "deploy.diff"),
}


def late(stage: str, row: Row) -> bool:
    """Whether a change of what this row is of leaves out the stage, or the check."""
    return row.first not in STAGES[: STAGES.index(stage) + 1] if stage in STAGES else not getattr(row, stage)


def test_a_change_of_what_a_stage_or_a_check_imports_runs_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    graph = grimp.build_graph(*change.GROUND, cache_dir=None)
    for stage, verbs in VERBS.items():
        modules = {each for verb in verbs for each in (verb, *graph.find_upstream_modules(verb))}
        paths = [f"{name.replace('.', '/')}.py" for name in sorted(modules)]
        there = [path for path in paths if (ROOT / path).is_file()]
        assert len(there) > 5
        assert [path for path in there if late(stage, change._row(ENGINE, path))] == [], stage
