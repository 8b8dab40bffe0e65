"""Which rows a drafted model learns from and is judged on: by months, by another unit of time, or by a hash."""

from __future__ import annotations

from typing import Any

from data_schemas.lib import datasets
from models.lib.draft import Column
from models.lib.split import UNITS
from repo.lib.refusal import Refusal

LEAST = 4  # units of time that make windows; fewer say nothing of tomorrow
TEST = 6  # one in so many units is judged, and one stops the training
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


def choose(dataset: str, found: dict[str, Column], target: str, wanted: str | None) -> tuple[dict[str, Any], list[str]]:
    """(`windows:` or `split:` of model.yaml, the columns that it reads and that can be no features)."""
    kind, _, rest = (wanted or "").partition(":")
    about = {name: column for name, column in found.items() if not column.metadata.get("personal")}
    dates = [name for name, column in about.items() if column.values.dtype.is_temporal()]
    keys = [name for name, column in found.items() if column.metadata.get("key")]
    named = rest.split(",") if rest or kind == "column" else []
    if lacking := [name for name in named if name not in found]:
        raise Refusal(f"--split: {lacking[0]!r} is not a column of {dataset}; write hash:customer_id or column:part.")
    if kind == "column":
        return {"split": {"by": "column", "column": rest}}, named
    if kind == "hash" or (kind == "" and not dates):
        key = named or keys
        whole = [name for name, column in found.items() if not column.nullable and name != target]
        return {"split": {"by": "hash", "key": key or whole, "shares": SHARES}}, key
    if kind not in ("", *UNITS):
        raise Refusal(f"--split: {wanted!r} is not month, week, day, hash:KEY or column:NAME; write one of them.")
    stored = datasets.parts(dataset)
    if kind in ("", "month") and len(stored) >= LEAST and stored != ["all"]:
        return {"windows": _windows(stored)}, dates
    if not dates:
        raise Refusal(f"--split: {dataset} has no date column, so there is no {kind}; take hash:KEY or column:NAME.")
    days = found[dates[0]].values.drop_nulls()
    for unit in [kind] if kind else reversed(UNITS):  # the largest first
        units = days.dt.strftime(UNITS[unit].written).unique().sort().to_list()
        if len(units) >= (LEAST if kind else 2 * LEAST):
            return {"split": {"by": "time", "column": dates[0], "unit": unit, **_windows(units)}}, dates
    raise Refusal(f"--split: {dates[0]!r} of {dataset} spans too little time to judge by; take hash:KEY.")


def _windows(units: list[str]) -> dict[str, dict[str, str]]:
    """The last units are judged, those before stop the training, and the rest is learnt from."""
    test = max(1, len(units) // TEST)
    parts = {"train": units[: -2 * test], "valid": units[-2 * test : -test], "test": units[-test:]}
    return {name: {"first": part[0], "last": part[-1]} for name, part in parts.items()}
