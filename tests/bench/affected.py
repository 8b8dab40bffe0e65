"""How long the plan of a change takes in a fork with a thousand models.

python tests/bench/affected.py [--models 1000]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages

from tests.support import repository, specimens, trees  # noqa: E402
from tests.support.specimens import DATASET, MODEL, NAME  # noqa: E402

CHANGES = {
    "one network": MODEL / "network.py",
    "one schema": DATASET / "schema.py",
    "the metrics": Path("models/lib/metrics.py"),
    "the service": Path("serving/runtime/service.py"),
    "the README": Path("README.md"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = fork(Path(folder), options.models)
        for name, path in CHANGES.items():
            with (root / path).open("a") as file:
                file.write("\n# more\n")
            seconds = [took(root) for _ in range(5)]
            print(f"affected, {options.models:,} models, {name}: {statistics.median(seconds):.2f} s")
            repository.git("checkout", "--", ".", root=root)


def fork(root: Path, models: int) -> Path:
    """Each with a network and tests of its own bytes, so that nothing is the same file twice."""
    repository.isolate()
    specimens.lay_out(root)
    repository.git("init", "--quiet", root=root)
    for number in range(models):
        name, to = f"many_{number}", root / f"models/many_{number}"
        shutil.copytree(root / MODEL, to, ignore=shutil.ignore_patterns("build", "__pycache__"))
        trees.edit(to / "dvc.yaml", f"model: {NAME}", f"model: {name}")
        for file in ("network.py", "test_behaviour.py"):
            (to / file).write_text(f"{(to / file).read_text()}\n# {name}\n")
    repository.commit(root)
    return root


def took(root: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "repo", "plan", "--since", "HEAD"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
