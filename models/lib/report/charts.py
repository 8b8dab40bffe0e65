"""The report's charts as inline SVG, the same bytes for the same figures."""

import io
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.lib import importance
from models.lib.tasks.task import Task

LONGEST = 24  # letters of a name, or there is no room for the points
ROOM = 12  # classes of which every cell is written
LARGE = 500  # rows from which an interval says something
BLUE, ORANGE, GREY, RED = "#2563eb", "#ea580c", "#9ca3af", "#be123c"
STYLE: Any = {
    "svg.hashsalt": "report",  # element ids, random otherwise
    "svg.fonttype": "none",  # text stays text: smaller, searchable, in the page's font
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
}


def draw(task: Task, evaluation: dict[str, Any], comparison: dict[str, Any] | None = None) -> dict[str, Markup]:
    """Title -> SVG: what evaluation.json lists under `charts`, and the slices. `comparison` is that of compare.py."""
    champion = {(each["column"], each["slice"]): each["champion"] for each in (comparison or {}).get("slices", [])}
    with matplotlib.rc_context(STYLE):
        found = {each["title"]: _svg(partial(_chart, chart=each)) for each in evaluation["charts"]}
        if evaluation["slices"]:
            slices = partial(_slices, task=task, evaluation=evaluation, champion=champion)
            found[f"{task.titles[task.main]} by slice"] = _svg(slices, max(4.0, 0.22 * len(evaluation["slices"])))
        importance = partial(_importance, task=task, found=evaluation["importance"])
        found["What each feature is worth"] = _svg(importance, max(4.0, 0.22 * len(evaluation["importance"])))
    return found


def _svg(drawing: Callable[[Axes], None], height: float = 4.0) -> Markup:
    figure = Figure(figsize=(5.4, height), layout="constrained")
    drawing(figure.add_subplot())
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(["Date", "Creator", "Format", "Type"]), transparent=True)
    return Markup(file.getvalue()[file.getvalue().index("<svg") :])  # noqa: S704 - drawn here; matplotlib escapes text


def _chart(axes: Axes, chart: dict[str, Any]) -> None:
    axes.set(xlabel=chart["axes"][0], ylabel=chart["axes"][1])
    {"lines": _lines, "steps": _steps, "matrix": _matrix}[chart["kind"]](axes, chart)


def _lines(axes: Axes, chart: dict[str, Any]) -> None:
    """The first series is what the others are read against."""
    for place, each in enumerate(chart["series"]):
        style = {"color": GREY, "linewidth": 1, "linestyle": "--"} if place == 0 else {"color": BLUE}
        noted = each.get("notes", [])
        axes.plot(each["x"], each["y"], marker="o" if noted else "", label=each["name"], **style)
        for x, y, note in zip(each["x"], each["y"], noted, strict=False):
            axes.annotate(note, (x, y), (4, -10), textcoords="offset points", size=7)
    if chart["limits"]:
        axes.set(xlim=chart["limits"], ylim=chart["limits"])
    axes.legend(frameon=False)


def _steps(axes: Axes, chart: dict[str, Any]) -> None:
    for each, colour in zip(chart["series"], (BLUE, ORANGE), strict=False):
        axes.stairs(each["y"], chart["edges"], fill=True, color=colour, alpha=0.55, label=each["name"])
    if len(chart["series"]) > 1:
        axes.legend(frameon=False)


def _matrix(axes: Axes, chart: dict[str, Any]) -> None:
    """Shares of each row; the rows themselves are written where there is room."""
    cells = np.array(chart["cells"], np.float64)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places, names = range(len(cells)), [_short(name) for name in chart["names"]]
    axes.set_xticks(places, names, size=7, rotation=90)
    axes.set_yticks(places, names, size=7)
    for row, column in product(places, places) if len(cells) <= ROOM else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{int(cells[row, column]):,}", size=7, color=colour, ha="center", va="center")


def _slices(axes: Axes, task: Task, evaluation: dict[str, Any], champion: dict[tuple[str, str], float | None]) -> None:
    metric = task.main
    found = [each for each in evaluation["slices"] if each[metric]["value"] is not None][::-1]
    names = [f"{_short(each['column'])} {_short(each['slice'])} ({each['rows']:,})" for each in found]
    _intervals(axes, names, [each[metric] for each in found], [each["rows"] >= LARGE for each in found])
    before = [(champion.get((each["column"], each["slice"])), place) for place, each in enumerate(found)]
    if points := [each for each in before if each[0] is not None]:
        axes.plot(*zip(*points, strict=True), "|", color=RED, markersize=8, markeredgewidth=1.5, label="champion")
    axes.axvline(evaluation["metrics"][metric]["value"], color=ORANGE, linewidth=1, label="all rows")
    axes.set_xlabel(f"95 % intervals; grey: under {LARGE} rows")
    axes.legend(frameon=False, loc="lower right")


def _importance(axes: Axes, task: Task, found: dict[str, Any]) -> None:
    known = sorted((name for name in found if found[name]["value"] is not None), key=lambda name: found[name]["value"])
    matter = importance.matters(found)
    _intervals(axes, [_short(name) for name in known], [found[name] for name in known], [n in matter for n in known])
    axes.axvline(0, color=ORANGE, linewidth=1)
    axes.set_xlabel(f"{task.titles[task.main]} worse by, once shuffled; grey: does not matter")


def _intervals(axes: Axes, names: list[str], found: list[dict[str, float]], strong: list[bool]) -> None:
    for place, (figure, blue) in enumerate(zip(found, strong, strict=True)):
        axes.plot([figure["low"], figure["high"]], [place, place], color=BLUE if blue else GREY, linewidth=1.5)
        axes.plot(figure["value"], place, "o", color=BLUE if blue else GREY, markersize=4)
    axes.set_yticks(range(len(names)), names, size=7)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
