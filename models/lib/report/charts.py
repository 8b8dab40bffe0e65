"""The report's charts as inline SVG, the same bytes for the same figures."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LONGEST = 24  # letters of a name, or there is no room for the points
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


def draw(evaluation: dict[str, Any], comparison: dict[str, Any] | None = None) -> dict[str, Markup]:
    """Title -> SVG. `comparison` is that of compare.py, where there is a champion."""
    champion = {(each["column"], each["slice"]): each["champion"] for each in (comparison or {}).get("slices", [])}
    drawings: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
        "Reliability": _reliability,
        "ROC curve": _roc,
        "Scores by outcome": _histogram,
        "ROC AUC by slice": partial(_slices, champion=champion),
    }
    with matplotlib.rc_context(STYLE):
        return {title: _svg(drawing, evaluation, tall="slice" in title) for title, drawing in drawings.items()}


def _svg(drawing: Callable[[Axes, dict[str, Any]], None], evaluation: dict[str, Any], tall: bool) -> Markup:
    height = max(4.0, 0.22 * len(evaluation["slices"])) if tall else 4.0
    figure = Figure(figsize=(5.4, height), layout="constrained")
    drawing(figure.add_subplot(), evaluation)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(["Date", "Creator", "Format", "Type"]), transparent=True)
    return Markup(file.getvalue()[file.getvalue().index("<svg") :])  # noqa: S704 - drawn here; matplotlib escapes text


def _reliability(axes: Axes, evaluation: dict[str, Any]) -> None:
    bins = [each for each in evaluation["reliability"] if each["rows"]]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfect")
    axes.plot([each["score"] for each in bins], [each["outcome"] for each in bins], "o-", color=BLUE, label="model")
    for each in bins:
        axes.annotate(
            f"{each['rows']:,}", (each["score"], each["outcome"]), (4, -10), textcoords="offset points", size=7
        )
    axes.set(xlabel="mean score of the bin (rows beside the point)", ylabel="share positive", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)


def _roc(axes: Axes, evaluation: dict[str, Any]) -> None:
    curve, auc = evaluation["roc"], evaluation["metrics"]["roc_auc"]["value"]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axes.plot(curve["false_positive_rate"], curve["true_positive_rate"], color=BLUE, label=f"AUC {auc:.3f}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right")


def _histogram(axes: Axes, evaluation: dict[str, Any]) -> None:
    found = evaluation["histogram"]
    for outcome, colour in (("negative", BLUE), ("positive", ORANGE)):
        axes.stairs(found[outcome], found["edges"], fill=True, color=colour, alpha=0.55, label=outcome)
    axes.set(xlabel="score", ylabel="rows", xlim=(0, 1))
    axes.legend(frameon=False)


def _slices(axes: Axes, evaluation: dict[str, Any], champion: dict[tuple[str, str], float | None]) -> None:
    found = [each for each in evaluation["slices"] if each["roc_auc"]["value"] is not None][::-1]
    for place, each in enumerate(found):
        auc, large = each["roc_auc"], each["rows"] >= LARGE
        axes.plot([auc["low"], auc["high"]], [place, place], color=BLUE if large else GREY, linewidth=1.5)
        axes.plot(auc["value"], place, "o", color=BLUE if large else GREY, markersize=4)
    before = [(champion.get((each["column"], each["slice"])), place) for place, each in enumerate(found)]
    if points := [(auc, place) for auc, place in before if auc is not None]:
        axes.plot(*zip(*points, strict=True), "|", color=RED, markersize=8, markeredgewidth=1.5, label="champion")
    axes.axvline(evaluation["metrics"]["roc_auc"]["value"], color=ORANGE, linewidth=1, label="all rows")
    names = [f"{_short(each['column'])} {_short(each['slice'])} ({each['rows']:,})" for each in found]
    axes.set_yticks(range(len(found)), names, size=7)
    axes.set(xlabel=f"95 % intervals; grey: under {LARGE} rows", xlim=(0.4, 1))
    axes.legend(frameon=False, loc="lower right")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
