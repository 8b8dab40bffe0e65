"""Better models get in, worse ones do not: a year of monthly retrainings and ordinary edits against the canary's judge.

python tests/bench/retraining.py [--looks 120]

Each candidate is judged on its test window as the gates judge it, and then as a canary beside the model before, by the
counters that both would show: recorded rows of the following month, where there is one, 25, 50 and 75 % of them to the
candidate, a look every hundred requests. Then the same with each fault of `python -m deploy rehearse --fault`; a server
that never gets ready takes no request, and is left to the rehearsal; the champion in the candidate's place is told by
its scores only where those of the two differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages

from data_schemas.lib import datasets  # noqa: E402
from deploy.canary import judge  # noqa: E402
from deploy.canary.judge import Array, Counters, Verdict  # noqa: E402
from models.lib import compare, config, judges, metrics, plugin, promise, samples  # noqa: E402
from models.lib.champion import Champion  # noqa: E402
from models.lib.split import Window, Windows  # noqa: E402
from models.lib.tasks import task  # noqa: E402

LOOK = 100  # requests between two looks
WEIGHTS = (0.25, 0.5, 0.75)
SLOW = 0.10  # share of requests above the arm's own bound
STEPS_ONLY = ("roc_auc", "log_loss", "brier", "calibration_error", "champion", "shift")  # gates of the scores
Flags = NDArray[np.bool_]
Predict = Callable[[pl.DataFrame], Array]


@dataclass(frozen=True)
class Fault:
    """What the candidate does in the place of what was judged; shares are of its requests."""

    errors: float = 0.0
    slow: float = SLOW
    odds: float = 1.0  # by which the odds of its scores are multiplied
    champion: bool = False  # whether the champion's scores are served
    from_request: float = 0.0  # share of the traffic after which it begins


FAULTS = {
    "errors": Fault(errors=0.08),
    "nan": Fault(errors=0.20),
    "latency": Fault(slow=0.6),
    "scores": Fault(odds=float(np.e)),
    "crash": Fault(errors=1.0, from_request=0.5),
    "champion": Fault(champion=True),
}


@dataclass(frozen=True)
class Case:
    name: str
    champion: config.Model
    candidate: config.Model
    before: Predict
    now: Predict


def months(model: config.Model, by: int) -> config.Model:
    return model.model_copy(update={"windows": windows(model).moved(by)})


def windows(model: config.Model) -> Windows:
    assert model.windows is not None, "it measures retrainings, month by month"
    return model.windows


def fitted(model: config.Model) -> Predict:
    network = plugin.network(model)
    found = network.fit(samples.table(model, "train"), samples.table(model, "valid"), model.training)
    return lambda rows: np.asarray(found.predict(rows.select(model.features)), np.float64)


def tree(model: config.Model) -> Predict:
    """scikit-learn's gradient boosting in the network's place, calibrated by nothing but its own loss."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    names = [name for name, kind in samples.table(model, "valid").schema.items() if kind == pl.String]
    rows = samples.table(model, "train")
    known = {name: sorted(rows[name].drop_nulls().unique())[:250] for name in names}

    def matrix(of: pl.DataFrame) -> Array:
        columns = []
        for name in model.features:
            if name in known:
                places = {value: float(place) for place, value in enumerate(known[name])}
                columns.append(np.array([places.get(value, np.nan) for value in of[name]]))
            else:
                columns.append(of[name].cast(pl.Float64).fill_null(float("nan")).to_numpy())
        return np.column_stack(columns)

    boosted = HistGradientBoostingClassifier(random_state=0)
    boosted.fit(matrix(rows), rows["target"].to_numpy())
    return lambda of: np.asarray(boosted.predict_proba(matrix(of))[:, 1], np.float64)


def edited(model: config.Model, **changes: Any) -> config.Model:
    serving = {"threshold": changes.pop("threshold")} if "threshold" in changes else {}
    features = changes.pop("features", model.features)
    shorter = changes.pop("windows", windows(model))
    return model.model_copy(
        update={
            "training": {**model.training, **changes},
            "features": features,
            "windows": shorter,
            "serving": model.serving.model_copy(update=serving),
        }
    )


def cases(model: config.Model) -> Iterator[Case]:
    """Four retrainings, each against the month before, then ten edits of the first model."""
    newest = datasets.months(model.dataset)[-1]
    base, before = model, fitted(model)
    first, by = before, 1
    while windows(months(model, by)).test.last <= newest:
        candidate = months(model, by)
        now = fitted(candidate)
        yield Case(f"retrained up to {windows(candidate).test.last}", base, candidate, before, now)
        base, before, by = candidate, now, by + 1
    weakest = model.features[-1]
    without = [name for name in model.features if name != weakest]
    ours = windows(model)
    month = (ours.months("train") or [])[2]
    edits = {
        "another seed": edited(model, seed=model.training["seed"] + 1),
        "hidden: 32": edited(model, hidden=32),
        "four times as heavy (hidden: 256)": edited(model, hidden=256),
        "learning_rate halved": edited(model, learning_rate=model.training["learning_rate"] / 2),
        "half as many epochs": edited(model, max_epochs=model.training["max_epochs"] // 2),
        "batch: 1024": edited(model, batch=1024),
        f"without {weakest}": edited(model, features=without),
        "threshold: 0.30": edited(model, threshold=0.30),
        "trained on four months": edited(
            model,
            windows=Windows(train=Window(first=month, last=ours.train.last), valid=ours.valid, test=ours.test),
        ),
    }
    for name, candidate in edits.items():
        yield Case(name, model, candidate, first, first if name.startswith("threshold") else fitted(candidate))
    yield Case("a tree in the network's place", model, model, first, tree(model))
    fewer = edited(model, features=without)
    yield Case(f"{weakest} added as an optional feature", fewer, model, fitted(fewer), first)


def verdicts(case: Case, rows: pl.DataFrame, theirs: Array, ours: Array) -> list[judges.Verdict]:
    """What the gates of scores say, on the test window."""
    model, behaviour = case.candidate, task.of(case.candidate)
    target, counts = behaviour.target(rows), metrics.resamples(rows.height)
    drawn = {name: [of(target, each, counts) for each in (theirs, ours)] for name, of in behaviour.metrics.items()}
    evaluation = {"metrics": {name: metrics.interval(now) for name, (_, now) in drawn.items()}}
    evidence = judges.Evidence(model, evaluation | {"spread": float(target.std())}, {}, Champion("before", "", ""))
    vars(evidence)["comparison"] = {  # which is read from a released file otherwise
        "metrics": {
            name: {"champion": metrics.interval(before)["value"], "difference": metrics.interval(now - before)}
            for name, (before, now) in drawn.items()
        },
        "slices": [],
        "shift": compare.shift(model, rows, theirs, ours, case.champion.serving.model_dump()),
    }
    return [judges.find(name, evidence)(name, getattr(model.gates, name), evidence) for name in STEPS_ONLY]


def walked(
    table: Array, before: Array, now: Array, fault: Fault, looks: int, random: np.random.Generator
) -> tuple[Verdict, int, str]:
    """The judge's verdict, after how many requests, and by which check; rows are drawn again for each request."""
    total = looks * LOOK
    drawn = random.integers(0, len(before), total)
    weight = np.repeat(WEIGHTS, -(-total // len(WEIGHTS)))[:total]
    to_candidate = random.random(total) < weight
    ill = to_candidate & (np.arange(total) >= fault.from_request * total)
    failed = ill & (random.random(total) < fault.errors)
    slow = random.random(total) < np.where(ill, fault.slow, SLOW)
    served = before[drawn] if fault.champion else now[drawn] * fault.odds / (1 - now[drawn] + now[drawn] * fault.odds)
    bins = metrics.score_bin(np.where(to_candidate, served, before[drawn]))
    times = np.arange(looks + 1, dtype=np.float64) / 2  # two looks an interval, as the rehearsal has
    arms = [_counters(arm, failed, slow, bins, looks) for arm in (~to_candidate, to_candidate)]
    results: list[judge.Result] = []
    for look in range(2, looks + 2):
        seen = [Counters(*(getattr(arm, name)[..., :look] for name in arm.__dataclass_fields__)) for arm in arms]
        results = judge.judge(seen[0], seen[1], times[:look], 1.0, table)
        if judge.overall(results) == Verdict.ABORT:
            by = next(each.name for each in results if each.verdict == Verdict.ABORT)
            return Verdict.ABORT, (look - 1) * LOOK, by
    return judge.overall(results), total, ""


def _counters(arm: Flags, failed: Flags, slow: Flags, bins: NDArray[np.int64], looks: int) -> Counters:
    def cumulative(events: Flags) -> Array:
        return np.concatenate([[0.0], (events & arm).reshape(looks, LOOK).sum(axis=1).cumsum()])

    everything = np.ones_like(arm)
    requests = cumulative(everything)
    answered = ~failed
    counted = np.stack([cumulative(answered & (bins == place)) for place in range(metrics.BINS)])
    return Counters(requests, cumulative(failed), 0 * requests, requests, cumulative(~slow), requests, counted)


def judged(case: Case, looks: int) -> list[str]:
    """One row of the table."""
    model, newest = case.candidate, datasets.months(case.candidate.dataset)[-1]
    test = samples.rows(model, "test")
    theirs, ours = case.before(test), case.now(test)
    found = verdicts(case, test, theirs, ours)
    failed = [each.name for each in found if each.verdict == "fail"]
    below = [each.name for each in found if each.verdict == judges.BELOW]
    counts = np.array(promise.table(*map(metrics.score_bin, (theirs, ours))), np.float64)
    following = months(model, 1)
    live = test if windows(following).test.last > newest else samples.rows(following, "test")
    before, now = case.before(live), case.now(live)
    random = np.random.default_rng(7)

    def printed(fault: Fault) -> str:
        verdict, requests, by = walked(counts, before, now, fault, looks, random)
        return f"{requests:,} {by}" if verdict == Verdict.ABORT else f"{verdict} {requests:,}"

    halves = [np.bincount(metrics.score_bin(scores), minlength=10).astype(np.float64) for scores in (before, now)]
    same = np.diag(np.full(10, 1e9))  # "as before" instead of the promise: what the judge asked earlier
    shifts = [float(judge.score_shift(halves[1], halves[0], table)) for table in (same, counts)]
    passed = f"fail: {', '.join(failed)}" if failed else f"pass{', below: ' + ', '.join(below) if below else ''}"
    return [case.name, passed, *(f"{shift:.3f}" for shift in shifts), printed(Fault()), *map(printed, FAULTS.values())]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--looks", type=int, default=120, help=f"of the judge, one every {LOOK} requests")
    parser.add_argument("--model", default="flight_delay")
    options = parser.parse_args()
    metrics.RESAMPLES = 100
    shown = Table(title="Requests until the verdict, and the check that gave it", title_justify="left")
    for title in ("candidate", "gates", "PSI to before", "to the promise", "as it is", *FAULTS):
        shown.add_column(title, overflow="fold")
    model = config.load(options.model)
    wrong = []
    for case in cases(model):
        row = judged(case, options.looks)
        shown.add_row(*row)
        print(" | ".join(row), flush=True)
        if row[1].startswith("pass") and not row[4].startswith(Verdict.HEALTHY):
            wrong.append(f"{case.name}: its gates pass, and the judge says {row[4]}")
        alike = float(row[2]) < 2 * judge.Limits().score_shift  # scores by which nobody could tell the two apart
        wrong += [
            f"{case.name}: {fault} is not caught"
            for fault, printed in zip(FAULTS, row[5:], strict=True)
            if printed.startswith(tuple(Verdict)) and not (fault == "champion" and alike)
        ]
    Console(width=180).print(shown)
    for line in wrong or ["Every candidate whose gates pass is admitted, and every fault is caught in each."]:
        print(line)


if __name__ == "__main__":
    main()
