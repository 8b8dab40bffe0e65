"""What serving costs: CPU a request against plain FastAPI + pydantic + onnxruntime on the same model in the same run.

python tests/bench/serving.py [model]

CPU is the server's own (user + system), without the client's. The rounds alternate, and of each server the best counts:
the one that the rest of the machine disturbed least.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, where `serving` is this file

from repo.lib.command import ENVIRONMENT, prepare_environment  # noqa: E402
from serving import build, serve  # noqa: E402

CASES = ((1, 8), (100, 8), (1, 1), (100, 1))  # rows a request, callers at once
JUDGED = 8  # callers: a server with one is mostly idle, and waking up costs both sides the same
SECONDS = 1.0  # of load a round
ROUNDS = 5
LIMIT = 0.5  # of plain FastAPI's CPU


def main() -> int:
    prepare_environment()
    bento = build.build(sys.argv[1] if len(sys.argv) > 1 else "flight_delay")
    contract = json.loads((bento / "src" / "contract.json").read_text())
    plain_port, port = serve.free_port(), serve.free_port()
    with tempfile.TemporaryDirectory() as home, plain(bento, plain_port) as other:
        started = time.perf_counter()
        with serve.start(bento, port, Path(home)) as server:
            server.wait_ready()
            ready = time.perf_counter() - started
            ours = max(server.processes(), key=lambda process: process.create_time())  # the worker
            servers = {"plain": (other, plain_port), "ours": (ours, port)}
            ratios = {case: _compare(contract, *case, servers) for case in CASES}
    print(f"time to ready: {ready:.1f} s")
    print(f"environment of {build.LOCK}: {environment_megabytes(build.LOCK):.0f} MB installed")
    missed = [rows for (rows, callers), ratio in ratios.items() if callers == JUDGED and ratio > LIMIT]
    for rows in missed:
        print(f"FAILED: more than {LIMIT} x the CPU of plain FastAPI for {rows} row(s)")
    return 1 if missed else 0


def _compare(
    contract: dict[str, Any], rows: int, callers: int, servers: dict[str, tuple[psutil.Process, int]]
) -> float:
    """Print CPU a request of both, microseconds, and return their ratio."""
    body = json.dumps({"rows": [_row(contract, number) for number in range(rows)]}).encode()
    best = {"plain": math.inf, "ours": math.inf}
    for _ in range(ROUNDS):
        for name, (process, port) in servers.items():
            before = cpu(process)
            requests = asyncio.run(load(port, body, callers))
            best[name] = min(best[name], (cpu(process) - before) / requests * 1e6)
    ratio = best["ours"] / best["plain"]
    print(
        f"CPU a request, {rows:>3} row(s), {callers} caller(s): plain FastAPI {best['plain']:4.0f} us, "
        f"served {best['ours']:4.0f} us, ratio {ratio:.2f}" + (f" (limit {LIMIT})" if callers == JUDGED else "")
    )
    return ratio


def _row(contract: dict[str, Any], number: int) -> dict[str, Any]:
    """Rows that differ in what may differ by rule: allowed values and numbers in range."""
    row = {}
    for feature in contract["features"]:
        name, low, high = feature["name"], feature["min"], feature["max"]
        row[name] = feature["example"]
        if feature["allowed"]:
            row[name] = feature["allowed"][number % len(feature["allowed"])]
        elif low is not None and high is not None:
            value = low + (high - low) * (number % 97) / 97
            row[name] = int(value) if feature["type"] == "integer" else round(value, 2)
    return row


def cpu(process: psutil.Process) -> float:
    """Seconds that the process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def load(port: int, body: bytes, callers: int) -> int:
    """Post the body over as many connections for SECONDS; how many answers came, all of which must be 200."""
    head = f"host: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    request = f"POST /predict HTTP/1.1\r\n{head}\r\n\r\n".encode() + body
    deadline = time.perf_counter() + SECONDS

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.perf_counter() < deadline:
            writer.write(request)
            found = await reader.readuntil(b"\r\n\r\n")
            if not found.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(found.decode())
            length = re.search(rb"content-length: (\d+)", found)
            assert length is not None
            await reader.readexactly(int(length[1]))
            answered += 1
        writer.close()
        return answered

    return sum(await asyncio.gather(*(client() for _ in range(callers))))


@contextlib.contextmanager
def plain(bento: Path, port: int) -> Iterator[psutil.Process]:
    """tests/bench/plain.py on uvicorn, with its uvloop and httptools too."""
    command = [sys.executable, str(Path(__file__).with_name("plain.py")), str(bento / "src"), str(port)]
    process = subprocess.Popen(command, env={**ENVIRONMENT, **os.environ})
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                asyncio.run(asyncio.wait_for(_connect(port), 1))
                break
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


async def _connect(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def environment_megabytes(lock: Path) -> float:
    """Size of the files that the lock's distributions have installed here; compiled bytecode included."""
    size = 0
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), re.MULTILINE):
        with contextlib.suppress(metadata.PackageNotFoundError):  # a marker of another platform
            for file in metadata.files(name) or []:
                with contextlib.suppress(OSError):
                    size += Path(str(file.locate())).stat().st_size
    return size / 1e6


if __name__ == "__main__":
    sys.exit(main())
