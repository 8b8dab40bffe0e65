"""Serve a model's Bento on this machine, as production would: BentoML's own server in a process of its own."""

import argparse
import contextlib
import ctypes
import errno
import http.client
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil  # type: ignore[import-untyped]

from repo.lib.command import ENVIRONMENT
from repo.lib.files import read_json
from repo.lib.refusal import Refusal
from serving import build

READY_SECONDS = 60.0
STOP_SECONDS = 5.0  # for a server to stop by itself; it takes one
LOADING_FAILED = "Initializing service error"  # BentoML's words; it would try the same file again for ever


class NotReadyError(Refusal):
    """A server that will not, or did not in time, answer that it is ready."""


class Server:
    """A running BentoML server: a supervisor and its workers, all with this server's home in their environment."""

    def __init__(self, process: subprocess.Popen[bytes], host: str, port: int, home: Path) -> None:
        self.host, self.port, self.home = host, port, home
        self.log = home / "server.log"
        self._process = process  # the supervisor

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def running(self) -> bool:
        return self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Supervisor and workers, found by their private home: workers have sessions of their own."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("BENTOML_HOME") == str(self.home):
                    found.append(process)
        return found

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return once /readyz answers 200; NotReadyError after `seconds`, or as soon as the server cannot come up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running():
                raise NotReadyError(f"the server on port {self.port} stopped: {self.last_line()}")
            if LOADING_FAILED in self.log.read_text(errors="replace"):
                raise NotReadyError(f"the service could not load its model: {self.last_line()}")
            if answers(self.host, self.port, "/readyz"):
                return
            time.sleep(0.05)
        raise NotReadyError(f"the server on port {self.port} was not ready in {seconds:g} s: {self.last_line()}")

    def last_line(self) -> str:
        """What the log says last, or the last error that it names."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if re.match(r"[A-Za-z_][\w.]*: ", line)]  # the end of a traceback
        return (errors or lines or ["its log is empty"])[-1].strip()[:300]

    def wait(self) -> int:
        """Block until the supervisor ends; its exit code."""
        while True:
            # In steps: polars replaces the handler of Ctrl-C by one that does not interrupt an endless wait.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(1)

    def stop(self) -> None:
        """Let it finish what it answers, then make sure that nothing of it is left."""
        if self.running():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all of it, supervisor first, so that it starts no new worker."""
        if self.running():
            self._process.kill()
            self._process.wait()
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)


def answers(host: str, port: int, path: str) -> bool:
    """Whether a GET of that path gives 200 within a second."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def start(bento: Path, port: int, home: Path, host: str = "127.0.0.1") -> Iterator[Server]:
    """Start a server of a built Bento; nothing of it is left after the block, however the block ends.

    `home` must be this server's alone: servers that share a BENTOML_HOME erase each other's metrics. Its log is in
    home/server.log and its temporary files are in home/tmp, which BentoML does not always remove. Refusal if `bento` is
    none, or the port is taken.
    """
    _check_built(bento)
    _listen(host, port).close()
    home = home.resolve()
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bentoml", "serve", str(bento.resolve()), "--host", host, "--port", str(port)]
    command += ["--timeout-keep-alive", "3700"]  # as in the image
    with (home / "server.log").open("wb") as log:
        environment = {**ENVIRONMENT, **os.environ, "BENTOML_HOME": str(home), "TMPDIR": str(temporary)}
        process = background(command, home, log, environment)  # not the repository, whose serving/ is not the Bento's
    server = Server(process, host, port, home)
    try:
        yield server
    finally:
        server.stop()


def _check_built(bento: Path) -> None:
    if not (bento / "bento.yaml").is_file():
        raise Refusal(f"{bento} is not a built Bento; build one with `python -m serving build <model>`.")


def background(
    command: Sequence[str], at: Path, log: IO[bytes], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that prints to `log` and ends with this one, which a terminal's Ctrl-C reaches alone."""
    return subprocess.Popen(
        command,
        cwd=at,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_end_with_parent(),
    )


def _end_with_parent() -> Callable[[], None] | None:
    """For the child to run before it becomes the server: end in order when this process is gone, even by SIGKILL."""
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None  # Linux ends the child with the *thread* that started it
    prctl, set_parent_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_parent_death_signal, signal.SIGTERM)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on now."""
    with _listen(host, 0) as listener:
        port: int = listener.getsockname()[1]
        return port


def _listen(host: str, port: int) -> socket.socket:
    """Listen for a moment where a server shall; BentoML takes addresses only, no names."""
    try:
        version = ipaddress.ip_address(host).version
        return socket.create_server((host, port), family=socket.AF_INET6 if version == 6 else socket.AF_INET)
    except (OSError, OverflowError, ValueError) as error:
        number = getattr(error, "errno", None)
        if number not in (errno.EADDRINUSE, errno.EACCES) and not isinstance(error, OverflowError):
            own = "give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
            raise Refusal(f"--host {host} cannot be listened on ({error}); {own}.") from None
        reason = "is in use" if number == errno.EADDRINUSE else f"cannot be used ({error})"
        raise Refusal(f"port {port} of {host} {reason}; choose another with --port (0 takes a free one).") from None


def main(options: argparse.Namespace) -> int:
    bento, name = Path(options.bento) if options.bento else build.build(options.model), options.model
    _check_built(bento)
    contract = read_json(
        bento / "src/contract.json", f"python -m serving build {name}", ("model", "version", "features")
    )
    if contract["model"] != name:
        raise Refusal(f"{bento} is a Bento of {contract['model']}, not of {name}; give --bento one of {name}.")
    port = options.port or free_port(options.host)
    with tempfile.TemporaryDirectory(prefix="serving-") as home, start(bento, port, Path(home), options.host) as server:
        started = time.perf_counter()
        server.wait_ready()
        with contextlib.suppress(KeyboardInterrupt):  # from the first line that says how to stop it
            _announce(server, contract, bento, time.perf_counter() - started)
            server.wait()
            raise Refusal(f"the server stopped by itself: {server.last_line()}")
        print(f"\nserve {name}: stopped")
    return 0


def _announce(server: Server, contract: dict[str, Any], bento: Path, seconds: float) -> None:
    row = json.dumps({"rows": [{feature["name"]: feature["example"] for feature in contract["features"]}]})
    version = f"version {contract['version']}, Bento {bento.name}"
    print(f"serve {contract['model']}: {version}, ready in {seconds:.1f} s; Ctrl-C stops it")
    print(f"  OpenAPI page  {server.address}/")
    print(f"  metrics       {server.address}/metrics")
    print(f"  predict       curl {server.address}/predict --data '{row}'", flush=True)
