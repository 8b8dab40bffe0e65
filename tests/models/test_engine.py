"""One dvc.yaml for all models; what of the template its stages run, held against the imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
import yaml

from models.lib import config, engine, lock
from models.lib.split import PARTS
from repo.lib.change import GROUND, SETTINGS, TRAIN
from repo.lib.files import read_json
from tests.support import trees
from tests.support.repository import ROOT
from tests.support.specimens import MODEL

VERBS = {stage: f"models.{stage}" for stage in ("profile", "train", "export", "evaluate")}
VERBS |= {"validate": "data_schemas.validate"}
# They carry words, settings and files, and change no byte of what a stage makes of the same input.
CARRIERS = {"repo.lib.command", "repo.lib.files", "repo.lib.refusal", "models.lib.config", "models.lib.artifacts"}
CARRIERS |= {"models.lib.limits", "models.lib.settings"}
BY_NETWORK = {"models.lib.columns", "models.lib.onnx_front"}  # to export itself
# Every verb imports them with settings and tasks; these stages neither choose rows nor measure by them.
IDLE = {"train": {"models.lib.metrics"}}
IDLE["export"] = {"models.lib.split", "models.lib.metrics"}


@pytest.fixture(scope="module")
def graph() -> Iterator[grimp.ImportGraph]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield grimp.build_graph(*GROUND, cache_dir=None)


@pytest.mark.parametrize("stage", engine.SOURCES)
def test_what_a_stage_depends_on_is_what_its_verb_imports(graph: grimp.ImportGraph, stage: str) -> None:
    imported = {VERBS[stage], *graph.find_upstream_modules(VERBS[stage])} - CARRIERS
    listed = {path.removesuffix(".py").replace("/", ".") for path in engine.SOURCES[stage] if path.endswith(".py")}
    imported = {each for each in imported if not each.startswith("models.lib.frameworks.")}
    assert listed - BY_NETWORK == imported - BY_NETWORK - IDLE.get(stage, set())


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("models/lib/tasks/regression.py", []),
        ("models/lib/tasks/binary.py", ["train", "export", "evaluate"]),
        ("models/lib/frameworks/sklearn.py", []),
        ("models/lib/frameworks/torch.py", ["train", "export"]),
        ("requirements/training.txt", ["train"]),
        (f"{MODEL}/requirements.txt", ["train", "export", "evaluate"]),
    ],
)
@pytest.mark.parametrize(
    "line", ["from models.lib.frameworks.torch import A", "from models.lib.frameworks import b, torch"]
)
def test_a_stage_depends_on_its_models_own_task_base_classes_and_packages(
    path: str, stages: list[str], line: str
) -> None:
    model = config.load(MODEL.name, check_columns=False)
    trees.append(MODEL / "network.py", f"\n{line}\n")
    before = engine.hashes(model)
    trees.append(path)
    after = engine.hashes(model)
    assert [stage for stage in before if before[stage] != after[stage]] == stages


@pytest.mark.usefixtures("tree")
def test_its_stages_read_the_settings_that_a_plan_takes_for_training() -> None:
    stages = yaml.safe_load(engine.TEMPLATE.read_text())["stages"]
    read = {
        key
        for params in stages["train"]["params"]
        for file, keys in params.items()
        for key in keys
        if "model.yaml" in file or key in engine.COPIED
    }
    assert read == {key for row in SETTINGS if row.first == TRAIN for key in row.prefixes} - {"storage"}


def test_no_file_of_a_model_names_a_file_of_the_template(tree: Path) -> None:
    """So that a move in the template breaks no model and conflicts with none."""
    ours = [path.relative_to(tree).as_posix() for path in (*tree.glob("*/lib/*.py"), *tree.glob("models/*.py"))]
    assert len(ours) > 20
    for path in (MODEL / "dvc.yaml", MODEL / "dvc.lock", MODEL / "model.yaml", MODEL / "resources.yaml"):
        assert [name for name in ours if name in path.read_text()] == [], path


@pytest.mark.usefixtures("tree")
def test_dvc_reads_the_settings_that_model_yaml_has_and_no_others() -> None:
    """It fails for one that is not there, and at a date."""
    lines = engine.pipeline(config.load(MODEL.name, check_columns=False)).splitlines()
    assert [line.strip() for line in lines if "windows" in line] == [
        "- windows.train",
        "- windows.train",
        "- windows.valid",
        "- windows.train",
        "- windows.test",
    ]
    assert not [line for line in lines if line.strip() in ("- split", "- task", "- frame") or "# with" in line]
    limits = [{"first": f"2013-0{month}-01", "last": f"2013-0{month}-28"} for month in (1, 2, 3)]
    split = {"by": "time", "column": "flight_date", "unit": "day", **dict(zip(PARTS, limits, strict=True))}
    trees.configure(Path(), {"windows": None, "split": split, "task": "binary"})
    path = MODEL / "model.yaml"
    path.write_text(path.read_text().replace("'2013-01-01'", "2013-01-01"))  # a date to any parser
    model = config.load(MODEL.name)
    lines = engine.pipeline(model).splitlines()
    assert not [line for line in lines if "windows" in line]
    assert sum(line.strip() == "- split" for line in lines) == 3
    assert sum(line.strip() == "- task" for line in lines) == 2
    engine.hash_sources(model)
    assert read_json(engine.path(model), "")["split"] == split


def test_a_lock_knows_a_split_whatever_its_notation(tree: Path) -> None:
    split = {"by": "column", "column": "dest", "train": ["ORD"], "valid": ["MCO"], "test": ["ATL"]}
    trees.configure(tree, {"windows": None, "split": split})
    params = {f"{MODEL}/build/engine.json": {"split": split}}
    path = MODEL / "dvc.lock"
    locked = yaml.safe_load(path.read_text())
    locked["stages"]["train"]["params"] = params
    path.write_text(yaml.safe_dump(locked))
    changed = "train: split of models/specimen_delay/model.yaml changed"
    assert changed not in lock.faults(MODEL.name, lock.here)
    trees.configure(tree, {"split.test": ["BOS"]})
    assert changed in lock.faults(MODEL.name, lock.here)
    assert changed in lock.faults(MODEL.name, lambda name: lock.here(name)), "of any commit, too"
