"""Which models, stages and checks a change needs in a fork with two models and two datasets. Git is asked elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repo.lib import change
from repo.lib.change import Change
from tests.support import trees
from tests.support.forks import FARES, SECOND, stages_of
from tests.support.repository import git

BOTH = ["specimen_fares", "specimen_trips"]
TRAIN, GATES, BUILD, REHEARSE = (change.STAGES[start:] for start in range(4))
NOTHING: list[str] = []


# path -> the stages of specimen_delay and specimen_tip, the datasets, and whether all tests and the manifests are due
CHANGES: dict[str, tuple[list[str], list[str], list[str], bool, bool]] = {
    # one model
    "models/specimen_tip/network.py": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/dvc.lock": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/model.onnx": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/weights/weights.safetensors": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/weights/model.json": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/weights/part/7.bin": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/words.txt": (NOTHING, TRAIN, [], False, True),
    "models/specimen_tip/test_behaviour.py": (NOTHING, GATES, [], False, True),
    "models/specimen_tip/test_network.py": (NOTHING, GATES, [], False, True),
    "models/specimen_tip/resources.yaml": (NOTHING, REHEARSE, [], False, True),
    "models/specimen_tip/README.md": (NOTHING, NOTHING, [], False, False),
    "deploy/releases/production/specimen_tip/passport.yaml": (NOTHING, GATES, [], False, True),  # its champion
    "deploy/releases/aborted.yaml": (NOTHING, NOTHING, [], False, True),
    # one dataset
    "data_schemas/specimen_fares/data.dvc": (NOTHING, TRAIN, ["specimen_fares"], False, True),
    "data_schemas/specimen_fares/schema.py": (NOTHING, TRAIN, ["specimen_fares"], False, True),
    "data_schemas/specimen_fares/source.py": (NOTHING, GATES, ["specimen_fares"], False, True),
    "data_schemas/specimen_fares/README.md": (NOTHING, NOTHING, [], False, False),
    # stages
    "data_schemas/validate.py": (TRAIN, TRAIN, BOTH, True, False),
    "data_schemas/describe.py": (GATES, GATES, [], True, False),
    "repo/lib/markdown.py": (TRAIN, TRAIN, BOTH, True, True),
    "repo/lib/files.py": (TRAIN, TRAIN, BOTH, True, True),
    "models/train.py": (TRAIN, TRAIN, [], True, False),
    "models/lib/onnx_front.py": (TRAIN, TRAIN, [], True, True),
    "models/lib/metrics.py": (TRAIN, TRAIN, [], True, True),
    "models/gates.py": (GATES, GATES, [], True, False),
    "models/lib/report/report.html.jinja": (GATES, GATES, [], True, False),
    "models/new.html": (TRAIN, TRAIN, [], True, False),
    "repo/plan.py": (NOTHING, NOTHING, [], True, False),
    "serving/runtime/service.py": (BUILD, BUILD, [], True, True),
    "serving/runtime/page.html": (BUILD, BUILD, [], True, True),
    "serving/new.html": (BUILD, BUILD, [], True, False),
    "serving/contract.py": (BUILD, BUILD, [], True, False),
    "serving/lib/compatibility.py": (BUILD, BUILD, [], True, True),
    "serving/Dockerfile": (BUILD, BUILD, [], True, False),
    "serving/serve.py": (REHEARSE, REHEARSE, [], True, False),
    "deploy/canary/judge.py": (REHEARSE, REHEARSE, [], True, True),
    "deploy/base/rollout.yaml": (REHEARSE, REHEARSE, [], True, True),
    "deploy/strategies/gateway/httproute.yaml": (REHEARSE, REHEARSE, [], True, True),
    "deploy/new.txt": (REHEARSE, REHEARSE, [], True, True),
    "deploy/status.py": (NOTHING, NOTHING, [], True, True),
    "deploy/diff.py": (NOTHING, NOTHING, [], True, True),
    "deploy/argocd/fork.yaml": (REHEARSE, REHEARSE, [], True, True),
    # the frame
    "requirements/training.txt": (TRAIN, TRAIN, BOTH, True, True),
    "requirements/serving.txt": (BUILD, BUILD, [], True, False),
    "requirements/development.txt": (NOTHING, NOTHING, [], True, False),
    "tests/models/test_train.py": (NOTHING, NOTHING, [], True, False),
    "pyproject.toml": (NOTHING, NOTHING, [], True, False),
    "Makefile": (NOTHING, NOTHING, [], True, False),
    ".github/workflows/ci.yml": (NOTHING, NOTHING, [], True, False),
    ".github/actions/setup/action.yml": (TRAIN, TRAIN, BOTH, True, True),
    "README.md": (NOTHING, NOTHING, [], False, False),
    "LICENSE": (NOTHING, NOTHING, [], False, False),
    # nobody knows
    ".dvc/config": (TRAIN, TRAIN, BOTH, True, True),
    "elsewhere/table.csv": (TRAIN, TRAIN, BOTH, True, True),
}


@pytest.fixture
def at_fork(fork: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is not asked what differs: the tests say which paths do."""
    monkeypatch.chdir(fork)


Put = Callable[[Path | str, str | None], None]


@pytest.fixture
def put(at_fork: None) -> Iterator[Put]:
    """Give a file another text, or delete it, until the test ends."""
    assert at_fork is None
    before: dict[Path, str | None] = {}

    def write(path: Path | str, text: str | None) -> None:
        path = Path(path)
        before.setdefault(path, path.read_text() if path.exists() else None)
        path.unlink() if text is None else path.write_text(text)

    yield write
    for path, text in before.items():
        path.unlink() if text is None else path.write_text(text)


@pytest.mark.usefixtures("at_fork")
@pytest.mark.parametrize("path", CHANGES)
def test_a_change_of_one_file_needs_what_reads_it(path: str) -> None:
    first, second, datasets, tests, manifests = CHANGES[path]
    found = Change("main", [path])
    assert (found.stages("specimen_delay"), found.stages("specimen_tip")) == (first, second)
    assert [name for name in found.datasets if found.tests_data(name)] == datasets
    assert (found.tests(), found.verifies()) == (["models", "serving"] if tests else [], manifests)


@pytest.mark.usefixtures("at_fork")
@pytest.mark.parametrize("folder", [SECOND, FARES])
def test_no_test_of_the_template_is_due_for_what_a_team_changes_in_its_folders(folder: Path) -> None:
    """They name none of them: what must hold for every model, its own jobs ask."""
    paths = [path.as_posix() for path in folder.rglob("*") if path.is_file()]
    assert len(paths) > 2
    assert Change("main", paths).tests() == []
    assert Change("main", [*paths, "serving/serve.py"]).tests() == ["models", "serving"]


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("training.learning_rate", 0.5, TRAIN),
        ("training.new", 1, TRAIN),
        ("windows.valid", {"first": "2013-07", "last": "2013-07"}, NOTHING),  # as it was
        ("windows.test.last", "2013-09", GATES),
        ("features", ["carrier"], TRAIN),
        ("dataset", "specimen_trips", TRAIN),
        ("slices", {"carrier": "categories"}, GATES),
        ("serving.threshold", 0.5, GATES),  # of the figures, too
        ("gates.size_mb.at_most", 9.0, GATES),
        ("description", "Another one", GATES),  # of the report
        ("serving.max_rows", 100, BUILD),
        ("serving.api", 2, BUILD),
        ("serving.strategy", "gateway", BUILD),
    ],
)
def test_a_setting_needs_those_who_read_it(put: Put, setting: str, value: Any, expected: list[str]) -> None:
    path = SECOND / "model.yaml"
    put(path, path.read_text())
    trees.configure(Path(), {setting: value}, SECOND)
    found = Change("main", [str(path)])
    assert (found.stages("specimen_tip"), found.stages("specimen_delay")) == (expected, NOTHING)


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (SECOND, NOTHING, NOTHING),
        (SECOND / "network.py", NOTHING, TRAIN),
        (SECOND / "weights", NOTHING, TRAIN),
        (SECOND / "resources.yaml", NOTHING, REHEARSE),
        (FARES, NOTHING, TRAIN),
        (Path("models/lib/metrics.py"), TRAIN, TRAIN),
        (Path("serving/runtime/page.html"), BUILD, BUILD),
        (Path("README.md"), NOTHING, NOTHING),
    ],
)
@pytest.mark.usefixtures("at_fork")
def test_a_deletion_counts(tmp_path: Path, path: Path, first: list[str], second: list[str]) -> None:
    paths = [str(each) for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]
    path.rename(tmp_path / "gone")
    try:
        found = Change("main", paths)
        there = {name: found.stages(name) for name in found.models}
    finally:
        (tmp_path / "gone").rename(path)
    assert (there["specimen_delay"], there.get("specimen_tip", [])) == (first, second)
    assert ("specimen_tip" in there) is (path != SECOND)
    assert found.verifies() or path != SECOND, "its release may still be there"


@pytest.mark.usefixtures("branch")
def test_no_change_needs_nothing(plan: Callable[..., dict[str, Any]]) -> None:
    found = plan()
    assert (found["changed"], found["models"], found["datasets"], found["nothing"]) == (0, [], [], True)
    assert (found["code"], found["tests"], found["manifests"]) == (False, [], False)


@pytest.mark.usefixtures("branch")
def test_a_change_of_a_document_needs_the_checks_alone(plan: Callable[..., dict[str, Any]]) -> None:
    trees.append("README.md")
    found = plan()
    assert found == {
        "since": git("rev-parse", "main"),
        "changed": 1,
        "datasets": [],
        "models": [],
        "code": True,
        "tests": [],
        "manifests": False,
        "nothing": False,
    }


@pytest.mark.usefixtures("branch")
def test_a_number_of_a_models_settings_needs_that_model_alone(plan: Callable[..., dict[str, Any]]) -> None:
    trees.configure(Path(), {"training.learning_rate": 0.5}, SECOND)
    found = plan()
    assert (found["models"], found["datasets"]) == ([{"name": "specimen_tip", "stages": TRAIN}], [])
    assert (found["tests"], found["manifests"], found["changed"]) == ([], True, 1)  # its address may differ


@pytest.mark.usefixtures("branch")
def test_a_rename_counts_on_both_sides(plan: Callable[..., dict[str, Any]]) -> None:
    git("mv", str(SECOND), "models/third")
    found = plan()
    assert [each["name"] for each in found["models"]] == ["third"]
    assert stages_of(found, "third") == TRAIN
    assert found["manifests"], "its release may still be there"
    git("reset", "--quiet", "--hard")
    git("mv", "serving/runtime/page.html", "deploy/page.md")
    assert stages_of(plan()) == BUILD
