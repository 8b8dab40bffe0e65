"""`affected`: which models, stages and checks a change needs, in a small fork with two models and two datasets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import change, graph, stages
from tests.models import trees
from tests.models.trees import MODEL, SECOND, TRIPS

TRAIN, GATES, BUILD, REHEARSE = (change.STAGES[start:] for start in range(4))
NOTHING: list[str] = []


# path -> the stages of flight_delay and of taxi_tip, the datasets, and whether all tests and the manifests are due
CHANGES: dict[str, tuple[list[str], list[str], list[str], bool, bool]] = {
    # one model
    "models/taxi_tip/network.py": (NOTHING, TRAIN, [], False, False),
    "models/taxi_tip/dvc.lock": (NOTHING, TRAIN, [], False, True),
    "models/taxi_tip/model.onnx": (NOTHING, TRAIN, [], False, True),
    "models/taxi_tip/weights/weights.safetensors": (NOTHING, TRAIN, [], False, False),
    "models/taxi_tip/weights/model.json": (NOTHING, TRAIN, [], False, False),
    "models/taxi_tip/weights/part/7.bin": (NOTHING, TRAIN, [], False, False),
    "models/taxi_tip/words.txt": (NOTHING, TRAIN, [], False, False),  # named nowhere
    "models/taxi_tip/test_behaviour.py": (NOTHING, GATES, [], False, False),
    "models/taxi_tip/resources.yaml": (NOTHING, REHEARSE, [], False, True),
    "models/taxi_tip/README.md": (NOTHING, NOTHING, [], False, False),
    "deploy/releases/production/taxi_tip/passport.yaml": (NOTHING, GATES, [], False, True),  # its champion
    "deploy/releases/aborted.yaml": (NOTHING, NOTHING, [], False, True),
    # one dataset
    "data_schemas/trips/data.dvc": (NOTHING, TRAIN, ["trips"], False, True),
    "data_schemas/trips/schema.py": (NOTHING, TRAIN, ["trips"], False, True),
    "data_schemas/trips/source.py": (NOTHING, GATES, ["trips"], False, False),
    "data_schemas/trips/README.md": (NOTHING, NOTHING, [], False, False),
    # stages
    "data_schemas/validate.py": (TRAIN, TRAIN, ["flights", "trips"], True, False),
    "data_schemas/profile.py": (GATES, GATES, [], True, False),
    "data_schemas/markdown.py": (GATES, GATES, [], True, True),  # of all reports
    "data_schemas/files.py": (TRAIN, TRAIN, ["flights", "trips"], True, True),  # no line of dvc.yaml: imported
    "models/train.py": (TRAIN, TRAIN, [], True, False),
    "models/inputs.py": (TRAIN, TRAIN, [], True, False),
    "models/metrics.py": (GATES, GATES, [], True, False),
    "models/gates.py": (GATES, GATES, [], True, False),
    "models/report.html.jinja": (GATES, GATES, [], True, False),
    "models/new.html": (TRAIN, TRAIN, [], True, False),  # named nowhere, so all of the stage may read it
    "models/affected.py": (NOTHING, NOTHING, [], True, False),
    "serving/service.py": (BUILD, BUILD, [], True, False),  # imported by the built Bento alone
    "serving/page.html": (BUILD, BUILD, [], True, False),
    "serving/new.html": (BUILD, BUILD, [], True, False),
    "serving/contract.py": (BUILD, BUILD, [], True, False),
    "serving/changes.py": (BUILD, BUILD, [], True, False),  # of the verb contract
    "serving/Dockerfile": (BUILD, BUILD, [], True, False),
    "serving/serve.py": (REHEARSE, REHEARSE, [], True, False),
    "deploy/judge.py": (REHEARSE, REHEARSE, [], True, True),
    "deploy/base/rollout.yaml": (REHEARSE, REHEARSE, [], True, True),
    "deploy/strategies/gateway/httproute.yaml": (REHEARSE, REHEARSE, [], True, True),
    "deploy/new.txt": (REHEARSE, REHEARSE, [], True, True),
    "deploy/status.py": (NOTHING, NOTHING, [], True, True),
    "deploy/diff.py": (NOTHING, NOTHING, [], True, True),
    "deploy/argocd/fork.yaml": (REHEARSE, REHEARSE, [], True, True),
    # the frame
    "requirements/training.txt": (TRAIN, TRAIN, ["flights", "trips"], True, True),
    "requirements/serving.txt": (BUILD, BUILD, [], True, False),
    "requirements/development.txt": (NOTHING, NOTHING, [], True, False),
    "tests/models/test_train.py": (NOTHING, NOTHING, [], True, False),
    "pyproject.toml": (NOTHING, NOTHING, [], True, False),
    "Makefile": (NOTHING, NOTHING, [], True, False),
    ".github/workflows/ci.yml": (NOTHING, NOTHING, [], True, False),
    ".github/actions/setup/action.yml": (TRAIN, TRAIN, ["flights", "trips"], True, True),
    "README.md": (NOTHING, NOTHING, [], False, False),
    "LICENSE": (NOTHING, NOTHING, [], False, False),
    # nobody knows
    ".dvc/config": (TRAIN, TRAIN, ["flights", "trips"], True, True),
    "elsewhere/table.csv": (TRAIN, TRAIN, ["flights", "trips"], True, True),
}


@pytest.mark.usefixtures("branch")
@pytest.mark.parametrize("path", CHANGES)
def test_a_change_of_one_file_needs_what_reads_it(plan: Callable[..., dict[str, Any]], path: str) -> None:
    trees.append(path)
    found = plan()
    first, second, datasets, tests, manifests = CHANGES[path]
    assert (trees.stages(found), trees.stages(found, "taxi_tip")) == (first, second)
    assert (found["datasets"], bool(found["tests"]), found["manifests"]) == (datasets, tests, manifests)
    assert (found["code"], found["nothing"], found["changed"]) == (True, False, 1)
    assert found["since"] == trees.git("rev-parse", "main")


@pytest.mark.usefixtures("branch")
def test_no_change_needs_nothing(plan: Callable[..., dict[str, Any]]) -> None:
    found = plan()
    assert (found["changed"], found["models"], found["datasets"], found["nothing"]) == (0, [], [], True)
    assert (found["code"], found["tests"], found["manifests"]) == (False, [], False)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("training.hidden", 32, TRAIN),
        ("training.new", 1, TRAIN),
        ("windows.valid", {"first": "2013-07", "last": "2013-07"}, NOTHING),  # as it was
        ("windows.test.last", "2013-09", GATES),
        ("features", ["carrier"], TRAIN),
        ("dataset", "flights", TRAIN),
        ("slices", {"carrier": "categories"}, GATES),
        ("serving.threshold", 0.5, GATES),  # of the figures, too
        ("gates.size_mb.at_most", 9.0, GATES),
        ("description", "Another one", GATES),  # of the report
        ("serving.max_rows", 100, BUILD),
        ("serving.api", 2, BUILD),
        ("serving.strategy", "gateway", BUILD),
    ],
)
def test_a_setting_needs_those_who_read_it(
    branch: Path, plan: Callable[..., dict[str, Any]], setting: str, value: Any, expected: list[str]
) -> None:
    (branch / MODEL / "model.yaml").write_text((branch / SECOND / "model.yaml").read_text())  # configure writes there
    trees.configure(branch, {setting: value})
    shutil.move(branch / MODEL / "model.yaml", branch / SECOND / "model.yaml")
    trees.git("checkout", "--", str(MODEL))
    found = plan()
    assert (trees.stages(found, "taxi_tip"), trees.stages(found)) == (expected, NOTHING)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cmd: python -m models train", "cmd: python -B -m models train", TRAIN),
        ("      - models/scoring.py\n", "", GATES),
        ("  profile:\n", "  more:\n    cmd: python -m models report taxi_tip\n\n  profile:\n", TRAIN),
        ("# Run it", "# Run this", NOTHING),
        ("stages:\n", "stages: [\n", TRAIN),  # no YAML
        ("  profile:\n", "  profile:\n    foreach: [1, 2]\n", TRAIN),  # not understood here
        ("      - models/metrics.py\n", "      - models/${nowhere}.py\n", TRAIN),
    ],
)
def test_of_dvc_yaml_what_it_says_counts(
    plan: Callable[..., dict[str, Any]], branch: Path, old: str, new: str, expected: list[str]
) -> None:
    path = branch / SECOND / "dvc.yaml"
    path.write_text(path.read_text().replace(" Run it", "\n# Run it", 1))
    trees.git("commit", "--quiet", "--all", "--message", "base")
    base = trees.git("rev-parse", "HEAD")
    trees.edit(path, old, new)
    assert trees.stages(plan("--since", base), "taxi_tip") == expected


@pytest.mark.parametrize(
    "line",
    [
        "from models import report",
        "from models import (  # all of it\n    gates,\n    report,\n)",
        "from models.report import markdown",
        "from ..report import markdown",
        "def late():\n    import models.report as written",
        'name = "models.report:markdown"',
        'command = [sys.executable, "-m", "models", "report"]',
    ],
)
def test_whatever_a_network_runs_is_a_part_of_training(
    branch: Path, plan: Callable[..., dict[str, Any]], line: str
) -> None:
    trees.append(branch / SECOND / "network.py", f"\n{line}\n")
    base = trees.commit()
    trees.append("models/report.py")
    found = plan("--since", base)
    assert (trees.stages(found, "taxi_tip"), trees.stages(found)) == (TRAIN, GATES)


@pytest.mark.usefixtures("branch")
def test_a_file_that_is_imported_by_a_name_put_together_is_read() -> None:
    """data_schemas/tables.py is asked for `schema` or `source` by this word."""
    network = graph.Reach(frozenset(), frozenset(), frozenset({"models/*/network.py"}))
    assert network.reads("models/any/network.py")
    train, ingest = (graph.reach(frozenset({path})) for path in ("models/train.py", "data_schemas/ingest.py"))
    assert not train.reads("data_schemas/any/source.py")
    assert ingest.reads("data_schemas/any/source.py")


def test_what_pins_a_folder_and_what_lies_in_it_change_it() -> None:
    assert stages.touched(["a/b.dvc"]) >= {"a/b.dvc", "a/b"}
    assert stages.touched(["a/b/c"]) >= {"a/b/c", "a/b", "a"}


def test_what_a_network_imports_or_a_stage_names_counts(plan: Callable[..., dict[str, Any]], branch: Path) -> None:
    """Of another model, of a file beside it, and of a dependency that dvc.yaml names."""
    trees.append(
        branch / SECOND / "network.py", "\nfrom models.flight_delay import (\n    network,\n)\nfrom . import words\n"
    )
    trees.edit(branch / SECOND / "dvc.yaml", "      - models/train.py\n", "      - models/train.py\n      - tables\n")
    trees.commit()
    base = trees.git("rev-parse", "HEAD")
    for path, expected in {
        MODEL / "network.py": TRAIN,
        SECOND / "words.py": TRAIN,
        MODEL / "words.py": NOTHING,
    }.items():
        trees.append(path)
        assert trees.stages(plan("--since", base), "taxi_tip") == expected, path
        trees.git("reset", "--quiet", "--hard")
        trees.git("clean", "--quiet", "-fd", root=branch)


@pytest.mark.usefixtures("branch")
def test_a_rename_counts_on_both_sides(plan: Callable[..., dict[str, Any]]) -> None:
    trees.git("mv", str(SECOND), "models/third")
    found = plan()
    assert [each["name"] for each in found["models"]] == ["third"]
    assert trees.stages(found, "third") == TRAIN
    assert found["manifests"], "its release may still be there"
    trees.git("reset", "--quiet", "--hard")
    trees.git("mv", "serving/page.html", "deploy/page.md")
    assert trees.stages(plan()) == BUILD


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (SECOND, NOTHING, NOTHING),
        (SECOND / "network.py", NOTHING, TRAIN),
        (SECOND / "weights", NOTHING, TRAIN),
        (SECOND / "resources.yaml", NOTHING, REHEARSE),
        (TRIPS, NOTHING, TRAIN),
        (Path("models/metrics.py"), GATES, GATES),
        (Path("serving/page.html"), BUILD, BUILD),
        (Path("README.md"), NOTHING, NOTHING),
    ],
)
def test_a_deletion_counts(
    branch: Path, plan: Callable[..., dict[str, Any]], path: Path, first: list[str], second: list[str]
) -> None:
    trees.git("rm", "-r", "--quiet", str(path))
    found = plan()
    assert (trees.stages(found), trees.stages(found, "taxi_tip")) == (first, second)
    assert all((branch / "models" / each["name"] / "model.yaml").is_file() for each in found["models"])
    assert found["manifests"] or path != SECOND, "its release may still be there"


@pytest.mark.usefixtures("branch")
def test_of_the_tests_those_are_due_that_work_with_what_changed(plan: Callable[..., dict[str, Any]]) -> None:
    trees.append("tests/serving/test_more.py", "MORE = 'models/taxi_tip/'\n")
    trees.commit()
    trees.append("models/taxi_tip/network.py")
    assert plan("--since", "HEAD")["tests"] == ["serving"]
    trees.append("serving/serve.py")
    assert plan("--since", "HEAD")["tests"] == sorted({path.parent.name for path in Path("tests").glob("*/test_*.py")})
