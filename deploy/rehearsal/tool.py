"""A tool of the machine that runs for the length of a rehearsal: Prometheus, HAProxy."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from repo.lib.process import reason
from repo.lib.refusal import Refusal
from serving.serve import background

READY_SECONDS = 15.0
STOP_SECONDS = 5.0


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Run it in the background once `ready()`; nothing of it is left after the block, however the block ends.

    What it prints goes to `log`, outside of a terminal's Ctrl-C: the block's end stops it.
    """
    with log.open("wb") as file:
        process = background(command, log.parent, file)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                why = reason(log.read_text(errors="replace"))
                raise Refusal(f"{Path(command[0]).name} did not get ready ({why}); fix that and run again.")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
