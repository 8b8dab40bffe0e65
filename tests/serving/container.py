"""A base that stands in for python:3.11-slim, and containers as the cluster starts them; both by podman."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving import image, serve

# Kept between runs, since it takes a minute to make. Whoever can pull python:3.11-slim may tag that one so.
STAND_IN = "localhost/python-stand-in"
HARDENED = [
    "--read-only",
    "--read-only-tmpfs=false",  # else podman makes /run and /var/tmp writable, which a cluster does not
    "--tmpfs=/tmp:size=64m",  # as the emptyDir of deploy/base/rollout.yaml
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=4096:4096",  # podman would raise both, which it may not everywhere
    "--ulimit=nproc=4096:4096",
]
INSTALL = "apt-get install podman runc mmdebstrap debian-archive-keyring"
REGISTRY = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: 127.0.0.1:{port}}}
"""


def lacking() -> str | None:
    """Why this machine cannot build and start an image, with the command that fixes it."""
    if shutil.which("podman") is None:
        return f"no podman; {INSTALL}"
    if podman("info", check=False).returncode:
        return f"podman does not work here (`podman info` says why); {INSTALL}"
    if podman("image", "exists", STAND_IN, check=False).returncode and shutil.which("mmdebstrap") is None:
        return f"no mmdebstrap to make a base image of; {INSTALL}"
    return None


def podman(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False, timeout=120)
    assert not check or done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
    return done


def base() -> str:
    """The stand-in by its digest: Debian 12 with its Python 3.11 and pip, which no registry is needed for.

    A hosted runner reaches the registry of the real one, and takes that.
    """
    if os.environ.get("GITHUB_ACTIONS") and podman("image", "exists", STAND_IN, check=False).returncode:
        podman("pull", "--quiet", f"docker.io/library/{image.pinned(None)}")
        podman("tag", f"docker.io/library/{image.pinned(None)}", STAND_IN)
    if podman("image", "exists", STAND_IN, check=False).returncode:
        words = ["--quiet", "--variant=minbase", "--include=python3,python3-pip"]
        words += [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "locale", "man")]  # as -slim does
        words += ['--customize-hook=ln -s python3 "$1/usr/bin/python"', "bookworm", "-"]
        with subprocess.Popen(["mmdebstrap", *words], stdout=subprocess.PIPE) as made:
            subprocess.run(["podman", "import", "--quiet", "-", STAND_IN], stdin=made.stdout, check=True)
        assert made.returncode == 0
    return f"{STAND_IN}@{inspect(STAND_IN)['Digest']}"


def inspect(name: str) -> dict[str, Any]:
    (found,) = json.loads(podman("image", "inspect", name).stdout)
    return dict(found)


@contextlib.contextmanager
def running(name: str, *options: str) -> Iterator[tuple[str, int]]:
    """A hardened container: its id, and the port of the service in it, which need not be ready yet."""
    started = podman("run", "--detach", *HARDENED, *options, "--publish=127.0.0.1::3000", name).stdout.strip()
    try:
        yield started, int(podman("port", started, "3000").stdout.rpartition(":")[2])
    finally:
        podman("rm", "--force", "--time=5", started)


def wait_ready(container: str, port: int, seconds: float = 30) -> None:
    """Return once /readyz answers 200. It should take 6 s; a busy machine may miss that, so only the bench says so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(port, "/readyz")[0] == 200:
                return
        time.sleep(0.05)
    raise AssertionError(podman("logs", container).stdout)


def ask(port: int, path: str, body: Any = None) -> tuple[int, str]:
    """Status and text of the service's answer; a POST if there is a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[tuple[str, Path]]:
    """A registry with its images in this folder: its address, and the settings that let builders go without TLS."""
    port = serve.free_port()
    config, settings = folder / "registry.yml", folder / "registries.conf"
    config.write_text(REGISTRY.format(folder=folder / "images", port=port))
    quiet = subprocess.DEVNULL
    settings.write_text(f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n')
    with subprocess.Popen(["docker-registry", "serve", str(config)], stdout=quiet, stderr=quiet) as running:
        try:
            while not serve.answers("127.0.0.1", port, "/v2/"):
                assert running.poll() is None, "the registry ended"
                time.sleep(0.05)
            yield f"127.0.0.1:{port}", settings
        finally:
            running.terminate()
