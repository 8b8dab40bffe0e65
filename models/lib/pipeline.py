"""DVC, asked as a library: its command line prints every step or, with `--quiet`, not even why it stopped.

In a process of its own, `python -m models.lib.pipeline repro models/flight_delay/dvc.yaml`: DVC takes over a process's
logging and its Ctrl-C, and this one can be ended together with the stage that it has started.
"""

import contextlib
import hashlib
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

from models.lib.artifacts import NO_TRAIN
from repo.lib.refusal import Refusal


def repro(pipeline: Path, train: bool = True, shared: str | None = None) -> int:
    """Run what changed. 0, or 1 when a stage failed, or 2 when one refused, or DVC did; all of it was printed.

    Without `train` the stages that make a model refuse. With `shared` this stage is made, from what other machines made
    and DVC's remote has, and goes there; the empty stage is all of them, taken from there.
    """
    operation = ["repro", str(pipeline)] if shared is None else ["share", str(pipeline), shared]
    command = [sys.executable, "-m", "models.lib.pipeline", *operation]
    environment = os.environ if train else {**os.environ, NO_TRAIN: "1"}
    # In a process group of its own: whatever ends this process ends the stage that DVC has started, too.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environment) as process:
        try:
            while True:
                # In steps: polars, once used, replaces the handler of Ctrl-C by one that interrupts no endless wait.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=1)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise


def bring(pipeline: Path, outs: list[Path]) -> dict[str, str]:
    """Put those of these outputs that are absent where the lock has them, from DVC's cache or remote.

    What is present stays as it is, and goes to the cache when its bytes are those of the lock. The answer is why others
    could not be brought. A remote that has other bytes is refused.
    """
    command = [sys.executable, "-m", "models.lib.pipeline", "bring", str(pipeline), *map(str, outs)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(done.stderr.strip().removeprefix("models run: "))
    return dict(json.loads(done.stdout))


def _ask(operation: str, pipeline: str, *outs: str) -> int:
    """In the child: DVC's answer, as exit code or JSON."""
    try:
        from dvc.repo import Repo  # type: ignore[import-untyped]

        for name in ("dvc", "dvc_data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with Repo() as repo:
            if operation == "bring":
                print(json.dumps(_bring(repo, pipeline, outs)))
            elif operation == "share":
                _share(repo, pipeline, *outs)
            else:
                repo.reproduce([pipeline])
        return 0
    except Refusal as refusal:
        print(f"models run: {refusal}", file=sys.stderr)
        return 2
    except Exception as error:  # of DVC, or of a file that it reads; the chain of causes holds the reason
        chain: list[BaseException] = [error]
        while cause := chain[-1].__cause__:
            chain.append(cause)
        # A stage that ends by itself has printed why.
        if ended := re.search(r"exited with ([12])$", str(chain[-1])):
            return int(ended[1])
        print(f"models run: {_sentence(chain)}", file=sys.stderr)
        return 2


def _bring(repo: Any, pipeline: str, outs: tuple[str, ...]) -> dict[str, str]:
    stages = repo.stage.load_all(pipeline)
    named = [out for stage in stages for out in stage.outs if str(out) in outs and out.use_cache and out.hash_info]
    for out in named:
        if out.changed_cache() and not out.workspace_status():
            out.ignore()  # by Git
            out.commit(relink=False)
    absent = [out for out in named if not out.exists]
    reasons = _fetch(repo, [out for out in absent if out.changed_cache()])
    for out in absent:
        _hold_against_lock(out)
    for out in absent:
        if not out.changed_cache():
            out.checkout()
    return {str(out): reasons.get(str(out), "the DVC remote has not got it") for out in absent if not out.exists}


def _share(repo: Any, pipeline: str, stage: str) -> None:
    """`dvc repro --pull` and `dvc push --run-cache`, also of outputs that persist or that Git has (`cache: false`).

    The run cache takes neither (dvc/stage/cache.py, Stage.run). Nobody's former output is lost here: it is Git's.
    """
    import networkx as nx  # type: ignore[import-untyped]
    from dvc.repo import lock_repo

    with lock_repo(repo):
        for out in [out for each in repo.index.stages for out in each.outs]:
            out.persist = False
            # Rows that came from the source are looked for in the remote otherwise.
            if out.stage.is_data_source and out.exists and out.changed_cache() and not out.workspace_status():
                out.commit(relink=False)
        repo.stage_cache.pull(None)
        named = [each for each in repo.index.stages if each.relpath == pipeline and stage in ("", each.name)]
        if not named:
            raise Refusal(f"{pipeline} has no stage {stage!r}; name one of it.")
        # As `repo.reproduce` goes, which reads its targets again where the graph is large.
        for step in dict.fromkeys(step for each in named for step in nx.dfs_postorder_nodes(repo.index.graph, each)):
            if step.reproduce(pull=True):
                step.dump(update_pipeline=False)
                if stage:
                    _push(repo, step)
    if stage:
        repo.stage_cache.push(None)


def _push(repo: Any, stage: Any) -> None:
    repo.stage_cache.save(stage)
    for out in stage.outs:
        out.use_cache = True  # not before: DVC would let Git ignore it
    for objects in stage.get_used_objs().values():
        repo.cloud.push(objects)


def _fetch(repo: Any, outs: list[Any]) -> dict[str, str]:
    """Out -> what went wrong; that a remote has not got something is not an error of DVC's."""
    from dvc.lock import LockError  # type: ignore[import-untyped]

    try:
        if outs:
            repo.fetch([str(out) for out in outs])
        return {}
    except LockError:
        raise
    except Exception as error:  # of DVC or of whatever library reaches the remote
        return dict.fromkeys(map(str, outs), " ".join(f"DVC cannot fetch it: {error}".split())[:300])


def _hold_against_lock(out: Any) -> None:
    """Each file of the cache by its bytes: of one that is read-only DVC believes the name, also as it fetches it."""
    ahead = [out.hash_info.value]
    while ahead:
        name = ahead.pop()
        path = Path(out.cache.oid_to_path(name))
        if not path.is_file():
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != name.removesuffix(".dir"):
            path.unlink()
            raise Refusal(
                f"{out} has other bytes in the DVC remote or cache than the lock names; delete files/md5/{name[:2]}/"
                f"{name[2:]} in the remote, then `dvc push` on the machine that has the right ones."
            )
        if name.endswith(".dir"):  # the listing of a folder
            ahead += [each["md5"] for each in json.loads(path.read_bytes())]


def _sentence(chain: list[BaseException]) -> str:
    kinds = {type(error).__name__ for error in chain}
    if "LockError" in kinds:
        return "another process of DVC works in this tree; wait for it, then run again."
    reason = " ".join(": ".join(map(str, chain)).split())[:400]
    if "SCMError" in kinds:
        return f"{reason}, which DVC needs; run in a clone of the repository."
    named = re.search(r"'(?:\./)?([^']+(?:\.dvc|dvc\.lock|dvc\.yaml))'", reason)
    fix = f"fix {named[1]} or restore it with `git checkout -- {named[1]}`" if named else "fix that"
    return f"DVC refuses: {reason}; {fix}, then run again."


def _end_with_parent() -> None:
    """A killed `models run` cannot end its stages; its end of this pipe closes, whatever happened to it."""
    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # stages read nothing

    def wait() -> None:
        os.read(pipe, 1)
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1] != "bring":
        _end_with_parent()
    sys.exit(_ask(*sys.argv[1:]))
