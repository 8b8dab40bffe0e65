"""What holds for every model: those of this repository, and the specimen. A new one is tested for free.

pytest -m every_model -k "[fraud]"
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
import yaml

from models import export, measure
from models.lib import artifacts, config, lock, scoring
from models.lib.behaviour import Asked
from models.lib.onnx_front import TENSOR
from models.lib.tasks import task
from repo.lib import command
from repo.lib.change import GROUND
from repo.lib.files import sha256
from serving.lib import derivation
from serving.runtime.predictor import Predictor
from serving.runtime.request import decoder
from tests.support import found
from tests.support.dvc import answer_here
from tests.support.process import run
from tests.support.repository import ROOT

pytestmark = pytest.mark.every_model
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


@pytest.fixture(params=found.parameters("models", "model.yaml"))
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> config.Model:
    """With its repository as current directory."""
    monkeypatch.chdir(found.root(request))
    answer_here(monkeypatch)
    stale(Path.cwd(), name := request.param)
    return config.load(name)


@cache
def stale(root: Path, name: str) -> list[str]:
    """What `run --check` finds, as it was before any test ran the pipeline; `root` is the current directory."""
    assert root == Path.cwd()
    return lock.stale(config.load(name, check_columns=False))


@cache
def build(root: Path, name: str) -> Path:
    """The build folder after the pipeline ran: seconds if nothing changed. A gate may fail; that is for a test."""
    if root != ROOT:  # the specimen's ran when it was made, and others copy it now
        return root / "models" / name / "build"
    answer = run("models", "run", name, root=root)
    assert answer.code in (0, 1), answer.out + answer.error
    assert f"run {name}: version " in answer.out, answer.out + answer.error
    return root / "models" / name / "build"


def test_the_lock_and_the_file_are_up_to_date(model: config.Model) -> None:
    """`python -m models run <model> --check`."""
    assert stale(Path.cwd(), model.name) == []


def test_its_code_imports_no_other_model_and_no_verb(model: config.Model) -> None:
    """Of the template it may use what lies in lib/; a change of anything else does not run the model again."""
    own = (f"models.{model.name}", f"data_schemas.{model.dataset}")
    allowed = tuple(f"{each}." for each in (*own, "models.lib", "data_schemas.lib", "repo.lib"))
    for path in model.folder.glob("*.py"):
        assert [name for name in imported(path) if not f"{name}.".startswith(allowed)] == [], path


def imported(path: Path) -> list[str]:
    """The modules of this repository that a file imports, whole names."""
    return [name for name in imports(path) if name.partition(".")[0] in GROUND]


def imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{each.name}" for each in node.names]
    return names


def generated(model: config.Model) -> pl.DataFrame:
    """Rows that the contract allows, both ends of its ranges, nulls and unknown names among them."""
    asked = Asked(model.name)
    rows = measure.disturbed(asked.rows(500))
    for name, column in asked.columns.items():
        for ends in (check.statistics for check in column.checks if check.name == "in_range"):
            rows[[0, 1], name] = pl.Series([ends["min_value"], ends["max_value"]], dtype=rows.schema[name])
    return rows


def test_every_row_that_the_contract_allows_is_answered(model: config.Model) -> None:
    table = generated(model)
    values = scoring.scores(scoring.session(model.onnx), table)
    assert len(values) == table.height
    assert task.of(model).in_range(values)
    assert len(np.unique(values)) > 10  # not a constant
    kinds = {name: kind for name, kind in table.schema.items() if not kind.is_integer()}
    nothing = table.head(1).with_columns(pl.lit(None, kind).alias(name) for name, kind in kinds.items())
    assert task.of(model).in_range(scoring.scores(scoring.session(model.onnx), nothing))


def test_the_service_answers_the_largest_request(model: config.Model) -> None:
    """As many rows of its own example as a request may have fit its limit of bytes, and each is scored as if alone."""
    contract = derivation.derive(model, onnx_sha256=sha256(model.onnx))
    assert [each.name for each in scoring.session(model.onnx).get_inputs()] == model.features
    example = {feature["name"]: feature["example"] for feature in contract["features"]}
    body = json.dumps({"rows": [example] * contract["max_rows"]}).encode()
    assert len(body) * 1.5 < contract["max_body_bytes"]
    rows = decoder(contract)(body)
    predictor = Predictor(model.onnx, contract)
    alone = np.array(predictor.values(rows[:1]) * contract["max_rows"])
    np.testing.assert_allclose(np.array(predictor.values(rows)), alone, rtol=1e-5, atol=1e-6)


def test_the_file_is_valid_within_its_storage_and_tells_nothing(model: config.Model) -> None:
    onnx.checker.check_model(str(model.onnx), full_check=True)
    if model.storage == "git":
        weights = sum(path.stat().st_size for path in artifacts.files(model) if path != model.onnx)
        assert max(weights, model.onnx.stat().st_size) / 1e6 <= artifacts.GIT_LIMIT_MB
    graph = onnx.load(model.onnx)
    noted = {each.key: json.loads(each.value) for each in graph.metadata_props}
    edges = model.weights / artifacts.EDGES
    of_task = task.of(model).notes(json.loads(edges.read_bytes()) if edges.is_file() else None)
    assert noted == of_task | {"bins": noted["bins"]}
    assert set(noted["bins"]) <= set(model.features)
    assert export.strip(graph, noted).SerializeToString(deterministic=True) == model.onnx.read_bytes()
    assert {each.type.tensor_type.elem_type for each in graph.graph.input} <= set(TENSOR.values())


def test_the_cluster_settings_are_there(model: config.Model) -> None:
    patch = yaml.safe_load((model.folder / "resources.yaml").read_text())
    assert [each["path"] for each in patch if each["op"] not in ("replace", "add")] == []
    assert "/spec/replicas" in [each["path"] for each in patch]


@pytest.mark.parametrize("model", found.parameters("models", "model.yaml", slow=True), indirect=True)
def test_every_gate_passes_and_behaviour_was_tested(model: config.Model) -> None:
    """But for latency: a busy machine is not the model's fault. The gates job asks the same of every change of one."""
    gates = yaml.safe_load((build(Path.cwd(), model.name) / "passport.yaml").read_text())["gates"]
    assert [gate["name"] for gate in gates] == model.gate_names
    assert [gate for gate in gates if gate["verdict"] == "fail" and gate["name"] != "latency"] == []
    assert (model.folder / "test_behaviour.py").is_file() or model.gates.behaviour.off


def test_its_behaviour_tests_by_themselves_have_the_environment_of_the_verbs(model: config.Model) -> None:
    """Else they reach for the network, and score other bits than the gate does."""
    script = (
        "import os, pytest\n"
        "class Conftests:\n"
        "    def pytest_collection(self): return True  # they are read before it; the tests need not be\n"
        f"pytest.main(['-qq', {str(model.folder)!r}], plugins=[Conftests()]); print(dict(os.environ))"
    )
    bare = {name: value for name, value in os.environ.items() if name not in command.ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True)
    assert command.ENVIRONMENT.items() <= ast.literal_eval(done.stdout.splitlines()[-1]).items()


def test_nothing_is_pickled(model: config.Model) -> None:
    sources = [*(ROOT / "models").glob("*.py"), *model.folder.glob("*.py")]
    assert [path for path in sources if {name.partition(".")[0] for name in imports(path)} & PICKLES] == []
    assert [path for path in sources if "torch.save(" in path.read_text() or "torch.load(" in path.read_text()] == []
    stored: list[Any] = [path for path in model.weights.rglob("*") if path.is_file()]
    assert stored
    for path in stored:  # a pickle begins with its protocol, torch.save's is in a zip
        assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), path
        if zipfile.is_zipfile(path):  # as skops writes it
            assert {Path(name).suffix for name in zipfile.ZipFile(path).namelist()} <= {".json", ".npy", ".npz"}, path
