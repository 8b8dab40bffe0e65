"""How far rows lie from those that trained a model: bins of each feature, and PSI beyond what chance gives.

The population stability index (PSI) of a window is the sum over bins of (L - R) ln(L / R); R are the shares in training
and L those of the window. Of independent rows drawn from R it is distributed as chi-squared times (1/n + 1/N) (B.
Yurdakul, Statistical Properties of Population Stability Index, 2018), so what lies above its 99.9 % quantile is the
`excess`. Rows of one day are not independent: limits come from the windows that training itself has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_schemas.lib import bins, datasets
from models.lib import config
from models.lib.metrics import rounded
from models.lib.split import ByTime

Floats = NDArray[np.float64]
WINDOWS = {"1h": (1, 1), "1d": (24, 1), "7d": (24, 7)}  # each slides by so many hours, and is so many of them
HOURS = {window: step * many for window, (step, many) in WINDOWS.items()}
FLOOR, FACTOR = 0.05, 1.25  # of a limit: least value, and times the largest excess in training
PRIOR, LEAST = 5, 1e-4  # rows of training's shares that are added to a window; the least share in a ratio
QUANTILE = 0.999


@dataclass(frozen=True)
class Times:
    """Where rows lie in time, for each length of window."""

    known: NDArray[np.bool_]  # [rows], those that have a time
    units: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]  # (units that have rows, place in them of each row)
    silent: dict[str, str]  # length -> why there are no windows of it
    hours: int = 0  # from the first row to the last

    @classmethod
    def of(cls, model: config.Model, rows: pl.DataFrame) -> Times:
        """By the column of a split by time, else by the first date that the rows have."""
        column = time_column(model, rows)
        if column is None or rows[column].null_count() == rows.height:
            why = "the rows have no date" if column is None else f"no row has a {column}"
            return cls(np.zeros(rows.height, bool), {}, dict.fromkeys(WINDOWS, why))
        times = rows[column].drop_nulls()
        hours = times.dt.epoch("s").to_numpy() // 3600
        units, silent = {}, {}
        for window, (step, many) in WINDOWS.items():
            units[window] = np.unique(hours // step, return_inverse=True)
            if hours.max() // step - hours.min() // step + 1 < 3 * many:
                silent[window] = "the rows span less than three windows of this length"
        least = 1
        if times.dtype == pl.Date or (times.dt.truncate("1d") == times).all():
            silent["1h"], least = f"{column} has no time of day", 24
        return cls(rows[column].is_not_null().to_numpy(), units, silent, int(hours.max() - hours.min()) + least)

    def counts(self, found: NDArray[np.int64], size: int, window: str) -> NDArray[np.int64]:
        """Rows of each bin in every whole window that begins with a row [windows, size]; `found` are the codes."""
        starts, at = self.units[window]
        counted = np.bincount(at * size + found[self.known], minlength=len(starts) * size).reshape(-1, size)
        total, many = np.vstack([np.zeros(size, np.int64), counted.cumsum(axis=0)]), WINDOWS[window][1]
        ends = np.searchsorted(starts, starts + many)
        return np.asarray((total[ends] - total[:-1])[starts + many - 1 <= starts[-1]])

    def rows(self, window: str) -> Iterator[NDArray[np.int64]]:
        """Places of the rows of every whole window that begins with a row."""
        starts, at = self.units[window]
        many, known, unit = WINDOWS[window][1], np.flatnonzero(self.known), starts[at]
        for start in starts[starts + many - 1 <= starts[-1]]:
            yield known[(unit >= start) & (unit < start + many)]


def time_column(model: config.Model, rows: pl.DataFrame) -> str | None:
    """That of a split by time, else the first date that the rows have and that is about nobody."""
    hidden = datasets.personal(model.dataset)
    dates = [name for name, kind in rows.schema.items() if kind in (pl.Date, pl.Datetime) and name not in hidden]
    column = model.parts.column if isinstance(model.parts, ByTime) else next(iter(dates), None)
    return column if column in dates else None


def live(counts: Any, shares: Any) -> Floats:
    """Shares of the bins [..., bins], near those of training where a window has few rows."""
    return np.asarray((counts + PRIOR * np.asarray(shares)) / (counts.sum(axis=-1, keepdims=True) + PRIOR))


def excess(counts: Any, shares: Any, rows: int, chi2: float) -> Floats:
    """PSI of windows with `counts` [..., bins] (none of them empty) beyond chance, against `shares` of `rows` rows."""
    found, shares = live(counts, shares), np.asarray(shares)
    psi = ((found - shares) * np.log(found / np.maximum(shares, LEAST))).sum(axis=-1)
    return np.asarray(psi - chi2 * (1 / counts.sum(axis=-1) + 1 / rows))


def reference(found: NDArray[np.int64], size: int, unknown: int, times: Times) -> dict[str, Any]:
    """What windows are measured against: `shares`, `chi2`, and `limits` by length, or why there is none in `silent`.

    The last `unknown` ones of the `size` bins are of null and other names; `broken` is the share of rows in them from
    which a feature is so, None where a day of training may have no others.
    """
    from scipy.stats import chi2

    rows, quantile = len(found), rounded(chi2.ppf(QUANTILE, max(size - 1, 1)))
    shares = [rounded((count + 0.5) / (rows + size / 2)) for count in np.bincount(found, minlength=size)]
    limits, silent = dict[str, float | None](), dict(times.silent)
    for window, (_, many) in WINDOWS.items():
        limits[window] = None
        if window in silent:
            continue
        counts = times.counts(found, size, window)
        half, one_bin = len(counts) // 2, np.eye(size)[: size - unknown] * np.median(counts.sum(axis=1))
        earlier, later = counts[: max(1, half - many + 1)].sum(axis=0), counts[half:].sum(axis=0)
        far, most = (float(excess(each, shares, rows, quantile).max()) for each in (counts, one_bin))
        limit = rounded(max(FLOOR, FACTOR * far))
        if 2 * later[earlier == 0].sum() > later.sum():
            silent[window] = "windows do not repeat: most of training's later half is in bins that the earlier lacks"
        elif limit >= most:
            silent[window] = "training's windows are so far from the whole, or so small, that no value exceeds them"
        else:
            limits[window] = limit
    days = live(times.counts(found, size, "1d"), shares) if times.units else np.ones((1, size))
    broken = max(FLOOR, FACTOR * float(days[:, size - unknown :].sum(axis=1).max()))
    known = {"shares": shares, "chi2": quantile, "limits": limits, "silent": silent}
    return known | {"broken": rounded(broken) if unknown and broken < 1 else None}


def profile(model: config.Model, rows: pl.DataFrame) -> dict[str, Any]:
    """profile.json of the training rows, but for features that the schema marks as personal."""
    hidden, times = datasets.personal(model.dataset), Times.of(model, rows)
    features = {}
    for name in [name for name in model.features if name not in hidden]:
        chosen = bins.choose(rows[name])
        found = bins.places(rows[name], chosen)
        unknown = bins.unknown(rows[name])
        features[name] = {"bins": chosen, "last": unknown} | reference(found, len(chosen) + 2, unknown, times)
    return {"rows": rows.height, "features": features}
