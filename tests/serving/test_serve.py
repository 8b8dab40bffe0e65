"""Serving on this machine: what it prints when it runs, when it cannot, and that nothing is left of it."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from repo.lib.files import sha256, write_json
from repo.lib.refusal import Refusal
from serving import serve
from tests.serving import bentomls, toy


@contextlib.contextmanager
def running(repository: Path) -> Iterator[tuple[subprocess.Popen[str], list[str], list[psutil.Process]]]:
    """The verb in a process, what it printed up to the last line, and the server's processes."""
    command = [sys.executable, "-m", "serving", "serve", toy.NAME, "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=repository, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(4)]
            yield process, printed, psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()


def all_gone(processes: list[psutil.Process], seconds: float = 15) -> bool:
    """Whether they end in time; one that only waits to be reaped by whoever inherited it has ended."""
    left = psutil.wait_procs(processes, timeout=seconds)[1]
    return all(process.status() == psutil.STATUS_ZOMBIE for process in left)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_serving_says_where_and_how_and_even_a_killed_verb_leaves_no_server(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its files stay: nobody is left to remove them
    with running(toy_repository) as (process, printed, server):
        assert printed[0].startswith(f"serve {toy.NAME}: version onnx-")
        assert printed[0].endswith("Ctrl-C stops it\n")
        address = printed[1].split()[-1]
        with urllib.request.urlopen(address) as page:  # noqa: S310
            assert b"swagger-ui" in page.read()
        sample = printed[3].split("--data '")[1].removesuffix("'\n").encode()
        with urllib.request.urlopen(f"{address}predict", sample) as found:  # noqa: S310
            assert len(json.load(found)["scores"]) == 1
        assert len(server) >= 2  # supervisor and worker
        process.kill()
        assert all_gone(server)


def test_ctrl_c_leaves_nothing_behind(toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bentomls.install(tmp_path, monkeypatch)
    with running(toy_repository) as (process, _, server):
        assert len(server) >= 2
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert all_gone(server, 1)
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("end", ["the supervisor is killed", "it is killed", "the block ends"])
def test_with_a_server_its_workers_end(bento: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    bentomls.install(tmp_path, monkeypatch)
    with serve.start(bento, serve.free_port(), tmp_path / "home") as server:
        server.wait_ready(60)
        left = server.processes()
        assert len(left) == 2
        if end == "the supervisor is killed":
            server._process.kill()
        elif end == "it is killed":
            server.kill()
            assert all_gone(left, 0.1)
            with pytest.raises(serve.NotReadyError, match="stopped"):
                server.wait_ready(5)
    assert all_gone(left, 1)
    assert not server.running()


@pytest.mark.slow
def test_what_bentoml_leaves_is_in_the_server_s_home(
    bento: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also below a path that is longer than a Unix socket's may be; a killed server cannot tidy up."""
    temporary = tmp_path / ("long" * 30)
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serve.start(bento, serve.free_port(), temporary / "home") as server:
        server.wait_ready(60)
        left = server.processes()
        assert len(left) >= 2
        server._process.kill()
    assert all_gone(left, 1)
    assert f"Service {toy.NAME} initialized" in server.log.read_text()
    assert list(temporary.iterdir()) == [temporary / "home"]
    assert list((temporary / "home/tmp").glob("bentoml-*"))


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_reported_and_not_waited_for(bento: Path, tmp_path: Path) -> None:
    planted = tmp_path / "bento"
    shutil.copytree(bento, planted)
    contract = planted / "src" / "contract.json"
    onnx = planted / "src" / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-100])
    write_json(contract, {**json.loads(contract.read_text()), "onnx_sha256": sha256(onnx)})
    words = r"could not load its model: onnxruntime\..*protobuf"
    with (
        pytest.raises(serve.NotReadyError, match=words),
        serve.start(planted, serve.free_port(), tmp_path / "home") as server,
    ):
        server.wait_ready(600)
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
        ([toy.NAME, "--bento", "BENTO", "--port", "70000"], "port 70000 of 127.0.0.1 cannot be used"),
        ([toy.NAME, "--bento", "BENTO", "--host", "198.51.100.1"], "^--host 198.51.100.1 cannot be listened on .*; g"),
        ([toy.NAME, "--bento", "BENTO", "--host", "localhost"], "^--host localhost cannot be listened on"),
        ([toy.NAME, "--bento", "models"], "not a built Bento; .*python -m serving build"),
        (["specimen_other", "--bento", "BENTO"], f"a Bento of {toy.NAME}, not of specimen_other"),
        (["nonsense"], "there is no model 'nonsense'"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_fix(arguments: list[str], words: str, bento: Path) -> None:
    given = [str(bento) if argument == "BENTO" else argument for argument in arguments]
    with pytest.raises(Refusal, match=words):
        serve.main(options(*given))
