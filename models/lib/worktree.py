"""Run models on the newest commit of a branch and push what comes of it: for people without a machine to train on.

`python -m models run flight_delay --push my-branch` works in a tree of its own and by child processes, so that modules
are those of the branch. What is pushed is what the branch's sources make, good or bad: the checks of its pull request
judge it. A child finds no token in its environment but could read that of its parent, so train.yml runs `--write`
without one, then `--read` elsewhere.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from repo.lib import origin, process, pull_request
from repo.lib.change import folders
from repo.lib.git import git
from repo.lib.refusal import Refusal

TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
MADE = ("models/{model}/dvc.lock", "models/{model}/model.onnx", "models/{model}/weights/*")  # what training changes
LOCAL = Path(".dvc/config.local")  # DVC's settings of one clone; Git ignores it


def push(options: argparse.Namespace) -> int:
    branch, clone = options.push, Path.cwd()
    if branch == origin.MAIN:
        raise Refusal(f"{branch} takes pull requests, not pushes; name the branch of one by --push.")

    def apply() -> origin.Edit | None:
        share_cache(clone)
        names = [options.model] if options.model else stale()
        for name in names:
            run(name)
            keep(name)
        if not git("status", "--porcelain"):
            print(f"run: on {branch} {options.model or 'every model'} is what its sources make: nothing to push.")
            return None
        return origin.Edit(f"Train {', '.join(names)}")

    def landed() -> origin.Edit:
        """What `--write` left in the folder: by a job that has a token and runs nothing of the branch."""
        return origin.carried(clone / options.read, [each.format(model="*") for each in MADE])

    if options.write:
        return write(branch, apply, clone / options.write)
    if options.read and not Path(options.read).is_dir():
        print("run: nothing was trained: nothing to push.")
    elif commit := origin.push(branch, landed if options.read else apply):
        print(f"pushed to {branch}: {commit}")
        pull_request.dispatch(branch)
    return 0


def write(branch: str, apply: Callable[[], origin.Edit | None], folder: Path) -> int:
    """Write what `apply` would push to a folder: by a job that runs a model's code and so has no token."""
    with origin.tree(branch):
        if edit := apply():
            origin.carry(edit, folder)
    return 0


def stale() -> list[str]:
    """The models of this tree whose lock does not fit it."""
    return [name for name in folders("models") if demand("models", "run", name, "--check")]


def run(name: str, *options: str) -> int:
    """`models run`: 0 when every gate passes, 1 when one fails; refused unless it came to a verdict."""
    code = demand("models", "run", name, *options)
    if code and demand("models", "run", name, "--check"):
        raise Refusal(f"`python -m models run {name}` came to no verdict (see above); fix that and run again.")
    return code


def keep(name: str) -> None:
    """Bytes that Git does not hold are in DVC's remote before a commit names them."""
    from models.lib import config

    if config.load(name, check_columns=False).storage == "dvc":
        refuse_to_lose()
        dvc("push", f"models/{name}/dvc.yaml:export")


def refuse_to_lose() -> None:
    """A remote that is a folder of the runner is gone with it, and the commit would name bytes that nobody has."""
    if os.environ.get("GITHUB_ACTIONS"):
        name = dvc("config", "core.remote")
        if "://" not in (place := dvc("config", f"remote.{name}.url")):
            raise Refusal(
                f".dvc/config: the remote {name} is the folder {place} of this runner, which is gone after the job; "
                "name one that lasts, such as s3://…, and let .github/actions/credentials reach it."
            )


def verb(*words: str) -> int:
    """The exit code of `python -m <words>` here. A model's code may read what it finds: it finds no token."""
    environment = {name: value for name, value in os.environ.items() if name not in TOKENS}
    print(f"$ python -m {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", *words], env=environment, check=False).returncode


def share_cache(clone: Path) -> None:
    """Let DVC here, in a fresh tree, use the settings and the cache of that clone: what it knows is not made again."""
    if (clone / LOCAL).is_file():
        shutil.copyfile(clone / LOCAL, LOCAL)
    place = dvc("cache", "dir", at=clone)
    dvc("config", "--local", "cache.dir", str(clone / place))


def demand(*words: str, answers: tuple[int, ...] = (0, 1)) -> int:
    """The exit code of a verb, which is one of the answers; all else ended without one."""
    if (code := verb(*words)) not in answers:
        raise Refusal(f"`python -m {' '.join(words)}` ended with {code} (see above); fix that and run again.")
    return code


def dvc(*words: str, at: Path = Path()) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    return process.run(command, f"DVC refuses `dvc {' '.join(words)}`", at=at).decode().strip()
