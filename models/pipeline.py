"""DVC, asked as a library: its command line tells every step or, with `--quiet`, not even why it stopped.

In a process of its own, `python -m models.pipeline repro models/flight_delay/dvc.yaml`: DVC takes over a process's
logging and its Ctrl-C, and this one can be ended together with the stage that it has started.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from data_schemas.command import Refusal


def repro(pipeline: Path) -> int:
    """Run what changed. 0, or 1 when a stage said no, or 2 when one refused, or DVC did; all of it was printed."""
    command = [sys.executable, "-m", "models.pipeline", "repro", str(pipeline)]
    # In a process group of its own: whatever ends this process ends the stage that DVC has started, too.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            while True:
                # In steps: polars, once used, replaces the handler of Ctrl-C by one that interrupts no endless wait.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=1)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise


def status(pipeline: Path) -> dict[str, list[Any]]:
    """Stage -> what changed, in DVC's words; a stage that is up to date is not there."""
    command = [sys.executable, "-m", "models.pipeline", "status", str(pipeline)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(done.stderr.strip().removeprefix("models run: "))
    found: dict[str, list[Any]] = json.loads(done.stdout)
    return found


def _ask(operation: str, pipeline: str) -> int:
    """In the child: DVC's answer, as exit code or JSON."""
    try:
        from dvc.repo import Repo  # type: ignore[import-untyped]

        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        with Repo() as repo:
            if operation == "status":
                print(json.dumps(repo.status([pipeline])))
            else:
                repo.reproduce([pipeline])
        return 0
    except Exception as error:  # of DVC, or of a file that it reads; the chain of causes holds the reason
        chain: list[BaseException] = [error]
        while cause := chain[-1].__cause__:
            chain.append(cause)
        # What a stage that ends by itself has to say, it said.
        if ended := re.search(r"exited with ([12])$", str(chain[-1])):
            return int(ended[1])
        print(f"models run: {_sentence(chain)}", file=sys.stderr)
        return 2


def _sentence(chain: list[BaseException]) -> str:
    kinds = {type(error).__name__ for error in chain}
    if "LockError" in kinds:
        return "another process of DVC works in this tree; wait for it, then run again."
    reason = " ".join(": ".join(map(str, chain)).split())[:400]
    if "SCMError" in kinds:
        return f"{reason}, which DVC needs; run in a clone of the repository."
    named = re.search(r"'(?:\./)?([^']+(?:\.dvc|dvc\.lock|dvc\.yaml))'", reason)
    mend = f"mend {named[1]} or restore it with `git checkout -- {named[1]}`" if named else "mend that"
    return f"DVC refuses: {reason}; {mend}, then run again."


def _end_with_parent() -> None:
    """A killed `models run` cannot end its stages; its end of this pipe closes, whatever happened to it."""
    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # stages read nothing

    def wait() -> None:
        os.read(pipe, 1)
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1] == "repro":
        _end_with_parent()
    sys.exit(_ask(*sys.argv[1:]))
