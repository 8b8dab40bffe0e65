"""Faults planted in a copy of the candidate's Bento: the product's own code never knows of them.

python -m deploy rehearse flight_delay --fault errors|latency|scores|crash|never-ready|nan

The model in a Bento is one ONNX file with one output, `score`, float32 [rows]; four faults are nodes added behind it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from repo.lib.files import write, write_json
from repo.lib.refusal import Refusal
from serving.runtime.predictor import Predictor

SLOWER = 4.0  # times slow_ms: a core that another thread shares calibrates to half of what it gives when alone
SCORE = "score"
HEALTHY = "fault/healthy"  # what the healthy graph called `score`
ERROR_SHARE = 0.08  # of rows whose inference fails
NAN_SHARE = 0.20
LOGIT_SHIFT = 1.0  # of the example: a third of rows labelled positive becomes more than half


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
        spared = Predictor(file, contract).scores([example])[0]
        model = onnx.load(file)
        ill = {
            "errors": lambda: errors(model, spared),
            "nan": lambda: nan(model, spared),
            "scores": lambda: scores(model),
            "latency": lambda: latency(model, SLOWER * slow_ms),
        }[fault]()
        content = ill.SerializeToString()
    write(file, content)
    write_json(place, contract | {"onnx_sha256": hashlib.sha256(content).hexdigest()})
    return target


def errors(model: onnx.ModelProto, spared: float) -> onnx.ModelProto:
    """Inference fails for about ERROR_SHARE of rows: an index out of range, chosen by the low digits of the score.

    A row whose healthy score is `spared` is never chosen.
    """
    nodes, constants = _selected(ERROR_SHARE, spared)
    constants += [
        _constant("far", np.array(2**40, np.int64)),
        _constant("near", np.array(0, np.int64)),
        _constant("one", np.array([1.0], np.float32)),
    ]
    nodes += [
        helper.make_node("Where", ["fault/selected", "fault/far", "fault/near"], ["fault/index"]),
        helper.make_node("Gather", ["fault/one", "fault/index"], ["fault/factor"]),
        helper.make_node("Mul", [HEALTHY, "fault/factor"], [SCORE]),
    ]
    return _extended(model, nodes, constants)


def nan(model: onnx.ModelProto, spared: float) -> onnx.ModelProto:
    """The score is 0/0 for about NAN_SHARE of rows, but not where the healthy score is `spared`."""
    nodes, constants = _selected(NAN_SHARE, spared)
    nodes += [
        helper.make_node("Sub", [HEALTHY, HEALTHY], ["fault/zero"]),
        helper.make_node("Div", ["fault/zero", "fault/zero"], ["fault/nan"]),
        helper.make_node("Where", ["fault/selected", "fault/nan", HEALTHY], [SCORE]),
    ]
    return _extended(model, nodes, constants)


def scores(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every score's logit is LOGIT_SHIFT higher: sigmoid(logit + a) = p*e^a / (1 - p + p*e^a)."""
    constants = [
        _constant("odds", np.array(np.exp(LOGIT_SHIFT), np.float32)),
        _constant("certain", np.array(1.0, np.float32)),
    ]
    nodes = [
        helper.make_node("Mul", [HEALTHY, "fault/odds"], ["fault/likely"]),
        helper.make_node("Sub", ["fault/certain", HEALTHY], ["fault/unlikely"]),
        helper.make_node("Add", ["fault/likely", "fault/unlikely"], ["fault/sum"]),
        helper.make_node("Div", ["fault/likely", "fault/sum"], [SCORE]),
    ]
    return _extended(model, nodes, constants)


def latency(model: onnx.ModelProto, milliseconds: float) -> onnx.ModelProto:
    """Every inference takes about so much longer on this machine: a loop that computes nothing, scores unchanged."""
    trial = 2_000
    seconds = min(_duration(_loop_alone(trial)) for _ in range(5))
    return _extended(model, *_loop(max(1, round(trial * milliseconds / 1000 / seconds))))


def _selected(share: float, spared: float) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that mark about `share` of rows, `fault/selected` [rows], by the fraction of a thousand times the score."""
    constants = [
        _constant("digits", np.array(1000, np.float32)),
        _constant("offset", np.array(1.5 - 1000 * spared % 1, np.float32)),  # gives `spared` the fraction 0.5
        _constant("share", np.array(share, np.float32)),
    ]
    nodes = [
        helper.make_node("Mul", [HEALTHY, "fault/digits"], ["fault/scaled"]),
        helper.make_node("Add", ["fault/scaled", "fault/offset"], ["fault/shifted"]),
        helper.make_node("Floor", ["fault/shifted"], ["fault/whole"]),
        helper.make_node("Sub", ["fault/shifted", "fault/whole"], ["fault/fraction"]),
        helper.make_node("Less", ["fault/fraction", "fault/share"], ["fault/selected"]),
    ]
    return nodes, constants


def _loop(iterations: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that take sines of sines and add their difference with themselves, zero, to the score."""
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
        helper.make_node("Add", [HEALTHY, "fault/nothing"], [SCORE]),
    ]
    return nodes, constants


def _loop_alone(iterations: int) -> onnx.ModelProto:
    """The loop in a model of its own, whose only input takes the healthy score's place."""
    nodes, constants = _loop(iterations)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in (HEALTHY, SCORE)]
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
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    """A copy whose healthy score, renamed HEALTHY, feeds the nodes that write `score` now."""
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    for node in copy.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == SCORE:
                    names[index] = HEALTHY
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(constants)
    onnx.checker.check_model(copy, full_check=True)
    return copy
