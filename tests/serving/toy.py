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
from repo.lib.templates import template
from serving.__main__ import VERBS
from tests.support.process import Answer, signals_kept

NAME, DATASET = "specimen_toy", "specimen_toys"
MODEL, SCHEMA = Path("models", NAME), Path("data_schemas", DATASET, "schema.py")
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


OUTPUTS = {
    "binary": ("score", "rows"),
    "multiclass": ("probabilities", "rows, 3"),
    "regression": ("prediction", "rows"),
}


def graph(task: str = "binary", half: float = 0.5, noted: dict[str, Any] | None = None) -> bytes:
    """The file of a task, with its notes or those that are given."""
    output, shape = OUTPUTS[task]
    text = template(Path(__file__).with_name("toy.onnx.jinja"))
    model = onnx.parser.parse_model(text.render(task=task, output=output, shape=shape, half=half))
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
        written = template(Path(__file__).with_name("toy.yaml.jinja"))
        about = {"task": word, "target": target, "threshold": threshold, "gates": f"{{{off}}}"}
        (folder / "model.yaml").write_text(written.render(about))
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
    endpoint: Any, body: bytes, receive: Callable[[], Any] | None = None, path: str = "/predict", query: str = ""
) -> tuple[int, Any]:
    """Status and decoded body of one request to an endpoint in this process."""
    sent: list[Any] = []

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    method = "POST" if path.endswith(("/predict", "/feedback", "/infer")) else "GET"
    scope = {"type": "http", "path": path, "method": method, "query_string": query.encode()}
    scope["headers"] = [(b"host", b"here")]
    await endpoint(scope, receive or whole, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(content or b"null")


def answer(endpoint: Any, body: Any, query: str = "", path: str = "/predict") -> tuple[int, Any]:
    """As `ask`, for a body of bytes or of what becomes JSON, in a loop of its own."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(ask(endpoint, content, path=path, query=query))


def rows(*changes: dict[str, Any]) -> dict[str, Any]:
    """A request: the sample row with each of the changes; None stays None."""
    return {"rows": [{**ROW, **change} for change in changes] or [ROW]}


def without(name: str) -> dict[str, Any]:
    """A request whose one row lacks a field."""
    return {"rows": [{key: value for key, value in ROW.items() if key != name}]}
