"""The table of what a change needs, held against what the verbs of each stage import."""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture(scope="module")
def graph(monkeypatch_module: pytest.MonkeyPatch) -> grimp.ImportGraph:
    monkeypatch_module.syspath_prepend(ROOT)
    return grimp.build_graph(*change.GROUND, cache_dir=None)


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def read(graph: grimp.ImportGraph, stage: str) -> dict[str, Row]:
    """Path -> row, of every file of the engine that the verbs of a stage import."""
    modules = {each for verb in VERBS[stage] for each in (verb, *graph.find_upstream_modules(verb))}
    paths = [f"{name.replace('.', '/')}.py" for name in sorted(modules)]
    return {path: change._row(ENGINE, path) for path in paths if (ROOT / path).is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_of_what_a_stage_imports_runs_that_stage_again(graph: grimp.ImportGraph, stage: str) -> None:
    late = {
        path: row.first
        for path, row in read(graph, stage).items()
        if row.first not in STAGES[: STAGES.index(stage) + 1]
    }
    assert late == {}
    assert len(read(graph, stage)) > 5


@pytest.mark.parametrize("stage", ["data", "manifests"])
def test_a_change_of_what_a_check_imports_runs_that_check_again(graph: grimp.ImportGraph, stage: str) -> None:
    assert [path for path, row in read(graph, stage).items() if not getattr(row, stage)] == []
