"""Every planted fault really does it, and spares what it should, on a model of one node."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from deploy.__main__ import FAULTS
from deploy.rehearsal import faults
from repo.lib.refusal import Refusal
from serving.runtime.errors import NotFiniteError
from serving.runtime.predictor import Predictor

INPUTS = np.random.default_rng(0).normal(size=2000).astype(np.float32)
SLOW_MS = 2.0


@pytest.fixture
def healthy() -> onnx.ModelProto:
    """score = sigmoid(x)."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in ("x", "score")]
    graph = helper.make_graph([helper.make_node("Sigmoid", ["x"], ["score"])], "model", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture
def bento(tmp_path: Path, healthy: onnx.ModelProto) -> Path:
    """What of a Bento a fault needs."""
    source = tmp_path / "bento" / "src"
    source.mkdir(parents=True)
    content = healthy.SerializeToString()
    (source / "model.onnx").write_bytes(content)
    feature = {"name": "x", "type": "number", "nullable": False, "example": 0.25}
    contract = {"onnx_sha256": hashlib.sha256(content).hexdigest(), "max_rows": 5, "features": [feature]}
    (source / "contract.json").write_text(json.dumps(contract))
    return tmp_path / "bento"


def run(model: onnx.ModelProto, inputs: NDArray[np.float32]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["score"], {"x": inputs})[0]


def predictor(bento: Path) -> Predictor:
    """The service's own loading: checks the hash, the inputs, and warms up."""
    contract = json.loads((bento / "src" / "contract.json").read_text())
    return Predictor(bento / "src" / "model.onnx", contract)


def test_scores_shift_every_logit_by_the_same(healthy: onnx.ModelProto) -> None:
    shifted = run(faults.scores(healthy), INPUTS)
    np.testing.assert_allclose(np.log(shifted / (1 - shifted)), INPUTS + faults.LOGIT_SHIFT, atol=1e-4)


def test_nan_spares_most_rows_and_leaves_them_as_they_were(healthy: onnx.ModelProto) -> None:
    scores = run(faults.nan(healthy, spared=0.5), INPUTS)
    wrong = np.isnan(scores)
    assert wrong.mean() == pytest.approx(faults.NAN_SHARE, abs=0.05)
    np.testing.assert_array_equal(scores[~wrong], run(healthy, INPUTS)[~wrong])


def test_errors_fail_the_inference_of_about_one_row_in_twelve(healthy: onnx.ModelProto) -> None:
    ill, failed = faults.errors(healthy, spared=0.5), 0
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(ill.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for value in INPUTS:
        try:
            session.run(["score"], {"x": value[None]})
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
            failed += 1
    assert failed / len(INPUTS) == pytest.approx(faults.ERROR_SHARE, abs=0.03)


def test_latency_adds_about_as_much_as_asked_and_leaves_the_scores(healthy: onnx.ModelProto) -> None:
    ill = faults.latency(healthy, milliseconds=10)
    np.testing.assert_array_equal(run(ill, INPUTS), run(healthy, INPUTS))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(ill.SerializeToString(), options, providers=["CPUExecutionProvider"])
    seconds = []
    for _ in range(10):
        start = time.thread_time()  # CPU: a busy machine would add to the clock on the wall
        session.run(["score"], {"x": INPUTS[:1]})
        seconds.append(time.thread_time() - start)
    assert 0.004 < min(seconds) < 0.025  # a core that another thread shares runs at half its speed


@pytest.mark.parametrize("fault", ["errors", "nan", "scores", "latency"])
def test_a_planted_fault_loads_as_the_service_loads_it_and_shows_only_then(fault: str, bento: Path) -> None:
    ill = predictor(faults.plant(fault, bento, bento.parent / "copy", SLOW_MS))
    well = predictor(bento)
    shown = 0
    for value in INPUTS[:100].tolist():
        try:
            start = time.perf_counter()
            score = ill.scores([(value,)])
            took = 1000 * (time.perf_counter() - start)
            shown += score != well.scores([(value,)]) or took > SLOW_MS
        except (NotFiniteError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
            shown += 1
    assert shown > 2


@pytest.mark.parametrize("example", np.linspace(-3, 3, 25).tolist())
def test_the_row_that_the_server_warms_up_with_is_spared(example: float, bento: Path) -> None:
    contract = json.loads((bento / "src" / "contract.json").read_text())
    contract["features"][0]["example"] = example
    (bento / "src" / "contract.json").write_text(json.dumps(contract))
    well = predictor(bento).scores([(example,)])
    for fault in ("errors", "nan"):
        ill = predictor(faults.plant(fault, bento, bento.parent / fault, SLOW_MS))  # raises where it cannot warm up
        assert ill.scores([(example,)]) == well


def test_never_ready_cannot_be_loaded_though_its_hash_fits(bento: Path) -> None:
    ill = faults.plant("never-ready", bento, bento.parent / "copy", SLOW_MS)
    content = (ill / "src" / "model.onnx").read_bytes()
    assert json.loads((ill / "src" / "contract.json").read_text())["onnx_sha256"] == hashlib.sha256(content).hexdigest()
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf):
        predictor(ill)


@pytest.mark.parametrize("fault", FAULTS[:-1])
def test_the_candidate_itself_is_never_touched(fault: str, bento: Path) -> None:
    before = {path: path.read_bytes() for path in bento.rglob("*") if path.is_file()}
    faults.plant(fault, bento, bento.parent / "copy", SLOW_MS)
    assert {path: path.read_bytes() for path in bento.rglob("*") if path.is_file()} == before


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match=r"no contract\.json beside a model\.onnx"):
        faults.plant("errors", tmp_path / "empty", tmp_path / "copy", SLOW_MS)
