"""Faults planted in a copy of the candidate's Bento: the product's own code never knows of them.

python -m deploy rehearse flight_delay --fault errors|latency|scores|crash|never-ready|nan

The model in a Bento is one ONNX file with one output, float32 [rows] or [rows, names], which `answer` of contract.json
describes; four faults are nodes added behind it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from repo.lib.files import write, write_json
from repo.lib.refusal import Refusal
from serving.runtime.predictor import Predictor

Answer = Mapping[str, Any]  # of contract.json
Values = NDArray[np.float32]
SLOWER = 4.0  # times slow_ms: a core that another thread shares calibrates to half of what it gives when alone
HEALTHY = "fault/healthy"  # what the healthy graph called its output
ILL = "fault/ill"  # what is called so now
ERROR_SHARE = 0.08  # of rows whose inference fails
NAN_SHARE = 0.20
LOGIT_SHIFT = 1.0  # of the example: a third of rows labelled positive becomes more than half
RAISED = 2.0  # more than any probability: the class is every row's label
DECILES = 2.56  # standard deviations from the first to the last tenth of a normal distribution


def plant(fault: str, bento: Path, target: Path, slow_ms: float) -> Path:
    """Copy a Bento to `target` with the fault in its model, and return `target`. `crash` kills the server later."""
    shutil.copytree(bento, target)
    found = list(target.rglob("contract.json"))
    if len(found) != 1 or not found[0].with_name("model.onnx").is_file():
        raise Refusal(f"{bento} holds no contract.json beside a model.onnx; build it with `python -m serving build`.")
    place, file = found[0], found[0].with_name("model.onnx")
    contract = json.loads(place.read_text())
    if fault == "never-ready":
        content = file.read_bytes()
        content = content[: len(content) // 2]
    elif fault == "crash":
        return target
    else:
        # The server warms up with the example row: it must get ready, and fail only in service.
        example = tuple(feature["example"] for feature in contract["features"])
        spared = np.atleast_1d(np.array(Predictor(file, contract).values([example])[0], np.float32))
        model, answer = onnx.load(file), contract["answer"]
        ill = {
            "errors": lambda: errors(model, answer, spared),
            "nan": lambda: nan(model, answer, spared),
            "scores": lambda: scores(model, answer, spared),
            "latency": lambda: latency(model, answer, SLOWER * slow_ms),
        }[fault]()
        content = ill.SerializeToString()
    write(file, content)
    write_json(place, contract | {"onnx_sha256": hashlib.sha256(content).hexdigest()})
    return target


def errors(model: onnx.ModelProto, answer: Answer, spared: Values) -> onnx.ModelProto:
    """Inference fails for about ERROR_SHARE of rows: an index out of range, chosen by the low digits of the value.

    A row whose healthy values are `spared`, [1] or [names], is never chosen.
    """
    nodes, constants = _selected(ERROR_SHARE, answer, spared)
    constants += [
        _constant("far", np.array(2**40, np.int64)),
        _constant("near", np.array(0, np.int64)),
        _constant("one", np.array([1.0], np.float32)),
    ]
    nodes += [
        helper.make_node("Where", ["fault/selected", "fault/far", "fault/near"], ["fault/index"]),
        helper.make_node("Gather", ["fault/one", "fault/index"], ["fault/factor"]),
        helper.make_node("Mul", [HEALTHY, "fault/factor"], [ILL]),
    ]
    return _extended(model, answer, nodes, constants)


def nan(model: onnx.ModelProto, answer: Answer, spared: Values) -> onnx.ModelProto:
    """The values are 0/0 for about NAN_SHARE of rows, but not where the healthy ones are `spared`."""
    nodes, constants = _selected(NAN_SHARE, answer, spared)
    nodes += [
        helper.make_node("Sub", [HEALTHY, HEALTHY], ["fault/zero"]),
        helper.make_node("Div", ["fault/zero", "fault/zero"], ["fault/nan"]),
        helper.make_node("Where", ["fault/selected", "fault/nan", HEALTHY], [ILL]),
    ]
    return _extended(model, answer, nodes, constants)


def scores(model: onnx.ModelProto, answer: Answer, spared: Values) -> onnx.ModelProto:
    """Other values than those that were evaluated, as the answer has them.

    Of names, the least likely one of the row with values `spared` is every row's label. A number is about a standard
    deviation lower. The logit of a probability is LOGIT_SHIFT higher: sigmoid(logit + a) = p*e^a / (1 - p + p*e^a).
    """
    if answer["names"]:
        raised = np.where(np.arange(len(spared)) == spared.argmin(), RAISED, 0).astype(np.float32)
        constants = [_constant("raised", raised), _constant("sum", np.array(1 + RAISED, np.float32))]
        nodes = [
            helper.make_node("Add", [HEALTHY, "fault/raised"], ["fault/likely"]),
            helper.make_node("Div", ["fault/likely", "fault/sum"], [ILL]),
        ]
        return _extended(model, answer, nodes, constants)
    if answer["maximum"] is None:
        constants = [_constant("lower", np.array(_spread(answer) / DECILES, np.float32))]
        return _extended(model, answer, [helper.make_node("Sub", [HEALTHY, "fault/lower"], [ILL])], constants)
    constants = [
        _constant("odds", np.array(np.exp(LOGIT_SHIFT), np.float32)),
        _constant("certain", np.array(1.0, np.float32)),
    ]
    nodes = [
        helper.make_node("Mul", [HEALTHY, "fault/odds"], ["fault/likely"]),
        helper.make_node("Sub", ["fault/certain", HEALTHY], ["fault/unlikely"]),
        helper.make_node("Add", ["fault/likely", "fault/unlikely"], ["fault/sum"]),
        helper.make_node("Div", ["fault/likely", "fault/sum"], [ILL]),
    ]
    return _extended(model, answer, nodes, constants)


def latency(model: onnx.ModelProto, answer: Answer, milliseconds: float) -> onnx.ModelProto:
    """Every inference takes about so much longer on this machine: a loop that computes nothing, values unchanged."""
    trial = 2_000
    seconds = min(_duration(_loop_alone(trial)) for _ in range(5))
    return _extended(model, answer, *_loop(max(1, round(trial * milliseconds / 1000 / seconds))))


def _spread(answer: Answer) -> float:
    """From low values to high ones: of probabilities 1, of numbers what lies between their first and last edge."""
    return 1.0 if answer["maximum"] is not None else (answer["edges"][-1] - answer["edges"][0]) or 1.0


def _selected(share: float, answer: Answer, spared: Values) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that mark about `share` of rows, `fault/selected`, by the low digits of how far they are from `spared`.

    The first value of a row decides, so what is marked is [rows] or [rows, 1].
    """
    constants = [
        _constant("spared", np.array(spared[0], np.float32)),
        # A float32 has seven digits. Of probabilities, of which many are near 0, the fifth is taken; of numbers, which
        # may be large for their spread, the third.
        _constant("digits", np.array((1e5 if answer["names"] else 1e3) / _spread(answer), np.float32)),
        _constant("half", np.array(0.5, np.float32)),
        _constant("share", np.array(share, np.float32)),
    ]
    value, nodes = HEALTHY, []
    if answer["names"]:
        value = "fault/value"
        constants.append(_constant("first", np.array([0], np.int64)))
        nodes.append(helper.make_node("Gather", [HEALTHY, "fault/first"], [value], axis=1))
    nodes += [
        helper.make_node("Sub", [value, "fault/spared"], ["fault/distance"]),
        helper.make_node("Mul", ["fault/distance", "fault/digits"], ["fault/scaled"]),
        helper.make_node("Add", ["fault/scaled", "fault/half"], ["fault/shifted"]),
        helper.make_node("Floor", ["fault/shifted"], ["fault/whole"]),
        helper.make_node("Sub", ["fault/shifted", "fault/whole"], ["fault/fraction"]),
        helper.make_node("Less", ["fault/fraction", "fault/share"], ["fault/selected"]),
    ]
    return nodes, constants


def _loop(iterations: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that take sines of sines and add their difference with themselves, zero, to the values."""
    value, boolean, number = helper.make_tensor_value_info, TensorProto.BOOL, TensorProto.FLOAT
    turns = [helper.make_node("Identity", ["fault/go"], ["fault/go_on"])]
    turns += [helper.make_node("Sin", ["fault/state"], ["fault/next"])]
    given = [value("fault/turn", TensorProto.INT64, []), value("fault/go", boolean, [])]
    given += [value("fault/state", number, [1])]
    left = [value("fault/go_on", boolean, []), value("fault/next", number, [1])]
    body = helper.make_graph(turns, "burn", given, left)
    constants = [
        _constant("turns", np.array(iterations, np.int64)),
        _constant("true", np.array(True)),
        _constant("start", np.array([1.0], np.float32)),
    ]
    nodes = [
        helper.make_node("Loop", ["fault/turns", "fault/true", "fault/start"], ["fault/end"], body=body),
        helper.make_node("Sub", ["fault/end", "fault/end"], ["fault/nothing"]),
        helper.make_node("Add", [HEALTHY, "fault/nothing"], [ILL]),
    ]
    return nodes, constants


def _loop_alone(iterations: int) -> onnx.ModelProto:
    """The loop in a model of its own, whose only input takes the healthy values' place."""
    nodes, constants = _loop(iterations)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in (HEALTHY, ILL)]
    graph = helper.make_graph(nodes, "burn", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _duration(model: onnx.ModelProto) -> float:
    """Seconds of this thread's CPU that one inference takes: on a busy machine the clock on the wall says more."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as the service runs it
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    row = {HEALTHY: np.zeros(1, np.float32)}
    session.run(None, row)
    start = time.thread_time()
    session.run(None, row)
    return time.thread_time() - start


def _constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, f"fault/{name}")


def _extended(
    model: onnx.ModelProto, answer: Answer, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    """A copy whose healthy output, renamed HEALTHY, feeds the nodes that write ILL, which has its name now."""
    output = answer["output"]
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    for node in copy.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == output:
                    names[index] = HEALTHY
    copy.graph.node.extend([*nodes, helper.make_node("Identity", [ILL], [output])])
    copy.graph.initializer.extend(constants)
    onnx.checker.check_model(copy, full_check=True)
    return copy
