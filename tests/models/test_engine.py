"""One dvc.yaml for all models; what of the template its stages run, held against the imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
import yaml

from models.lib import config, engine
from repo.lib.change import GROUND, SETTINGS, TRAIN
from tests.support import trees
from tests.support.repository import ROOT
from tests.support.specimens import MODEL

VERBS = {stage: f"models.{stage}" for stage in ("train", "export", "evaluate")}
VERBS |= {stage: f"data_schemas.{stage}" for stage in ("validate", "describe")}
# They carry words, settings and files, and change no byte of what a stage makes of the same input.
CARRIERS = {"repo.lib.command", "repo.lib.files", "repo.lib.refusal", "models.lib.config", "models.lib.artifacts"}
CARRIERS |= {"data_schemas.lib.months"}
# What a network.py imports of the template, besides the base class of its framework.
TRAINED_WITH = {"models.lib.columns"}
EXPORTED_WITH = TRAINED_WITH | {f"models.lib.{each}" for each in ("onnx_front", "onnx_order", "scikit")}


@pytest.fixture(scope="module")
def graph() -> Iterator[grimp.ImportGraph]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield grimp.build_graph(*GROUND, cache_dir=None)


@pytest.mark.parametrize("stage", engine.SOURCES)
def test_what_a_stage_depends_on_is_what_its_verb_imports(graph: grimp.ImportGraph, stage: str) -> None:
    imported = {VERBS[stage], *graph.find_upstream_modules(VERBS[stage])} - CARRIERS
    listed = {path.removesuffix(".py").replace("/", ".") for path in engine.SOURCES[stage] if path.endswith(".py")}
    assert listed - EXPORTED_WITH == imported - EXPORTED_WITH
    wanted = {"train": TRAINED_WITH, "export": EXPORTED_WITH}.get(stage, set())
    assert wanted <= listed, "what a network.py imports is listed, too"


@pytest.mark.usefixtures("tree")
def test_its_stages_read_the_settings_that_a_plan_takes_for_training() -> None:
    stages = yaml.safe_load(engine.TEMPLATE.read_text())["stages"]
    read = {
        key
        for params in stages["train"]["params"]
        for file, keys in params.items()
        if "model.yaml" in file
        for key in keys
    }
    ours = {"storage", "frame", "backend"}  # hashed with the template, for DVC misses what is absent
    assert read == {key for row in SETTINGS if row.first == TRAIN for key in row.prefixes} - ours


def test_no_file_of_a_model_names_a_file_of_the_template(tree: Path) -> None:
    """So that a move in the template breaks no model and conflicts with none."""
    ours = [path.relative_to(tree).as_posix() for path in (*tree.glob("*/lib/*.py"), *tree.glob("models/*.py"))]
    assert len(ours) > 20
    for path in (MODEL / "dvc.yaml", MODEL / "dvc.lock", MODEL / "model.yaml", MODEL / "resources.yaml"):
        assert [name for name in ours if name in path.read_text()] == [], path


@pytest.mark.usefixtures("tree")
def test_another_package_of_one_model_is_news_for_that_model_alone() -> None:
    model = config.load(MODEL.name, check_columns=False)
    before = engine.hashes(model)
    model.requirements.write_text("tiny==1\n")
    after = engine.hashes(model)
    assert [stage for stage in before if before[stage] != after[stage]] == ["train", "export", "evaluate"]
    trees.append("requirements/training.txt")
    assert engine.hashes(model)["train"] != after["train"]
    assert engine.hashes(model)["describe"] == after["describe"]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    "line", ["from models.lib.frameworks.torch import TorchModel", "from models.lib.frameworks import keras, torch"]
)
def test_another_base_class_is_news_for_those_who_inherit_it(line: str) -> None:
    model = config.load(MODEL.name, check_columns=False)
    trees.append(MODEL / "network.py", f"\n{line}\n")
    before = engine.hashes(model)
    trees.append("models/lib/frameworks/sklearn.py")
    assert engine.hashes(model) == before
    trees.append("models/lib/frameworks/torch.py")
    after = engine.hashes(model)
    assert [stage for stage in before if before[stage] != after[stage]] == ["train", "export"]
