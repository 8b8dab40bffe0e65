"""Measure logged predictions by their outcomes, version by version, beside what each passport promised.

python -m models review flight_delay --labels outcomes.csv --log requests/
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from data_schemas.lib import tables
from models.lib import champion, config, logged, metrics, passport
from models.lib.tasks import task
from repo.lib.files import read_yaml, write_json
from repo.lib.refusal import Refusal

LEAST = 300  # outcomes of a version, as ModelQuality asks for


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    known = labels(model, Path(options.labels))
    answered = defaultdict[str, dict[str, Any]](dict)
    for line in logged.lines(Path(options.log), model.name):
        if not line.get("prediction_ids"):
            continue
        pairs = zip(line["prediction_ids"], line["values"], strict=True)
        answered[line["version"]] |= {each: value for each, value in pairs if each in known}
    found = {version: measure(model, version, values, known) for version, values in answered.items() if values}
    missing = len(known) - len({each for values in answered.values() for each in values})
    if missing == len(known):
        raise Refusal(f"{options.log} has the prediction of none of the outcomes of {options.labels}; give its folder.")
    write_json(model.build / "review.json", {"missing": missing, "outcomes": len(known), "versions": found})
    below = [f"{name} of {version}" for version, each in found.items() for name in each["below"]]
    print(f"review {model.name}: {missing:,} of {len(known):,} outcomes are of no prediction in {options.log}")
    print(f"review {model.name}: below the passport: {', '.join(below) or 'nothing'}; {model.build}/review.json")
    return 1 if below else 0


def measure(model: config.Model, version: str, values: dict[str, Any], known: dict[str, float]) -> dict[str, Any]:
    """The metrics of one version, and which lie below its passport: beyond the worse end of the interval there, while
    their own interval lies beyond the value there."""
    import numpy as np

    behaviour, target = task.of(model), np.array([known[each] for each in values])
    names = behaviour.names or ()
    given = [[each[name] for name in names] if isinstance(each, dict) else each for each in values.values()]
    if why := behaviour.measurable(target):
        print(f"{version}: {len(target):,} outcomes, which {why}")
        return {"rows": len(target), "metrics": {}, "below": []}
    released = [champion.passport_path(model.name, each) for each in champion.ENVIRONMENTS]
    there_are = [path for path in (model.build / "passport.yaml", *released) if path.is_file()]
    records = (read_yaml(path, "restore it", passport.KEYS) for path in there_are)
    promised: dict[str, Any] = next((each["metrics"] for each in records if each["version"] == version), {})
    few = f"; fewer than {LEAST} are not judged" if len(target) < LEAST else ""
    print(f"{version}: {len(target):,} outcomes{few}" + ("" if promised else "; its passport is not here"))
    found, below, counts = {}, [], metrics.resamples(len(target))
    for name, metric in behaviour.metrics.items():
        here = found[name] = metrics.interval(metric(target, np.array(given, np.float64), counts))
        there, sign = promised.get(name), behaviour.sign(name)
        worse, better = ("low", "high") if sign > 0 else ("high", "low")
        beyond = there and sign * (here["value"] - there[worse]) < 0 and sign * (here[better] - there["value"]) < 0
        if beyond and len(target) >= LEAST:
            below.append(name)
        shown = ["{value:.4g} [{low:.4g}, {high:.4g}]".format(**each) for each in (here, there) if each]
        print(f"  {behaviour.titles[name]:20}{', in the passport '.join(shown)}{', BELOW' if name in below else ''}")
    return {"rows": len(target), "metrics": found, "promised": promised, "below": below}


def labels(model: config.Model, path: Path) -> dict[str, float]:
    """Prediction id -> outcome: 0 or 1, the index of a class, or a number."""
    cells, behaviour = tables.cells(path), task.of(model)
    if lacking := {"prediction_id", "outcome"}.difference(cells.columns):
        raise Refusal(f"{path}: there is no column {min(lacking)!r}; give prediction_id and outcome.")
    allowed = behaviour.names or (["0", "1"] if behaviour.bounds[1] else None)
    found = dict[str, float]()
    for row, (name, outcome) in enumerate(cells.select("prediction_id", "outcome").iter_rows()):
        try:
            known = float(allowed.index(str(outcome)) if allowed else outcome)
        except (TypeError, ValueError):
            raise Refusal(f"{path}: row {row} (from 0) has no outcome of {model.name}; fix it there.") from None
        if found.setdefault(name, known) != known:
            raise Refusal(f"{path}: row {row} (from 0): its id has another outcome above; leave the true one.")
    return found
