"""Every planted fault does it, spares what it should and is seen by the judge, on a small model of each task."""

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

from deploy.__main__ import FAULTS
from deploy.canary import judge
from deploy.canary.judge import Counters
from deploy.rehearsal import faults
from deploy.rehearsal.meters import Bounds, Meter, bound, parse
from deploy.rehearsal.traffic import Arm
from repo.lib.refusal import Refusal
from serving.runtime.answer import former
from serving.runtime.errors import NotFiniteError
from serving.runtime.predictor import Predictor
from serving.runtime.telemetry import Telemetry
from tests.support.answers import EVERY

INPUTS = np.random.default_rng(0).normal(size=2000).astype(np.float32)
SLOW_MS = 2.0


# One input x to each output: sigmoid(x); the softmax of x, x / 2 and -x; and 100 + 5 * x.
NODES = {
    "scores": "score = Sigmoid(x)",
    "probabilities": """
        last = Constant<value_ints = [1]>()
        weights = Constant<value = float[1, 3] {1.0, 0.5, -1.0}>()
        column = Unsqueeze(x, last)
        logits = MatMul(column, weights)
        probabilities = Softmax<axis = 1>(logits)
    """,
    "predictions": """
        five = Constant<value_float = 5.0>()
        hundred = Constant<value_float = 100.0>()
        moved = Mul(x, five)
        prediction = Add(moved, hundred)
    """,
}


@pytest.fixture(params=EVERY)
def answer(request: pytest.FixtureRequest) -> dict[str, Any]:
    return EVERY[request.param]


@pytest.fixture
def healthy(answer: dict[str, Any]) -> onnx.ModelProto:
    shape, nodes = "rows, 3" if answer["names"] else "rows", NODES[answer["field"]]
    output = f"float[{shape}] {answer['output']}"
    return onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> model (float[rows] x) => ({output}) {{ {nodes} }}'
    )


@pytest.fixture
def spared(healthy: onnx.ModelProto) -> Any:
    """The values of the example, x = 0."""
    return np.atleast_1d(run(healthy, np.zeros(1, np.float32))[0])


@pytest.fixture
def bento(tmp_path: Path, healthy: onnx.ModelProto, answer: dict[str, Any]) -> Path:
    """What of a Bento a fault needs."""
    source = tmp_path / "bento" / "src"
    source.mkdir(parents=True)
    content = healthy.SerializeToString()
    (source / "model.onnx").write_bytes(content)
    feature = {"name": "x", "type": "number", "nullable": False, "example": 0.25}
    contract = {"onnx_sha256": hashlib.sha256(content).hexdigest(), "max_rows": 5, "features": [feature]}
    (source / "contract.json").write_text(json.dumps(contract | {"answer": answer}))
    return tmp_path / "bento"


def session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, inputs: NDArray[np.float32]) -> Any:
    return session(model).run(None, {"x": inputs})[0]


def predictor(bento: Path) -> Predictor:
    """The service's own loading: checks the hash, the inputs, and warms up."""
    contract = json.loads((bento / "src" / "contract.json").read_text())
    return Predictor(bento / "src" / "model.onnx", contract)


def test_scores_are_others_that_the_task_may_answer(
    healthy: onnx.ModelProto, answer: dict[str, Any], spared: Any
) -> None:
    well, ill = run(healthy, INPUTS), run(faults.scores(healthy, answer, spared), INPUTS)
    assert ill.shape == well.shape
    if answer["names"]:
        np.testing.assert_allclose(ill.sum(axis=1), 1, atol=1e-5)
        assert set(ill.argmax(axis=1)) == {int(spared.argmin())}
        assert len(set(well.argmax(axis=1))) > 1
    elif answer["threshold"] is None:
        np.testing.assert_allclose(well - ill, 5, rtol=0.01)  # the standard deviation of what it predicts
    else:
        np.testing.assert_allclose(np.log(ill / (1 - ill)), INPUTS + faults.LOGIT_SHIFT, atol=1e-4)


def test_nan_leaves_most_rows_as_they_were(healthy: onnx.ModelProto, answer: dict[str, Any], spared: Any) -> None:
    values = run(faults.nan(healthy, answer, spared), INPUTS).reshape(len(INPUTS), -1)
    wrong = np.isnan(values).any(axis=1)
    assert wrong.mean() == pytest.approx(faults.NAN_SHARE, abs=0.05)
    assert np.isnan(values[wrong]).all()
    np.testing.assert_array_equal(values[~wrong], run(healthy, INPUTS).reshape(len(INPUTS), -1)[~wrong])


def test_collapsed_answers_are_the_same_whatever_the_row(healthy: onnx.ModelProto, answer: dict[str, Any]) -> None:
    assert len(np.unique(run(faults.collapse(healthy, answer), INPUTS))) == 1


def test_errors_fail_about_one_row_in_twelve(healthy: onnx.ModelProto, answer: dict[str, Any], spared: Any) -> None:
    ill, failed = session(faults.errors(healthy, answer, spared)), 0
    for value in INPUTS:
        try:
            ill.run(None, {"x": value[None]})
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
            failed += 1
    assert failed / len(INPUTS) == pytest.approx(faults.ERROR_SHARE, abs=0.03)


def test_latency_adds_as_much_as_asked_and_leaves_the_values(healthy: onnx.ModelProto, answer: dict[str, Any]) -> None:
    ill = faults.latency(healthy, answer, milliseconds=10)
    np.testing.assert_array_equal(run(ill, INPUTS), run(healthy, INPUTS))
    slow, seconds = session(ill), []
    for _ in range(10):
        start = time.thread_time()  # CPU: a busy machine would add to the clock on the wall
        slow.run(None, {"x": INPUTS[:1]})
        seconds.append(time.thread_time() - start)
    assert 0.004 < min(seconds) < 0.025  # a core that another thread shares runs at half its speed


def scraped(bento: Path, rows: NDArray[np.float32]) -> Counters:
    """What the service would count of requests of one row each, read ten times, as a rehearsal reads it."""
    contract = json.loads((bento / "src" / "contract.json").read_text())
    model, form = predictor(bento), former(contract["answer"])
    telemetry = Telemetry(contract | {"model": "m", "version": "v", "latency_budget_ms": 1.0, "slow_ms": 0.5})
    meter = Meter(Arm("candidate", ""))
    meter.record(parse(telemetry.exposition().decode()), 0.0)
    bound(meter, Bounds(slow_ms=0.5, budget_ms=1.0))
    for at, part in enumerate(np.array_split(rows, 10), 1):
        for value in part.tolist():
            start = time.thread_time()
            try:
                _, counted, positives = form(model.values([(value,)]))
            except NotFiniteError:
                telemetry.failed(0.0, "not_finite")
            except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
                telemetry.failed(0.0, "inference")
            else:
                telemetry.answered(time.thread_time() - start, counted, positives)
        meter.record(parse(telemetry.exposition().decode()), float(at))
    return meter.counters()


@pytest.mark.parametrize(
    ("fault", "rows", "seen"),
    [
        (None, 2000, set()),
        ("errors", 2000, {"errors"}),
        ("nan", 2000, {"errors", "success"}),
        ("scores", 2000, {"score-shift"}),
        ("latency", 300, {"latency", "budget"}),
    ],
)
def test_the_judge_sees_each_planted_fault(fault: str | None, rows: int, seen: set[str], bento: Path) -> None:
    ill = faults.plant(fault, bento, bento.parent / "copy", slow_ms=0.5) if fault else bento
    champion, candidate = scraped(bento, INPUTS[:rows]), scraped(ill, INPUTS[::-1][:rows])
    promise = np.diag(10 * champion.bins[:, -1])
    results = judge.judge(champion, candidate, np.arange(11.0), 1.0, promise, judge.Limits(requests=200))
    aborts = {each.name for each in results if each.verdict == judge.Verdict.ABORT}
    assert seen <= aborts
    assert aborts == seen or fault in ("errors", "nan")  # after which the share of what is left may be seen as well
    assert judge.overall(results) == (judge.Verdict.ABORT if fault else judge.Verdict.HEALTHY)


@pytest.mark.parametrize("example", np.linspace(-3, 3, 9).tolist())
def test_the_row_that_the_server_warms_up_with_is_spared(example: float, bento: Path) -> None:
    contract = json.loads((bento / "src" / "contract.json").read_text())
    contract["features"][0]["example"] = example
    (bento / "src" / "contract.json").write_text(json.dumps(contract))
    well = predictor(bento).values([(example,)])
    for fault in ("errors", "nan"):
        ill = predictor(faults.plant(fault, bento, bento.parent / fault, SLOW_MS))  # raises where it cannot warm up
        assert ill.values([(example,)]) == well


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
