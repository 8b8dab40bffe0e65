"""Half a year of data after the training window: when the rules fire, and whether retraining would have helped.

python tests/bench/year.py [--model flight_delay] [--figures tests/build/year]

The built model answers every row of the months after its validation window through its real service; the cluster's
rules judge what it counts. Then the model is trained again on windows that move by a month, and compared with the old
one on each month, by the paired bootstrap of the gates. Prints Markdown, and draws a plot.
"""

from __future__ import annotations

import argparse
import calendar
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

sys.path[0] = str(Path(__file__).resolve().parents[2])  # not this folder, whose file names are those of stages

from data_schemas.lib import datasets  # noqa: E402
from deploy import watch  # noqa: E402
from deploy.rehearsal import replay, watched  # noqa: E402
from deploy.rehearsal.past import STEP, Series, query  # noqa: E402
from deploy.rehearsal.screen import Screen  # noqa: E402
from deploy.rehearsal.watched import Watched  # noqa: E402
from models import train  # noqa: E402
from models.lib import columns, config, metrics, samples, scoring  # noqa: E402
from models.lib.split import UNITS, Windows  # noqa: E402
from models.lib.tasks import task  # noqa: E402
from repo.lib import markdown  # noqa: E402

DAY = 24 * 3600
SPAN = 10_000 * STEP  # of one query


def asked(address: str, text: str, done: Watched) -> Series:
    """A query over the whole span, of which one answer holds a part."""
    found: dict[str, tuple[dict[str, str], list[tuple[int, str]]]] = {}
    for start in range(done.first, done.last, SPAN):
        for labels, values in query(address, text, start, min(start + SPAN, done.last) - STEP):
            found.setdefault(str(sorted(labels.items())), (labels, []))[1].extend(values)
    return list(found.values())


def days(values: list[tuple[int, str]]) -> set[int]:
    """Those on which it is above its limit."""
    return {at // DAY for at, value in values if float(value) > 1}


def printed(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n")
    print("\n".join(markdown.table(head, rows)), flush=True)


def drift(done: Watched, found: dict[str, Series]) -> None:
    by: dict[str, dict[str, list[tuple[int, str]]]] = {"1d": {}, "7d": {}}
    for labels, values in found["drift"]:
        by.setdefault(labels["window"], {})[labels["feature"]] = values
    total = (done.last - done.first) // DAY
    rows = [
        [
            name,
            *(
                f"{len(days(by[window][name]))} of {total}" if name in by[window] else "no limit"
                for window in ("1d", "7d")
            ),
        ]
        for name in sorted(set(by["1d"]) | set(by["7d"]))
    ]
    printed("Days on which a window lies beyond its limit", ["feature", "1 day", "7 days"], rows)


def alerts(done: Watched) -> None:
    heads = ["alert", "of", "severity", "first", "hours"]
    printed("Alerts", heads, [[str(row[head]) for head in heads] for row in done.rows()])


def asks(found: dict[str, Series]) -> None:
    rows = []
    for labels, values in found["retrain"]:
        spans = [[values[0][0], values[0][0]]]
        for at, _ in values:
            if at - spans[-1][1] > DAY:
                spans.append([at, at])
            spans[-1][1] = at
        told = [f"{watched.shown(start)[:10]} to {watched.shown(end)[:10]}" for start, end in spans]
        most = max(float(value) for _, value in values)
        rows.append([labels["cause"], labels.get("feature", ""), "; ".join(told), f"{most:.2g}"])
    printed("When ml:retrain asks", ["cause", "feature", "from, to", "times the limit, at most"], sorted(rows))


def retrained(model: config.Model, newest: str) -> list[list[str]]:
    """Of each later month: the old model's figures, and how far those of one trained on the moved windows differ."""
    windows, behaviour, rows = model.windows, task.of(model), []
    assert isinstance(windows, Windows), "it needs months to move"
    frame, old = columns.FRAMES[model.frame], scoring.session(model.onnx)
    by = 1
    while windows.moved(by).test.last <= newest:
        moved = model.model_copy(update={"windows": windows.moved(by)})
        fitted, _ = train.fit(moved, samples.table(moved, "train"), samples.table(moved, "valid"))
        test = samples.rows(moved, "test")
        target, counts = behaviour.target(test), metrics.resamples(test.height)
        answers = scoring.scores(old, test), np.asarray(fitted.predict(frame(test.select(model.features))), np.float64)
        row = [moved.span("test"), moved.span("train")]
        for name, metric in behaviour.metrics.items():
            before, now = (metric(target, values, counts) for values in answers)
            here, gain = metrics.interval(before), metrics.interval(behaviour.sign(name) * (now - before))
            helps = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no difference"  # type: ignore[operator]
            row.append(f"{here['value']:.4f}; {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}] {helps}")
        rows.append(row)
        print(f"{moved.span('test')}: {row[2]}", flush=True)
        by += 1
    return rows


def plot(done: Watched, found: dict[str, Series], path: Path) -> None:
    """Drift of seven days by feature as a map, over the main metric by the outcomes of seven days."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    series = sorted((each for each in found["drift"] if each[0]["window"] == "7d"), key=lambda each: each[0]["feature"])
    total = (done.last - done.first) // DAY
    cells = np.full((len(series), total), np.nan)
    for place, (_, values) in enumerate(series):
        for at, value in values:
            day = (at - done.first) // DAY
            cells[place, day] = np.nanmax([cells[place, day], float(value)])
    drawn = upper.imshow(cells, aspect="auto", cmap="RdBu_r", vmin=0, vmax=2, extent=(0, total, len(series), 0))
    upper.set_yticks(np.arange(len(series)) + 0.5, [labels["feature"] for labels, _ in series])
    upper.set_title("Drift of seven days, in times of each feature's limit (red: beyond it)", size=10, loc="left")
    figure.colorbar(drawn, ax=upper)
    for labels, values in found["ml:quality"]:
        x = [(at - done.first) / DAY for at, _ in values]
        lower.plot(x, [float(value) for _, value in values], label=f"{labels['metric']} of seven days")
    for (_, values), (_, spread) in zip(found["ml:quality_value"], found["ml:quality_spread"], strict=False):
        low, high = (float(values[-1][1]) + sign * float(spread[-1][1]) for sign in (-1, 1))
        lower.axhspan(low, high, color="#d9822b", alpha=0.3, label="passport")
    for _, values in found["limit"]:
        x = [(at - done.first) / DAY for at, _ in values]
        lower.plot(x, [float(value) for _, value in values], "k:", label="ModelQuality fires beyond", linewidth=1)
    lower.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    months = [day for day in range(total) if watched.shown(done.first + day * DAY)[8:10] == "01"]
    lower.set_xticks(months, [watched.shown(done.first + day * DAY)[:7] for day in months])
    figure.savefig(path.with_suffix(".png"), dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="flight_delay")
    parser.add_argument("--figures", default="tests/build/year", help="where the plot goes")
    options = parser.parse_args()
    model, unit = config.load(options.model), UNITS["month"]
    assert model.windows is not None, "it replays the months after the validation window"
    newest = datasets.months(model.dataset)[-1]
    ends = model.windows.valid.numbers[0], (unit.read(newest) or 0) + 1
    first, last = (calendar.timegm(unit.first(each).timetuple()) for each in ends)
    rows = replay.timed(model, datasets.read_all(model.dataset), first - watch.BEFORE, last)
    folder = Path(options.figures)
    folder.mkdir(parents=True, exist_ok=True)
    with Screen() as screen, tempfile.TemporaryDirectory(prefix="year-") as temporary:
        past, done = watch.watch(model, rows, first, last, None, Path(temporary), screen)
        with past.running() as address:
            found: dict[str, Any] = {name: asked(address, text, done) for name, text in watched.QUERIES.items()}
    drift(done, found)
    alerts(done)
    asks(found)
    plot(done, found, folder / "year")
    names = task.of(model).titles.values()
    title = "Retrained against the old model: old; gain [95 % interval], positive where retraining is better"
    printed(title, ["month", "trained on", *names], retrained(model, newest))


if __name__ == "__main__":
    main()
