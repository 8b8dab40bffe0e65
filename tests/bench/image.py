"""What the image costs: seconds to build it and until it is ready, and its size; on a base that stands in for -slim.

python tests/bench/image.py [model]
"""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, where `serving` is a file

from repo.lib.command import prepare_environment  # noqa: E402
from serving import build, image  # noqa: E402
from tests.serving import container  # noqa: E402

READY_SECONDS = 6.0
STARTS = 5
SLIM_MB = 125  # python:3.11-slim; the stand-in is larger
LIMIT_MB = 300


def main() -> int:
    prepare_environment()
    if lacking := container.lacking():
        print(f"image: not measured on this machine: {lacking}")
        return 0
    bento = build.build(sys.argv[1] if len(sys.argv) > 1 else "flight_delay")
    base, name = container.base(), f"localhost/bench-{uuid.uuid4().hex}"
    started = time.perf_counter()
    image.make("podman", bento, base, name, bento.parents[1] / "image.log")
    print(f"image built in {time.perf_counter() - started:.0f} s, less what an earlier build left done")
    try:
        total, below = (container.inspect(each)["Size"] / 1e6 for each in (name, base))
        print(f"image: {total - below:.0f} MB on top of its base of {below:.0f} MB (python:3.11-slim has {SLIM_MB} MB)")
        seconds = sorted(_start(name) for _ in range(STARTS))
    finally:
        container.podman("rmi", name)
    print(
        f"image ready after {seconds[0]:.1f}-{seconds[-1]:.1f} s of starting the container (limit {READY_SECONDS:g} s)"
    )
    late, large = seconds[STARTS // 2] > READY_SECONDS, total - below > LIMIT_MB - SLIM_MB
    if late or large:
        print(f"FAILED: {'later' if late else 'larger'} than the limit")
    return int(late or large)


def _start(name: str) -> float:
    """Seconds from the command that starts a container to its first 200 of /readyz."""
    started = time.perf_counter()
    with container.running(name) as (found, port):
        container.wait_ready(found, port, 60)
        return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
