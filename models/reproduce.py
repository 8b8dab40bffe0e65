"""Train again from the committed sources and hold the result against the committed model.

They must be equivalent: on the rows of the test window no score may differ by more than SCORE, and no metric by more
than SHARE of the width of its own 95 % interval. Another processor or C library rounds the logarithms of a loss another
way, and training carries that on, so the same bytes are good news and never a condition. What was found goes into the
passport that the next `models run` writes.
"""

import argparse
import importlib.util
import platform
import re
import tempfile
from pathlib import Path

from models.lib import config, passport, plugin, samples
from models.lib.tasks import task
from repo.lib.command import working
from repo.lib.files import sha256, write, write_json
from repo.lib.refusal import Refusal

NOTE = "# trained on "  # begins the first line of dvc.lock, a comment that DVC keeps
SCORE = 0.02  # of what the answers span, the largest difference of one
SHARE = 0.25  # of the width of a metric's interval, its largest difference


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    if not model.onnx.is_file():
        raise Refusal(f"{model.onnx} is missing; make it with `python -m models run {model.name}` and commit it.")
    with working(f"training {model.name} again"):
        made = again(model)
    print(f"reproduce {model.name}: {made_on(model)}; here {machine()}")
    if made == model.onnx.read_bytes():
        print(f"reproduce {model.name}: the very bytes that are committed ({sha256(model.onnx)[:12]}).")
        return record(model, "identical bytes")
    differences = compare(model, made)
    for name, (found, limit) in differences.items():
        print(f"  {'ok ' if found <= limit else 'RED'}  {name:<18} differs by {found:.4g}, at most {limit:.4g}")
    if all(found <= limit for found, limit in differences.values()):
        print(f"reproduce {model.name}: other bytes, and an equivalent model.")
        return record(model, "an equivalent model")
    print(
        f"reproduce {model.name}: {model.onnx} is not what the committed sources make here; run `python -m models run "
        f"{model.name}` and commit {model.folder}, or give the pull request the label `train`."
    )
    return 1


def record(model: config.Model, found: str) -> int:
    """For the passport of this very file."""
    write_json(model.build / passport.REPRODUCED, {"onnx": sha256(model.onnx), "found": found, "on": machine()})
    return 0


def again(model: config.Model) -> bytes:
    """The ONNX file of a network that was trained now, saved, and loaded again, as `train` and `export` do."""
    from models import export, train
    from models.lib import drift

    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder, plugin.guarded(model):
        fitted, edges = train.fit(model, samples.table(model, "train"), samples.table(model, "valid"))
        fitted.save(Path(folder))
        notes = export.notes(model, edges, drift.profile(model, samples.rows(model, "train")))
        graph = export.strip(plugin.network(model).load(Path(folder)).to_onnx(), notes)
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def compare(model: config.Model, made: bytes) -> dict[str, tuple[float, float]]:
    """Name -> (difference, limit) of the scores and of each metric that has a gate, on the rows of the test window."""
    import numpy as np

    from models.lib import metrics, scoring

    table = samples.table(model, "test")
    target = table["target"].to_numpy().astype(np.float64)
    committed, new = (scoring.scores(scoring.session(each), table) for each in (model.onnx, made))
    behaviour = task.of(model)
    limit = SCORE * (1.0 if behaviour.bounds[1] else float(committed.max() - committed.min()))
    if committed.shape != new.shape or not behaviour.in_range(new):
        return {behaviour.output: (float("inf"), limit)}
    found = {behaviour.output: (float(np.abs(committed - new).max()), limit)}
    counts = metrics.resamples(len(target))
    for name, metric in behaviour.metrics.items():
        if getattr(model.gates, name).off is None:
            draws = metric(target, committed, counts)
            low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
            value = metric(target, new, counts[:1])[0]
            found[name] = (abs(float(value - draws[0])), SHARE * float(high - low))
    return found


def machine() -> str:
    """What training's last bits depend on: architecture, C library and PyTorch's build."""
    library, number = platform.libc_ver()
    return f"{platform.machine()}, {library or platform.system()} {number or platform.release()}, torch {_torch()}"


def _torch() -> str:
    """Its version with its build, such as 2.13.0+cpu, which its metadata does not name; importing it takes seconds."""
    found = importlib.util.find_spec("torch")
    text = Path(found.origin).with_name("version.py").read_text() if found and found.origin else ""
    return next(iter(re.findall(r"(?m)^__version__ = '(.+)'", text)), "none")


def made_on(model: config.Model) -> str:
    """What the first line of dvc.lock says of the machine that trained the committed model."""
    lock = model.folder / "dvc.lock"
    line = lock.read_text().partition("\n")[0] if lock.is_file() else ""
    return f"committed from {line.removeprefix(NOTE)}" if line.startswith(NOTE) else "its machine is not recorded"


def note(lock: Path, where: str) -> None:
    """Write into the first line of a lock which machine trained its model."""
    lines = lock.read_text().splitlines(keepends=True)
    kept = lines[1:] if lines and lines[0].startswith(NOTE) else lines
    write(lock, f"{NOTE}{where}\n" + "".join(kept))
