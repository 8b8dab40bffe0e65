"""What a watched span showed: a live table, the verdict, and a report as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import dates
from rich.table import Table

from deploy.rehearsal import charts
from deploy.rehearsal.past import STEP, Alert, Series, query
from deploy.rehearsal.replay import DAY
from repo.lib.files import write as write_file
from repo.lib.templates import template

EXPECTED = {  # fault -> the alert that must tell it
    **dict.fromkeys(("shift", "swap"), "ModelInputDrift"),
    **dict.fromkeys(("category", "nulls"), "ModelInputBroken"),
    **{"collapse": "ModelPredictionShift", "slow": "ModelLatency", "labels": "ModelQuality"},
}
FOLLOWS = "ModelQuality"  # of answers that are worse the outcomes tell in the end, too; of slow ones they do not
DRAWN = 8  # features with the most drift; there are ten colours
TIMES = "ml:excess / on (namespace, model, version, feature, window) ml:drift_limit"
MAIN = "and on (namespace, model, version, metric) ml:quality_main"
QUERIES = {name: f"{name} {MAIN}" for name in ("ml:quality", "ml:quality_value", "ml:quality_spread")}
QUERIES |= {"drift": TIMES, "retrain": "ml:retrain"}
SAME = "on (namespace, model, version, metric)"
QUERIES["limit"] = (
    f"ml:quality_value - {SAME} (ml:quality_value - {SAME} ml:quality) / {SAME} ml:quality_fall"  # its line
)


@dataclass
class Watched:
    """Times are Unix seconds; the alerts are those of a Past, and grow while it goes on."""

    model: str
    version: str
    fault: str | None
    first: int
    last: int
    alerts: Mapping[Any, Alert]
    planted: str = ""
    features: frozenset[str] = frozenset()  # in which the fault is planted
    at: int = 0
    requests: int = 0
    refused: int = 0

    @property
    def begin(self) -> int:
        """Of a fault: the second day."""
        return self.first + DAY

    @property
    def title(self) -> str:
        planted = f", {self.planted} from {shown(self.begin)} on" if self.planted else ""
        return f"{self.model} {self.version} from {shown(self.first)} to {shown(self.last)}{planted}"

    def rows(self) -> list[dict[str, Any]]:
        """The alerts that fired from `first` on, in that order."""
        found = []
        for alert in self.alerts.values():
            if spans := [span for span in alert.firing if span[1] >= self.first]:
                about = [
                    alert.labels[key] for key in ("feature", "objective", "metric", "window") if key in alert.labels
                ]
                row = {"alert": alert.name, "of": " ".join(about), "severity": alert.labels.get("severity", "")}
                hours = sum(end - start + STEP for start, end in spans) // 3600
                row["feature"] = alert.labels.get("feature", "")
                found.append({**row, "first": shown(spans[0][0]), "hours": hours, "spans": spans})
        return sorted(found, key=lambda row: row["first"])

    def verdict(self) -> tuple[int, list[str]]:
        """Exit code and sentences: 0 nothing to do, 1 an alert asks for work, 2 the planted fault was not caught."""
        rows = [row for row in self.rows() if row["severity"] != "info"]
        lines = [
            f"{row['alert']} ({row['severity']}) of {row['of'] or self.model}, first {row['first']}" for row in rows
        ]
        if not self.fault:
            return (1, lines) if rows else (0, [f"{self.model}: nothing to do"])
        wanted, new = EXPECTED[self.fault], [row for row in rows if row["spans"][-1][0] >= self.begin]
        caught = [
            row for row in new if row["alert"] == wanted and row["feature"] in (self.features or {row["feature"]})
        ]
        others = [row for row in new if row not in caught]
        follow = [row for row in others if caught and row["alert"] == FOLLOWS and self.fault != "slow"]
        beyond = [row for row in others if row not in follow]
        by = _named(caught) or " of ".join([wanted, *sorted(self.features)[:1]])
        told = {
            f"The planted fault {self.fault} is {'' if caught else 'not '}caught by {by}": True,
            f"{_named(follow)} followed, as answers are worse": follow,
            f"{_named([row for row in rows if row not in new])} fired before it": len(new) < len(rows),
            f"{_named(beyond)} fired, too; whether of the data itself, the month without --fault tells": beyond,
            "no other fired": not beyond,
        }
        return (1 if caught else 2), [*lines, "; ".join(text for text, true in told.items() if true) + "."]

    def table(self) -> Table:
        """What the rules say by now."""
        heads = ("alert", "of", "severity", "first", "hours")
        grid = Table(*heads, box=None, pad_edge=False, title=self.line(), title_justify="left")
        for row in self.rows():
            grid.add_row(*(str(row[head]) for head in heads))
        return grid

    def line(self) -> str:
        names = dict.fromkeys(row["alert"] for row in self.rows() if row["severity"] != "info")
        fired = f"  fired: {', '.join(names)}" if names else ""
        return f"{shown(self.at)}  {self.requests:,} requests, {self.refused:,} refused{fired}"


def _named(rows: list[dict[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(" of ".join(filter(None, (row["alert"], row["feature"]))) for row in rows))


def shown(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def ask(done: Watched, address: str) -> dict[str, Series]:
    """What the Prometheus at an address has recorded of drift, quality and retraining."""
    return {name: query(address, text, done.first, done.last - STEP) for name, text in QUERIES.items()}


def write(done: Watched, found: dict[str, Series], folder: Path) -> Path:
    """The report: alerts over time, drift in times of each feature's own limit, answers, quality."""
    drift = {(labels["feature"], labels["window"]): values for labels, values in found["drift"]}
    most = {key: max(float(value) for _, value in values) for key, values in drift.items()}
    features = sorted({name for name, _ in drift}, key=lambda name: -most.get((name, "7d"), 0))
    value, spread = (
        [float(values[-1][1]) for _, values in found[f"ml:quality_{name}"]] for name in ("value", "spread")
    )
    band = [value[0] - spread[0], value[0] + spread[0]] if value else []
    panels = {
        "Drift of seven days": (
            [(name, drift[name, "7d"]) for name in features if (name, "7d") in drift][:DRAWN],
            [0, 1],
        ),
        "Answers": ([(window, values) for (name, window), values in drift.items() if name == "(answer)"], [0, 1]),
        "Quality": (
            [(labels["metric"], values) for labels, values in found["ml:quality"]]
            + [("ModelQuality fires", values) for _, values in found["limit"]],
            band,
        ),
    }
    drawn = {title: charts.drawn(_lines, (done, *panel), (6.4, 3.6)) for title, panel in panels.items()}
    asks = {
        " of ".join(filter(None, (labels["cause"], labels.get("feature")))): shown(values[0][0])
        for labels, values in found["retrain"]
    }
    given = {"done": done, "verdict": done.verdict(), "features": features, "most": most, "asks": asks, "charts": drawn}
    write_file(path := folder / "report.html", template(Path(__file__).with_name("watched.html.jinja")).render(given))
    return path


def _lines(axes: Any, subject: tuple[Watched, list[tuple[str, list[tuple[int, str]]]], list[float]]) -> None:
    """Lines over days; within the band, from and to, nothing is to do."""
    done, lines, band = subject
    for name, values in lines:
        axes.plot([at / DAY for at, _ in values], [float(value) for _, value in values], label=name, linewidth=1.2)
    if band:
        axes.axhspan(*band, color="grey", alpha=0.2)
    axes.set_xlim(done.first / DAY, done.last / DAY)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]
    if lines:
        axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
