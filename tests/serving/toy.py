"""Small models of every kind of column, one of each task: graphs, a repository that holds them, and ways to ask."""

import asyncio
import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

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
FINE = [place / 20 for place in range(1, 20)]
BINS = {  # all features but the one that has none and the one that is personal
    "kind": ["a", "b"],
    "code": ["ABC"],
    "count": [1.0, 3.0, 50.0],
    "amount": [-10.0, 0.0, 0.1, 10.0],
    "weight": [],
    "free": [0.0],
}
NOTES: dict[str, dict[str, Any]] = {
    "binary": {"bins": BINS, "fine": FINE},
    "multiclass": {"bins": BINS, "names": CLASSES},
    "regression": {"bins": BINS, "edges": EDGES},
}
ROW: dict[str, Any] = {"kind": "a", "code": "ABC", "count": 3, "size": 2, "amount": 1.5, "weight": 2.5, "free": 0.1}


# score = sigmoid(amount / 100) * half + kind + code; NaN where amount is 666, an error where count is over 99.
GRAPH = """
<ir_version: 10, opset_import: ["": 20, "ai.onnx.ml": 3]>
toy (string[rows] kind, string[rows] code, int64[rows] count, int64[rows] size,
     float[rows] amount, float[rows] weight, float[rows] free) => (float[{SHAPE}] {OUTPUT}) {
    zero = Constant<value_float = 0.0>()
    hundredth = Constant<value_float = 0.01>()
    half = Constant<value_float = {HALF}>()
    beast = Constant<value_float = 666.0>()
    many = Constant<value_ints = [100]>()
    table = ConstantOfShape(many)
    of_kind = ai.onnx.ml.LabelEncoder<
        keys_strings = ["a", "b", "ü"], values_floats = [0.0, 0.3, 0.4], default_float = 0.0>(kind)
    of_code = ai.onnx.ml.LabelEncoder<keys_strings = [""], values_floats = [0.05], default_float = 0.0>(code)
    missing = IsNaN(amount)
    filled = Where(missing, zero, amount)
    scaled = Mul(filled, hundredth)
    squeezed = Sigmoid(scaled)
    halved = Mul(squeezed, half)
    distance = Sub(filled, beast)
    nothing = Div(zero, distance)
    looked_up = Gather(table, count)
    score = Sum(halved, nothing, looked_up, of_kind, of_code)
    {TAIL}
}
"""
# From `score` to the output of a task, its name and shape: of classes it is the first one's probability, of which the
# others share the rest 3 to 1; a number is 100 * it - 20.
TAILS = {
    "binary": ("", "score", "rows"),
    "multiclass": (
        """
        last = Constant<value_ints = [1]>()
        certain = Constant<value_float = 1.0>()
        parts = Constant<value = float[1, 2] {0.75, 0.25}>()
        first = Unsqueeze(score, last)
        left = Sub(certain, first)
        others = Mul(left, parts)
        probabilities = Concat<axis = 1>(first, others)
        """,
        "probabilities",
        "rows, 3",
    ),
    "regression": (
        """
        hundreds = Div(score, hundredth)
        twenty = Constant<value_float = 20.0>()
        prediction = Sub(hundreds, twenty)
        """,
        "prediction",
        "rows",
    ),
}


def graph(task: str = "binary", half: float = 0.5, noted: dict[str, Any] | None = None) -> bytes:
    """The file of a task, with its notes or those that are given."""
    tail, output, shape = TAILS[task]
    text = GRAPH.replace("{TAIL}", tail).replace("{OUTPUT}", output).replace("{SHAPE}", shape)
    model = onnx.parser.parse_model(text.replace("{HALF}", str(half)))
    notes = NOTES[task] if noted is None else noted
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in notes.items()})
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
