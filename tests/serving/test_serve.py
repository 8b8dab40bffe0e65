"""Serving on this machine: what is said when it runs, when it cannot, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from data_schemas.command import Refusal
from data_schemas.files import sha256, write_json
from serving import serve
from tests.serving import toy


@contextlib.contextmanager
def running(repository: Path) -> Iterator[tuple[subprocess.Popen[str], list[str], list[psutil.Process]]]:
    """The verb in a process, what it said up to the last line, and the server's processes."""
    command = [sys.executable, "-m", "serving", "serve", "toy", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=repository, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(4)]
            yield process, said, psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()


def all_gone(processes: list[psutil.Process], seconds: float = 15) -> bool:
    """Whether they end in time; one that only waits to be reaped by whoever inherited it has ended."""
    left = psutil.wait_procs(processes, timeout=seconds)[1]
    return all(process.status() == psutil.STATUS_ZOMBIE for process in left)


@pytest.mark.usefixtures("bento")
def test_serving_says_where_and_how_and_ctrl_c_leaves_no_process(toy_repository: Path) -> None:
    with running(toy_repository) as (process, said, server):
        assert said[0].startswith("serve toy: version onnx-")
        assert said[0].endswith("Ctrl-C stops it\n")
        address = said[1].split()[-1]
        with urllib.request.urlopen(address) as page:  # noqa: S310
            assert b"swagger-ui" in page.read()
        sample = said[3].split("--data '")[1].removesuffix("'\n").encode()
        with urllib.request.urlopen(f"{address}predict", sample) as found:  # noqa: S310
            assert len(json.load(found)["scores"]) == 1
        assert len(server) >= 2  # supervisor and worker
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert all_gone(server, 1)
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
@pytest.mark.usefixtures("bento")
def test_even_a_killed_verb_leaves_no_server(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its files stay: nobody is left to remove them
    with running(toy_repository) as (process, _, server):
        process.kill()
        assert all_gone(server)


def test_a_server_whose_supervisor_was_killed_is_still_ended(bento: Path, tmp_path: Path) -> None:
    with serve.start(bento, serve.free_port(), tmp_path / "home") as server:
        server.wait_ready(60)
        left = server.processes()
        assert len(left) >= 2
        os.kill(server.pid, signal.SIGKILL)
    assert all_gone(left, 1)
    assert not server.running()
    assert "Service toy initialized" in server.log.read_text()


def test_killing_a_server_ends_all_of_it_at_once(bento: Path, tmp_path: Path) -> None:
    with serve.start(bento, serve.free_port(), tmp_path / "home") as server:
        server.wait_ready(60)
        left = server.processes()
        server.kill()
        assert all_gone(left, 0.1)
        with pytest.raises(serve.NotReadyError, match="stopped"):
            server.wait_ready(5)


def test_whatever_bentoml_leaves_behind_is_in_the_server_s_home(
    bento: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also below a path that is longer than a Unix socket's may be; a killed server cannot tidy up."""
    temporary = tmp_path / ("long" * 30)
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serve.start(bento, serve.free_port(), temporary / "home") as server:
        server.wait_ready(60)
        server.kill()
    assert list(temporary.iterdir()) == [temporary / "home"]
    assert list((temporary / "home/tmp").glob("bentoml-*"))


def test_a_model_that_cannot_be_loaded_is_told_at_once(bento: Path, tmp_path: Path) -> None:
    planted = tmp_path / "bento"
    shutil.copytree(bento, planted)
    contract = planted / "src" / "contract.json"
    onnx = planted / "src" / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-100])
    write_json(contract, {**json.loads(contract.read_text()), "onnx_sha256": sha256(onnx)})
    started = time.monotonic()
    words = r"could not load its model: onnxruntime\..*protobuf"
    with (
        pytest.raises(serve.NotReadyError, match=words),
        serve.start(planted, serve.free_port(), tmp_path / "home") as server,
    ):
        server.wait_ready(60)
    assert time.monotonic() - started < 40
    assert not server.processes()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use_is_refused(bento: Path, tmp_path: Path, taken: int) -> None:
    words = f"port {taken} of 127.0.0.1 is in use; choose another with --port"
    with pytest.raises(Refusal, match=words), serve.start(bento, taken, tmp_path):
        raise AssertionError("started")


def options(*arguments: str) -> Any:
    """The verb's options, as its table parses them."""
    import argparse

    from serving.__main__ import VERBS

    parser = argparse.ArgumentParser()
    for flag, settings in next(verb for verb in VERBS if verb.name == "serve").arguments:
        parser.add_argument(flag, **settings)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["toy", "--bento", "BENTO", "--port", "70000"], "port 70000 of 127.0.0.1 cannot be used"),
        (["toy", "--bento", "BENTO", "--host", "198.51.100.1"], "^--host 198.51.100.1 cannot be listened on .*; give"),
        (["toy", "--bento", "BENTO", "--host", "localhost"], "^--host localhost cannot be listened on"),
        (["toy", "--bento", "BENTO", "--host", "nowhere", "--port", "0"], "^--host nowhere cannot be listened on"),
        (["toy", "--bento", "models"], "not a built Bento; .*python -m serving build"),
        (["flight_delay", "--bento", "BENTO"], "a Bento of toy, not of flight_delay"),
        (["nonsense"], "there is no model 'nonsense'"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_mend(arguments: list[str], words: str, bento: Path) -> None:
    given = [str(bento) if argument == "BENTO" else argument for argument in arguments]
    with pytest.raises(Refusal, match=words):
        serve.main(options(*given))


def test_help_is_quick_and_names_the_verbs() -> None:
    started = time.perf_counter()
    done = toy.verb(toy.ROOT, "--help")
    assert done.returncode == 0
    assert "build" in done.stdout
    assert "serve" in done.stdout
    assert time.perf_counter() - started < 1.5  # 0.1 s on a machine with nothing else to do
