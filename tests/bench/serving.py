"""What serving costs: CPU a request against plain FastAPI + pydantic + onnxruntime on the same model in the same run,
and against the same service that does not count its features.

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
import shutil
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
COUNTING = 1.15  # of the CPU without counting features


def main() -> int:
    prepare_environment()
    bento = build.build(sys.argv[1] if len(sys.argv) > 1 else "flight_delay")
    contract = json.loads((bento / "src" / "contract.json").read_text())
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        port = serve.free_port()
        servers = {"plain": (stack.enter_context(plain(bento, port)), port)}
        for name in ("ours", "uncounted"):
            started = time.perf_counter()
            variant, port = _variant(bento, contract, Path(home, name), name == "ours"), serve.free_port()
            server = stack.enter_context(serve.start(variant, port, Path(home, f"{name}-home")))
            server.wait_ready()
            ready = time.perf_counter() - started
            servers[name] = max(server.processes(), key=lambda process: process.create_time()), port  # the worker
        missed = [case for case in CASES if _compare(contract, *case, servers) and case[1] == JUDGED]
    print(f"time to ready: {ready:.1f} s")
    print(f"environment of {build.LOCK}: {environment_megabytes(build.LOCK):.0f} MB installed")
    for rows, _ in missed:
        print(f"FAILED: over {LIMIT} x the CPU of plain FastAPI, or {COUNTING} x without counting, for {rows} row(s)")
    return 1 if missed else 0


def _variant(bento: Path, contract: dict[str, Any], target: Path, counted: bool) -> Path:
    """The Bento with bins of every feature, ten or a list's values, or with none."""
    features = [feature | {"bins": _bins(feature) if counted else None} for feature in contract["features"]]
    shutil.copytree(bento, target)
    (target / "src" / "contract.json").write_text(json.dumps(contract | {"features": features}))
    return target


def _bins(feature: dict[str, Any]) -> list[Any]:
    values = [_row({"features": [feature]}, number)[feature["name"]] for number in range(97)]
    if feature["type"] == "string":
        return list(dict.fromkeys(values))[:30]
    return sorted(set(values))[9::10][:9]


def _compare(contract: dict[str, Any], rows: int, callers: int, servers: dict[str, tuple[psutil.Process, int]]) -> bool:
    """Print CPU a request of each, microseconds; whether ours is over a limit."""
    body = json.dumps({"rows": [_row(contract, number) for number in range(rows)]}).encode()
    best = dict.fromkeys(servers, math.inf)
    for _ in range(ROUNDS):
        for name, (process, port) in servers.items():
            before = cpu(process)
            requests = asyncio.run(load(port, body, callers))
            best[name] = min(best[name], (cpu(process) - before) / requests * 1e6)
    ratio, counting = best["ours"] / best["plain"], best["ours"] / best["uncounted"]
    print(
        f"CPU a request, {rows:>3} row(s), {callers} caller(s): plain FastAPI {best['plain']:4.0f} us, "
        f"served {best['ours']:4.0f} us, ratio {ratio:.2f}; without counting features {best['uncounted']:4.0f} us, "
        f"ratio {counting:.2f}" + (f" (limits {LIMIT}, {COUNTING})" if callers == JUDGED else "")
    )
    return ratio > LIMIT or counting > COUNTING


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
