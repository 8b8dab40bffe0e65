"""What the pipeline costs and what it gains: seconds per stage against a bare script, and ROC AUC against boosting.

python tests/bench/pipeline.py
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.chdir(ROOT)

from rich.console import Console  # noqa: E402 - after the path is set
from rich.table import Table  # noqa: E402

from models.lib import config, plugin, samples  # noqa: E402
from repo.lib.command import prepare_environment  # noqa: E402
from repo.lib.git import git  # noqa: E402

MODEL = "flight_delay"
STAGES = ["validate", "profile", "train", "export", "evaluate"]  # of dvc.yaml
STEPS = ["measure", "gates", "report"]  # after it, each its own process here, one process in `run`


def main() -> None:
    prepare_environment()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        tree, other = Path(folder, "tree"), Path(folder, "other")
        copy(tree)
        copy(other)
        stages(console, tree, other)
        two_directories(console, tree, other)
    validation(console)
    boosting(console)


def copy(to: Path) -> None:
    """The tree as a fresh clone would have it: committed and new files, no data, no cache."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    for name in filter(None, names):
        if Path(name).is_file():
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(name).read_bytes())
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=bench", "-c", "user.email=", "commit", "-qm", "-"],
    ):
        git(*arguments, root=to)


def stages(console: Console, tree: Path, other: Path) -> None:
    """Stage by stage, each a process of its own with DVC around it, and all of it by one command in another clone."""
    table = Table("stage", "seconds", title="The pipeline in a fresh clone", title_justify="left")
    total = took(tree, "-m", "data_schemas", "ingest", config.load(MODEL).dataset)
    table.add_row("ingest", f"{total:.1f}")
    for stage in STAGES:
        seconds = took(tree, "-m", "dvc", "repro", "-q", "-f", "-s", f"models/{MODEL}/dvc.yaml:{stage}")
        table.add_row(stage, f"{seconds:.1f}")
        total += seconds
    for step in STEPS:
        seconds = took(tree, "-m", "models", step, MODEL)
        table.add_row(step, f"{seconds:.1f}")
        total += seconds
    table.add_section()
    table.add_row("stage by stage", f"{total:.1f}")
    for name in ("weights", "model.onnx", "dvc.lock"):  # else it would find the committed ones, and train nothing
        git("rm", "-r", "--quiet", f"models/{MODEL}/{name}", root=other)
    table.add_row("`models run`, everything", f"{took(other, '-m', 'models', 'run', MODEL):.1f}")
    table.add_row("the same work in one bare script", f"{took(tree, __file__, 'bare'):.1f}")
    took(tree, "-m", "models", "run", MODEL)
    table.add_row("`models run`, nothing changed", f"{took(tree, '-m', 'models', 'run', MODEL):.1f}")
    console.print(table)


def two_directories(console: Console, one: Path, other: Path) -> None:
    hashes = {hashlib.sha256((tree / f"models/{MODEL}/model.onnx").read_bytes()).hexdigest() for tree in (one, other)}
    same = "the same ONNX SHA-256" if len(hashes) == 1 else "DIFFERENT ONNX files"
    console.print(
        f"Trained from scratch in two directories: {same} ({', '.join(sorted(each[:12] for each in hashes))})."
    )


def validation(console: Console) -> None:
    from data_schemas.lib import datasets, violations

    dataset = config.load(MODEL).dataset
    rows = datasets.read(dataset, datasets.months(dataset))
    seconds = best(lambda: violations.check(dataset, rows))
    console.print(
        f"Validation: {rows.height:,} rows in {seconds:.3f} s, {rows.height / seconds / 1e6:.1f} million rows/s."
    )


def boosting(console: Console) -> None:
    """ROC AUC on the validation month: the shipped ONNX file beside scikit-learn's gradient boosting."""
    import polars as pl
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    from models.lib import scoring

    model = config.load(MODEL)
    fit, valid = (samples.table(model, part) for part in ("train", "valid"))
    known = {name: fit[name].unique().sort().to_list() for name in model.features if fit[name].dtype == pl.String}

    def matrix(table: Any) -> Any:
        coded = [
            pl.col(name).replace_strict(values, list(range(len(values))), default=None, return_dtype=pl.Float64)
            for name, values in known.items()
        ]
        return table.select(model.features).with_columns(coded).to_numpy().astype(np.float64)

    names = [place for place, name in enumerate(model.features) if name in known]
    boosted = HistGradientBoostingClassifier(categorical_features=names, random_state=0)
    boosted.fit(matrix(fit), fit["target"].to_numpy())
    ours = roc_auc_score(valid["target"], scoring.scores(scoring.session(model.onnx), valid))
    theirs = roc_auc_score(valid["target"], boosted.predict_proba(matrix(valid))[:, 1])
    console.print(f"ROC AUC on {model.span('valid')}: network {ours:.4f}, gradient boosting {theirs:.4f}.")


def bare() -> None:
    """What a script without stages, processes or versions would do with the same functions."""
    import onnx

    from data_schemas.lib import datasets, violations
    from models import evaluate, export, measure
    from models.lib import scoring

    model = config.load(MODEL)
    network: Any = plugin.network(model)
    source = datasets.module(model.dataset, "source")
    for _, table in source.months():
        assert not violations.check(model.dataset, table)
    fitted = network.fit(samples.table(model, "train"), samples.table(model, "valid"), model.training)
    graph = export.strip(fitted.to_onnx(), {})
    onnx.checker.check_model(graph, full_check=True)
    scoring.session(graph.SerializeToString(deterministic=True))
    evaluate.evaluate(model)
    measure.measure(model)


def took(tree: Path, *arguments: str) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - start


def best(work: Callable[[], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    bare() if sys.argv[1:] == ["bare"] else main()
