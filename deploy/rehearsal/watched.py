"""What a watched month showed: a live table, the verdict, and a report as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.dates as mdates
import numpy as np
from rich.table import Table

from deploy.rehearsal import charts
from deploy.rehearsal.past import STEP, Alert, Series, query
from deploy.rehearsal.replay import DAY
from repo.lib.files import write as write_file
from repo.lib.templates import template

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = Path("deploy/build/watched")
EXPECTED = {  # fault -> the alert that must tell it
    "shift": "ModelInputDrift",
    "category": "ModelInputBroken",
    "nulls": "ModelInputBroken",
    "swap": "ModelInputDrift",
    "collapse": "ModelPredictionShift",
    "slow": "ModelLatency",
    "labels": "ModelQuality",
}
FOLLOWS = "ModelQuality"  # where answers are worse, outcomes show it in the end: no false alarm
ON = "on (namespace, model, version, feature, window)"
MAIN = "and on (namespace, model, version, metric) ml:quality_main"
QUERIES = {
    "7d": f'ml:excess{{window="7d"}} / {ON} ml:drift_limit',
    "1d": f'ml:excess{{window="1d"}} / {ON} ml:drift_limit',
    "quality": f"ml:quality {MAIN}",
    "value": f"ml:quality_value {MAIN}",
    "spread": f"ml:quality_spread {MAIN}",
    "retrain": "ml:retrain",
}


@dataclass
class Watched:
    """Times are Unix seconds; the alerts are those of a Past, and grow while it goes."""

    model: str
    version: str
    fault: str | None
    first: int
    last: int
    alerts: Mapping[Any, Alert]
    planted: str = ""
    at: int = 0
    requests: int = 0
    refused: int = 0

    @property
    def begin(self) -> int:
        """Of a fault: the month's second day."""
        return self.first + DAY

    @property
    def fired(self) -> list[tuple[Alert, list[list[int]]]]:
        """Alerts that fired in the month, in the order in which they did, and when."""
        spans = [(each, [span for span in each.firing if span[1] >= self.first]) for each in self.alerts.values()]
        return sorted((each for each in spans if each[1]), key=lambda each: each[1][0][0])

    @property
    def title(self) -> str:
        month = datetime.fromtimestamp(self.first, UTC).strftime("%Y-%m")
        return f"{month} of {self.model} {self.version}" + (f", {self.planted}" if self.planted else "")

    def verdict(self) -> tuple[int, list[str]]:
        """Exit code, and sentences."""
        rows = [row for row in self.rows() if row[2] != "info"]
        lines = [f"{name} ({severity}){f' of {what}' if what else ''}, first {when}" for name, what, severity, when, *_ in rows]
        if not self.fault:
            return (1, lines) if rows else (0, [f"{self.title}: nothing to do"])
        wanted, names = EXPECTED[self.fault], {row[0] for row in rows}
        others = sorted(names - {wanted, FOLLOWS})
        if wanted in names and not others:
            return 1, [*lines, f"The planted fault {self.fault} is caught by {wanted} and no other."]
        also = f", and {', '.join(others)} fired" if others else ""
        return (1 if wanted in names else 2), [
            *lines,
            f"The planted fault {self.fault} is {'' if wanted in names else 'not '}caught by {wanted}{also}.",
        ]

    def rows(self) -> list[list[str]]:
        """Alert, what it is about, severity, when it fired first, and for how many hours in all."""
        found = []
        for alert, spans in self.fired:
            about = [alert.labels[key] for key in ("feature", "objective", "metric", "window") if key in alert.labels]
            hours = sum(end - start + STEP for start, end in spans) / 3600
            severity = alert.labels.get("severity", "")
            found.append([alert.name, " ".join(about), severity, shown(spans[0][0]), f"{hours:,.0f}"])
        return found

    def table(self) -> Table:
        """What the rules say by now."""
        grid = Table(box=None, pad_edge=False, title=self.line(), title_justify="left")
        for head in ("alert", "of", "severity", "first", "hours"):
            grid.add_column(head)
        for row in self.rows():
            grid.add_row(*row)
        return grid

    def line(self) -> str:
        fires = len({(row[0], row[1]) for row in self.rows() if row[2] != "info"})
        return f"{shown(self.at)}  {self.requests:,} requests, {self.refused:,} refused  {fires} alerts fired"


def write(done: Watched, address: str, folder: Path | None) -> Path:
    """One HTML file, by what the Prometheus at `address` has recorded."""
    found = {name: query(address, text, done.first, done.last) for name, text in QUERIES.items()}
    features = {window: {labels["feature"]: _floats(values) for labels, values in found[window]} for window in ("1d", "7d")}
    names = sorted(set(features["7d"]) | set(features["1d"]) - {"(answer)"})
    drift = [[name, *(_worst(features[window].get(name)) for window in ("1d", "7d"))] for name in names]
    panels: dict[str, tuple[Any, Any]] = {
        "Alerts over time": (_timeline, done),
        "Drift of seven days, in times of each feature's limit": (_drift, (done, features["7d"])),
        "Answers, in times of their limits": (_answers, (done, features)),
        "Quality by outcomes of seven days, against the passport": (_quality, (done, found)),
    }
    drawn = {title: charts.drawn(panel, subject, (6.4, 3.4)) for title, (panel, subject) in panels.items()}
    asks = sorted({(labels["cause"], labels.get("feature", ""), shown(values[0][0])) for labels, values in found["retrain"]})
    code, lines = done.verdict()
    page = template(Path(__file__).with_name("watched.html.jinja")).render(
        done=done, code=code, lines=lines, rows=done.rows(), drift=drift, charts=drawn, asks=asks
    )
    path = (folder or FOLDER / f"{done.model}-{done.fault or 'clean'}") / "report.html"
    write_file(path, page)
    return path


def shown(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _floats(values: Sequence[tuple[int, str]]) -> tuple[Any, Any]:
    """Days since the epoch, and values."""
    return np.array([at for at, _ in values]) / (24 * 3600), np.array([float(value) for _, value in values])


def _worst(found: tuple[Any, Any] | None) -> str:
    """`1.3 times, above on 4 days`."""
    if found is None:
        return "no limit"
    days = len(set(found[0][found[1] > 1].astype(int)))
    return f"{max(found[1].max(), 0):.2g}" + (f", above it on {days} days" if days else "")


def _dates(axes: Axes, done: Watched) -> None:
    axes.set_xlim(done.first / 86_400, done.last / 86_400)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    if done.fault:
        axes.axvline(done.begin / 86_400, color="black", linestyle=":", linewidth=1)


def _timeline(axes: Axes, done: Watched) -> None:
    colours = {"page": "#b5352c", "ticket": "#d9822b", "info": "#9aa5b1"}
    fired = done.fired[::-1]
    for place, (alert, spans) in enumerate(fired):
        bars = [(start / 86_400, (end - start + STEP) / 86_400) for start, end in spans]
        axes.broken_barh(bars, (place - 0.3, 0.6), color=colours.get(alert.labels.get("severity", ""), "#3b6ea5"))
    names = [f"{row[0].removeprefix('Model')} {row[1]}" for row in done.rows()[::-1]]
    axes.set_yticks(range(len(names)), names, size=7, parse_math=False)
    _dates(axes, done)


def _drift(axes: Axes, subject: tuple[Watched, dict[str, tuple[Any, Any]]]) -> None:
    done, features = subject
    worst = sorted(features, key=lambda name: -features[name][1].max())
    for name in worst:
        if name != "(answer)":
            axes.plot(*features[name], linewidth=1.2, label=name)
    axes.axhline(1, color="black", linestyle="--", linewidth=1)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _dates(axes, done)


def _answers(axes: Axes, subject: tuple[Watched, dict[str, dict[str, tuple[Any, Any]]]]) -> None:
    done, features = subject
    for window, found in features.items():
        if "(answer)" in found:
            axes.plot(*found["(answer)"], linewidth=1.2, label=f"windows of {window}")
    axes.axhline(1, color="black", linestyle="--", linewidth=1)
    axes.legend(frameon=False, fontsize=7)
    _dates(axes, done)


def _quality(axes: Axes, subject: tuple[Watched, dict[str, Series]]) -> None:
    done, found = subject
    for labels, values in found["quality"]:
        axes.plot(*_floats(values), color=charts.COLOURS["champion"], label=labels["metric"])
    for (_, values), (_, spreads) in zip(found["value"], found["spread"], strict=False):
        value, spread = float(values[-1][1]), float(spreads[-1][1])
        axes.axhspan(value - spread, value + spread, color=charts.COLOURS["candidate"], alpha=0.3, label="passport")
    axes.legend(frameon=False, fontsize=7)
    _dates(axes, done)
