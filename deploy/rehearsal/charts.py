"""The charts of a rehearsal's report, as inline SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from deploy.rehearsal.record import Rehearsal
from deploy.rehearsal.screen import counts, share, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"champion": "#3b6ea5", "candidate": "#d9822b"}
SHOWN = 16  # characters of a name
# Text stays text: a tenth of the size, and it can be searched and read aloud.
STYLE: Any = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw(rehearsal: Rehearsal) -> dict[str, Markup]:
    """Title -> SVG; nothing where the rehearsal ended before its first look."""
    panels = {
        "Errors, cumulative (what only the client saw included)": _errors,
        "Latency as the client saw it": _latency,
        f"{rehearsal.answer['field'].capitalize()} by bin": _answers,
        "The judge: share of the way to abort": _evidence,
        "Weight of the candidate": _weights,
    }
    return {title: drawn(panel, rehearsal) for title, panel in panels.items() if rehearsal.ticks}


def drawn(panel: Callable[[Axes, Any], None], subject: Any, size: tuple[float, float] = (5.2, 3.0)) -> Markup:
    """What `panel` draws of a subject, as SVG; the size is in inches."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a name that only the reader's fonts have
        figure = Figure(figsize=size, layout="constrained")
        panel(figure.add_subplot(), subject)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 (drawn here; matplotlib escapes text)


def _weights(axes: Axes, rehearsal: Rehearsal) -> None:
    times = [tick.at for tick in rehearsal.ticks]
    axes.step(times, [tick.weight for tick in rehearsal.ticks], where="mid", color=COLOURS["candidate"])
    axes.set(xlabel="seconds", ylabel="% of requests", ylim=(0, 100))


def _evidence(axes: Axes, rehearsal: Rehearsal) -> None:
    for name in (each.name for each in rehearsal.ticks[-1].results if not counts(each)):
        found = [(tick.at, share(each)) for tick in rehearsal.ticks for each in tick.results if each.name == name]
        times, shares = [at for at, _ in found], [100 * way for _, way in found]
        axes.plot(times, shares, label=title(name), linewidth=1.4)
    axes.axhline(100, color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="seconds", ylabel="%", ylim=(-3, 106))
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _errors(axes: Axes, rehearsal: Rehearsal) -> None:
    """A scrape that failed is drawn through."""
    times = np.array([0.0, *(tick.at for tick in rehearsal.ticks)])
    errors = {meter.arm.name: meter.counters().errors for meter in rehearsal.meters}
    for name, values in errors.items():
        seen = np.isfinite(values)
        axes.plot(times[seen], values[seen], label=name, color=COLOURS[name])
    most = max(1.0, *(1.1 * float(np.nanmax(values)) for values in errors.values()))
    axes.set(xlabel="seconds", ylim=(0, most))
    axes.legend(frameon=False)


def _latency(axes: Axes, rehearsal: Rehearsal) -> None:
    shares = np.linspace(0, 100, 201)
    for meter in rehearsal.meters:
        if meter.arm.milliseconds:
            quantiles = np.percentile(meter.arm.milliseconds, shares)
            axes.plot(quantiles, shares, label=meter.arm.name, color=COLOURS[meter.arm.name])
    axes.set(xlabel="ms", ylabel="% of answers within")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False)


def _answers(axes: Axes, rehearsal: Rehearsal) -> None:
    ticks = rehearsal.bins
    for place, meter in zip((-0.2, 0.2), rehearsal.meters, strict=True):
        share = 100 * meter.shares[: len(ticks)]
        axes.bar(np.arange(len(ticks)) + place, share, 0.4, label=meter.arm.name, color=COLOURS[meter.arm.name])
    shown = [tick if len(tick) <= SHOWN else f"{tick[: SHOWN - 1]}…" for tick in ticks]
    axes.set_xticks(range(len(ticks)), shown, rotation=30, ha="right", parse_math=False)  # a name may hold a $
    unit = f" [{rehearsal.answer['unit']}]" if rehearsal.answer["unit"] else ""
    axes.set(xlabel="label" if rehearsal.answer["names"] else f"from{unit}", ylabel="% of requests")
    axes.legend(frameon=False)
