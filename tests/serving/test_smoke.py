"""The smoke test that a cluster runs from the image: it passes a healthy server, and says what a broken one answers."""

import http.server
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.runtime import smoke
from tests.serving import toy

pytestmark = pytest.mark.xdist_group("toy-server")


def run(bento: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As the image does: the file inside the Bento, in an isolated interpreter without this repository."""
    file = str(bento / "src/serving/runtime/smoke.py")
    command = [sys.executable, "-I", file, "--url", address, "--rate", "1000", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def stub(answer: Callable[[list[Any]], tuple[int, bytes]]) -> Iterator[str]:
    """A server on a free port that answers every request by `answer(rows)`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
            status, body = answer(rows)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def printed(rows: list[Any], **changes: Any) -> tuple[int, bytes]:
    healthy = {"scores": [1.0] * len(rows), "labels": [1] * len(rows), "model": toy.NAME, "version": "v"}
    return 200, json.dumps(healthy | changes).encode()


def test_every_answer_that_keeps_the_contract_passes(bento: Path) -> None:
    with stub(printed) as address:
        done = run(bento, address, "--requests", "100")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "100 requests, every answer keeps the contract\n"


def test_it_finds_the_rows_on_which_a_real_model_fails(bento: Path, server: Any) -> None:
    done = run(bento, server.address, "--requests", "200")  # the toy fails where count is over 99
    assert done.returncode == 1
    assert "500" in done.stderr


BROKEN: dict[str, tuple[Callable[[list[Any]], tuple[int, bytes]], str]] = {
    "fails": (lambda _: (500, b'{"error": "inference"}'), 'request 1: 500 {"error": "inference"}'),
    "no JSON": (lambda _: (200, b"<html>"), "no answer in JSON"),
    "beyond": (lambda rows: printed(rows, scores=[1.5] * len(rows)), "scores: a value is not in [0, 1]"),
    "labels": (lambda rows: printed(rows, labels=[0] * len(rows)), "labels: one does not follow from scores and 0.5"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_named(bento: Path, name: str) -> None:
    answer, wrong = BROKEN[name]
    with stub(answer) as address:
        done = run(bento, address, "--requests", "3")
    assert done.returncode == 1
    assert wrong in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_there_is_a_fault(bento: Path) -> None:
    with stub(printed) as address:
        pass
    assert "no answer in JSON" in run(bento, address, "--requests", "1").stderr


def test_rows_reach_every_corner_of_the_contract(contract: dict[str, Any]) -> None:
    dice = random.Random(7)  # noqa: S311
    rows = [smoke.row(contract, dice) for _ in range(3000)]
    for feature in contract["features"]:
        values = [row[feature["name"]] for row in rows]
        assert (None in values) == feature["nullable"]
        if feature["allowed"]:
            assert {value for value in values if value is not None} == set(feature["allowed"])
