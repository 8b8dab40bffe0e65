"""Faults planted in a copy of the candidate's Bento: the product's own code never knows of them.

python -m deploy rehearse flight_delay --fault errors|latency|scores|crash|never-ready|nan

The model in a Bento is one ONNX file with one output, float32 [rows] or [rows, names], which `answer` of contract.json
describes; four faults are nodes added behind it, in ONNX's text form, which make `ill` of `well`, the healthy values.
"""

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
from onnx import compose, helper, parser

from repo.lib.files import write, write_json
from repo.lib.refusal import Refusal
from repo.lib.templates import template
from serving.runtime.predictor import Predictor

Answer = Mapping[str, Any]  # of contract.json
Values = NDArray[np.float32]
SLOWER = 4.0  # times slow_ms: a core that another thread shares calibrates to half of what it gives when alone
PREFIX = "fault/"  # of every name that is added
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
            "collapse": lambda: collapse(model, answer),
        }[fault]()
        content = ill.SerializeToString()
    write(file, content)
    write_json(place, contract | {"onnx_sha256": hashlib.sha256(content).hexdigest()})
    return target


def errors(model: onnx.ModelProto, answer: Answer, spared: Values) -> onnx.ModelProto:
    """Inference fails for about ERROR_SHARE of rows: an index out of range, chosen by the low digits of the value.

    A row whose healthy values are `spared`, [1] or [names], is never chosen.
    """
    return _extended(model, answer, _nodes("errors", answer, spared=spared, share=ERROR_SHARE))


def nan(model: onnx.ModelProto, answer: Answer, spared: Values) -> onnx.ModelProto:
    """The values are 0/0 for about NAN_SHARE of rows, but not where the healthy ones are `spared`."""
    return _extended(model, answer, _nodes("nan", answer, spared=spared, share=NAN_SHARE))


def scores(model: onnx.ModelProto, answer: Answer, spared: Values) -> onnx.ModelProto:
    """Other values than those that were evaluated, as the answer has them.

    Of names, the least likely one of the row with values `spared` is every row's label. A number is about a standard
    deviation lower. The logit of a probability is LOGIT_SHIFT higher: sigmoid(logit + a) = p*e^a / (1 - p + p*e^a).
    """
    raised = [RAISED if place == spared.argmin() else 0.0 for place in range(len(spared))]
    lower = 0.0 if answer["names"] else _spread(answer) / DECILES
    return _extended(
        model, answer, _nodes("scores", answer, raised=raised, lower=lower, odds=float(np.exp(LOGIT_SHIFT)))
    )


def collapse(model: onnx.ModelProto, answer: Answer) -> onnx.ModelProto:
    """The same values whatever the row: no name likelier than another, half of a probability's range, a middle edge."""
    names, edges = answer["names"], answer["edges"]
    same = 1 / len(names) if names else 0.5 if answer["maximum"] is not None else edges[len(edges) // 2]
    return _extended(model, answer, _nodes("collapse", answer, same=same))


def latency(model: onnx.ModelProto, answer: Answer, milliseconds: float) -> onnx.ModelProto:
    """Every inference takes about so much longer on this machine: a loop that computes nothing, values unchanged."""
    trial = 2_000
    graph = _graph(_nodes("latency", answer, iterations=trial))
    alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    seconds = min(_duration(alone) for _ in range(5))
    iterations = max(1, round(trial * milliseconds / 1000 / seconds))
    return _extended(model, answer, _nodes("latency", answer, iterations=iterations))


def _nodes(fault: str, answer: Answer, **values: Any) -> str:
    """By faults.onnx.jinja."""
    text = template(Path(__file__).with_name("faults.onnx.jinja"))
    return text.render(fault=fault, answer=answer, spread=_spread(answer), **values)


def _spread(answer: Answer) -> float:
    """From low values to high ones: of probabilities 1, of numbers what lies between their first and last edge."""
    return 1.0 if answer["maximum"] is not None else (answer["edges"][-1] - answer["edges"][0]) or 1.0


def _duration(model: onnx.ModelProto) -> float:
    """Seconds of this thread's CPU that one inference takes: on a busy machine the clock on the wall says more."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as the service runs it
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    row = {f"{PREFIX}well": np.zeros(1, np.float32)}
    session.run(None, row)
    start = time.thread_time()
    session.run(None, row)
    return time.thread_time() - start


def _graph(nodes: str) -> onnx.GraphProto:
    graph = parser.parse_graph(f"fault (float[rows] well) => (float[rows] ill) {{ {nodes} }}")
    return compose.add_prefix_graph(graph, PREFIX)


def _extended(model: onnx.ModelProto, answer: Answer, nodes: str) -> onnx.ModelProto:
    """A copy whose healthy output, renamed `well`, feeds the nodes that make `ill`, which has its name now."""
    output = answer["output"]
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    for node in copy.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == output:
                    names[index] = f"{PREFIX}well"
    copy.graph.node.extend([*_graph(nodes).node, helper.make_node("Identity", [f"{PREFIX}ill"], [output])])
    onnx.checker.check_model(copy, full_check=True)
    return copy
