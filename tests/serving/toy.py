"""Small models of every kind of column, one of each task: graphs, a repository that holds them, and ways to ask."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.lib.tasks.task import settings
from repo.lib import command
from serving.__main__ import VERBS
from tests.support.process import Answer, signals_kept

NAME, DATASET = "specimen_toy", "specimen_toys"
MODEL, SCHEMA = Path("models", NAME), Path("data_schemas", DATASET, "schema.py")
YAML = """
description: Will this toy break?
task: {TASK}
dataset: specimen_toys
windows:
  train: {first: 2013-01, last: 2013-01}
  valid: {first: 2013-02, last: 2013-02}
  test: {first: 2013-03, last: 2013-03}
target: {TARGET}
features: [kind, code, count, size, amount, weight, free]
slices: {}
training: {}
gates: {GATES}
serving: {{THRESHOLD}max_rows: 5, max_body_bytes: 4000, latency_budget_ms: 10.0, slow_ms: 5.0}
storage: git
"""
CLASSES = ["fine", 'a "b" | <ü>', "model"]
EDGES = [-15.0, -5.0, 5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0]
TASKS = {  # task -> model, target, threshold
    "binary": (NAME, "{column: broken, above: 0}", "threshold: 0.5, "),
    "multiclass": ("specimen_fate", f"{{column: fate, classes: {json.dumps(CLASSES)}}}", ""),
    "regression": ("specimen_price", "{column: price}", ""),
}
NOTES: dict[str, dict[str, Any]] = {"binary": {}, "multiclass": {"names": CLASSES}, "regression": {"edges": EDGES}}
ROW: dict[str, Any] = {"kind": "a", "code": "ABC", "count": 3, "size": 2, "amount": 1.5, "weight": 2.5, "free": 0.1}


def constant(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


TAILS: dict[str, tuple[list[onnx.NodeProto], list[onnx.TensorProto], str, list[Any]]] = {
    # From `score` to the output of a task: nodes, constants, the output and its shape.
    "binary": ([], [], "score", ["rows"]),
    "multiclass": (
        [
            helper.make_node("Unsqueeze", ["score", "last"], ["first"]),
            helper.make_node("Sub", ["certain", "first"], ["left"]),
            helper.make_node("Mul", ["left", "parts"], ["others"]),
            helper.make_node("Concat", ["first", "others"], ["probabilities"], axis=1),
        ],
        [numpy_helper.from_array(np.array([1]), "last"), constant("certain", 1), constant("parts", [[0.75, 0.25]])],
        "probabilities",
        ["rows", 3],
    ),
    "regression": (
        [
            helper.make_node("Div", ["score", "hundredth"], ["hundreds"]),
            helper.make_node("Sub", ["hundreds", "twenty"], ["prediction"]),
        ],
        [constant("twenty", 20)],
        "prediction",
        ["rows"],
    ),
}


def graph(task: str = "binary", half: float = 0.5, noted: dict[str, Any] | None = None) -> bytes:
    """score = sigmoid(amount / 100) * half + kind + code; NaN where amount is 666, an error where count is over 99.

    Of classes it is the first one's probability, of which the others share the rest 3 to 1; a number is 100 * it - 20.
    """

    def encoder(name: str, keys: list[str], values: list[float]) -> onnx.NodeProto:
        return helper.make_node(
            "LabelEncoder",
            [name],
            [f"{name}_value"],
            domain="ai.onnx.ml",
            keys_strings=keys,
            values_floats=values,
            default_float=0.0,
        )

    nodes = [
        encoder("kind", ["a", "b", "ü"], [0.0, 0.3, 0.4]),
        encoder("code", [""], [0.05]),
        helper.make_node("IsNaN", ["amount"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "amount"], ["filled"]),
        helper.make_node("Mul", ["filled", "hundredth"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["squeezed"]),
        helper.make_node("Mul", ["squeezed", "half"], ["halved"]),
        helper.make_node("Sub", ["filled", "beast"], ["distance"]),
        helper.make_node("Div", ["zero", "distance"], ["nothing"]),
        helper.make_node("Gather", ["table", "count"], ["looked_up"]),
        helper.make_node("Sum", ["halved", "nothing", "looked_up", "kind_value", "code_value"], ["score"]),
    ]
    more, own, output, shape = TAILS[task]
    nodes += more
    kinds = {"kind": "STRING", "code": "STRING", "count": "INT64", "size": "INT64"}
    inputs = [
        helper.make_tensor_value_info(name, getattr(TensorProto, kinds.get(name, "FLOAT")), ["rows"]) for name in ROW
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    constants = [constant("zero", 0), constant("hundredth", 0.01), constant("half", half), constant("beast", 666)]
    constants += [constant("table", [0] * 100), *own]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph(nodes, "toy", inputs, outputs, constants), opset_imports=opsets)
    model.ir_version = 10
    notes = NOTES[task] if noted is None else noted
    helper.set_model_props(model, {key: json.dumps(value) for key, value in notes.items()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def make_repository(root: Path) -> None:
    for stage in ("repo", "data_schemas", "models", "serving"):
        shutil.copytree(stage, root / stage, ignore=shutil.ignore_patterns("specimen_*", "__pycache__"))
    shutil.copy("pyproject.toml", root)
    shutil.copytree("requirements", root / "requirements")
    (root / SCHEMA).parent.mkdir()
    shutil.copy(Path(__file__).with_name("toys.py"), root / SCHEMA)
    (root / SCHEMA).with_name("data.dvc").write_text("outs: [{md5: 0123.dir, size: 1, nfiles: 1}]\n")
    for word, (name, target, threshold) in TASKS.items():
        folder = root / "models" / name
        folder.mkdir()
        gates: Any = settings(word).model_fields["gates"].annotation
        wanted = [gate for gate, field in gates.model_fields.items() if field.is_required()]
        off = ", ".join(f"{gate}: {{off: a toy has no gates}}" for gate in wanted)
        text = YAML.replace("{TASK}", word).replace("{TARGET}", target).replace("{THRESHOLD}", threshold)
        (folder / "model.yaml").write_text(text.replace("{GATES}", f"{{{off}}}"))
        (folder / "model.onnx").write_bytes(graph(word))


@contextlib.contextmanager
def inside(root: Path) -> Iterator[Path]:
    """The repository as current directory, its dataset imported from there and from nowhere else."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(f"data_schemas.{DATASET}")]:
            del sys.modules[name]

    with contextlib.chdir(root), signals_kept(), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        forget()
        try:
            yield root
        finally:
            forget()


def verb(root: Path, *words: str) -> Answer:
    """As `python -m serving …` in a repository, but in this process."""
    printed, wrong = io.StringIO(), io.StringIO()
    with inside(root), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(wrong):
        code = command.run("serving", VERBS, words)
    return Answer(code, printed.getvalue(), wrong.getvalue())


async def ask(
    endpoint: Any, body: bytes, receive: Callable[[], Any] | None = None, path: str = "/predict"
) -> tuple[int, Any]:
    """Status and decoded body of one request to an endpoint in this process."""
    sent: list[Any] = []

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    method = "POST" if path == "/predict" else "GET"
    scope = {"type": "http", "path": path, "method": method, "headers": [(b"host", b"here")]}
    await endpoint(scope, receive or whole, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(content or b"null")


def answer(endpoint: Any, body: Any) -> tuple[int, Any]:
    """As `ask`, for a body of bytes or of what becomes JSON, in a loop of its own."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(ask(endpoint, content))


def rows(*changes: dict[str, Any]) -> dict[str, Any]:
    """A request: the sample row with each of the changes; None stays None."""
    return {"rows": [{**ROW, **change} for change in changes] or [ROW]}


def without(name: str) -> dict[str, Any]:
    """A request whose one row lacks a field."""
    return {"rows": [{key: value for key, value in ROW.items() if key != name}]}
