"""Seldon's MLServer on the very file that the service runs: the same answers, to the bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from serving.runtime import smoke
from serving.serve import free_port
from tests.serving import toy
from tests.serving.conftest import in_process
from tests.support.repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlserver")]
SERVER = ROOT / "tests/build/mlserver"
TENSORS = {"string": "BYTES", "integer": "INT64", "number": "FP32"}


@pytest.fixture(scope="module")
def folders(tasks_repository: Path) -> dict[str, Path]:
    """contract.json and model.onnx of each task."""
    found = {}
    for task, (name, *_) in toy.TASKS.items():
        (bento,) = (tasks_repository / "models" / name / "build/bento").iterdir()
        found[task] = bento / "src"
    return found


@pytest.fixture(scope="module")
def mlserver(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address; it serves the file of each task under the task's name, and that of another as `other`."""
    if not SERVER.is_dir():
        pytest.skip("optional: MLServer by `make mlserver`")
    root = tmp_path_factory.mktemp("mlserver")
    shutil.copy(Path(__file__).with_name("mlserver_runtime.py"), root)
    other = root / "other.onnx"
    other.write_bytes(toy.graph(half=0.50001))
    files = {task: folder / "model.onnx" for task, folder in folders.items()} | {"other": other}
    for name, file in files.items():
        of = {"name": name, "implementation": "mlserver_runtime.OnnxModel", "parameters": {"uri": str(file)}}
        (root / name).mkdir()
        (root / name / "model-settings.json").write_text(json.dumps(of))
    ports = {key: free_port() for key in ("http_port", "grpc_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0, "metrics_endpoint": None, **ports}
    (root / "settings.json").write_text(json.dumps(settings))
    line = [sys.executable, "-m", "mlserver.cli.main", "start", "."]
    environment = {**os.environ, "PYTHONPATH": f"{SERVER}:{root}"}
    with (
        (root / "log").open("w") as log,
        subprocess.Popen(line, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            address, deadline = f"http://127.0.0.1:{ports['http_port']}", time.monotonic() + 120
            while call(f"{address}/v2/health/ready") is None:
                assert process.poll() is None, (root / "log").read_text()
                assert time.monotonic() < deadline, (root / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def call(url: str, body: bytes | None = None) -> Any:
    """What is answered to a GET, or to a body; None by a server that does not answer yet."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    with suppress(urllib.error.URLError), urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read() or b"{}")
    return None


def tensors(contract: dict[str, Any], rows: list[dict[str, Any]], *shape: int) -> dict[str, Any]:
    """A request of these rows."""

    def tensor(feature: dict[str, Any]) -> dict[str, Any]:
        data = [row[feature["name"]] for row in rows]
        return {
            "name": feature["name"],
            "shape": [len(rows), *shape],
            "datatype": TENSORS[feature["type"]],
            "data": data,
        }

    return {"inputs": [tensor(each) for each in contract["features"]]}


def infer(address: str, name: str, request: dict[str, Any]) -> list[Any]:
    """What MLServer answers; null is "" for text, as the service has it."""
    for each in request["inputs"]:
        each["data"] = ["" if value is None and each["datatype"] == "BYTES" else value for value in each["data"]]
    (output,) = call(f"{address}/v2/models/{name}/infer", json.dumps(request).encode())["outputs"]
    return list(output["data"])


@pytest.mark.parametrize("task", toy.TASKS)
def test_the_same_file_gives_the_same_answers_and_another_does_not(
    task: str, folders: dict[str, Path], mlserver: str
) -> None:
    contract = json.loads((folders[task] / "contract.json").read_text())
    endpoint, dice = in_process(folders[task], contract), random.Random(7)  # noqa: S311
    requests = [[smoke.row(contract, dice) for _ in range(5)] for _ in range(20)]
    requests[0][0] |= {"code": None, "amount": None}
    others = []
    for rows in requests:
        for row in rows:
            row["count"] %= 100  # of more this graph makes an error
        _, served = toy.answer(endpoint, {"rows": rows})
        values = served[contract["answer"]["field"]]
        expected = [value for row in values for value in (row.values() if isinstance(row, dict) else [row])]
        _, same = toy.answer(endpoint, tensors(contract, rows, 1), path=f"/v2/models/{contract['model']}/infer")
        assert same["outputs"][0]["data"] == expected  # to the bit
        assert infer(mlserver, task, tensors(contract, rows)) == expected
        others.append(infer(mlserver, "other", tensors(contract, rows)) == expected)
    assert not all(others)  # a planted fault: the file of a hair's breadth beside it
