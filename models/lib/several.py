"""A model over several windows: trained and tested again where it was not chosen, so that a lucky window shows.

`python -m models run flight_delay --windows 4` writes build/windows.json, which the report shows.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.lib import config
from models.lib.split import Windows
from models.lib.tasks import task
from repo.lib.command import working
from repo.lib.files import read_json, sha256, write_json
from repo.lib.refusal import Refusal

MOST = 20
KEYS = ("onnx", "windows", "left_out", "spread", "sentence")
SPREAD = {"min": "minimum", "mean": "mean", "max": "maximum", "deviation": "standard deviation"}


def demand(model: config.Model, count: int) -> None:
    """Refuse before anything is trained what cannot be done."""
    if not 2 <= count <= MOST:
        raise Refusal(f"--windows {count} is not 2 to {MOST}, the model's own included; choose such a number.")
    if not model.parts.others(1):
        raise Refusal(
            f"{model.folder}/model.yaml: split: a column divides the rows in one way only, and --windows needs others; "
            "split by time or by hash."
        )


def measure(model: config.Model, count: int, make: Callable[[config.Model], bytes]) -> None:
    """The model's own figures, and those of a model each that `make` trains on other rows; its ONNX file is returned.

    Nothing of the model is touched but build/windows.json.
    """
    own = read_json(model.build / "evaluation.json", f"python -m models run {model.name}", ("onnx", "metrics"))[
        "metrics"
    ]
    found = [_window(model, {name: figure["value"] for name, figure in own.items()})]
    left_out = []
    there = model.parts.there(model.dataset) if isinstance(model.parts, Windows) else ()
    main, title = task.of(model).main, task.of(model).titles[task.of(model).main]
    for place, parts in enumerate(model.parts.others(count - 1), 2):
        other = model.model_copy(update={parts.setting: parts})
        here = f"run {model.name}: window {place} of {count}, {other.span('test')}"
        try:
            if isinstance(parts, Windows) and (lack := parts.lacking(there)):
                raise Refusal(f"the data have no {lack[1]}, which its {lack[0]} window needs.")
            with working(f"training {model.name} on window {place} of {count} ({other.span('train')})"):
                found.append(_window(other, _figures(other, make(other))))
            print(f"{here}: {title} {_shown(found[-1]['metrics'][main])}", flush=True)
        except Refusal as why:
            left_out.append({"test": other.span("test"), "why": str(why)})
            print(f"{here}, is left out: {why}")
    spread = {name: _spread([each["metrics"][name] for each in found]) for name in task.of(model).metrics}
    record = {"onnx": sha256(model.onnx), "windows": found, "left_out": left_out, "spread": spread}
    record["sentence"] = sentence(model, own[main], record)
    write_json(_path(model), record)
    _print(model, record)


def recorded(model: config.Model) -> dict[str, Any] | None:
    """What was found of this very file and test window, where it was asked."""
    if not (_path(model).is_file() and model.onnx.is_file()):
        return None
    found: dict[str, Any] = read_json(_path(model), f"python -m models run {model.name} --windows 4", KEYS)
    same = found["onnx"] == sha256(model.onnx) and found["windows"][0]["test"] == model.span("test")
    return found if same else None


def sentence(model: config.Model, own: dict[str, Any], record: dict[str, Any]) -> str:
    """Whether the model's own figure, with its 95 % interval, is in line with those of the other windows."""
    name = task.of(model).main
    here = f"{task.of(model).titles[name]} {_shown(own['value'])} here"
    others = [each["metrics"][name] for each in record["windows"][1:] if each["metrics"][name] is not None]
    if own["value"] is None or not others:
        return f"{here}, and no other window to hold it against."
    word = "in line with the others"
    if own["low"] > max(others) or own["high"] < min(others):
        better = (own["value"] > max(others)) == (task.of(model).sign(name) > 0)
        word = "better than all others, so expect less" if better else "worse than all others"
    low, high = (_shown(record["spread"][name][key]) for key in ("min", "max"))
    return f"{here}; {low} to {high} over {len(record['windows'])} windows: {word}."


def table(model: config.Model, record: dict[str, Any] | None) -> tuple[list[str], list[list[str]]]:
    """Each metric by window, then its spread; no rows where nothing was asked."""
    behaviour = task.of(model)
    head = ["tested on", "trained on", *(behaviour.titles[name] for name in behaviour.metrics)]
    if record is None:
        return head, []
    rows = [
        [each["test"], each["train"], *(_shown(each["metrics"][name]) for name in behaviour.metrics)]
        for each in record["windows"]
    ]
    spread = record["spread"]
    rows += [[title, "", *(_shown(spread[name][key]) for name in behaviour.metrics)] for key, title in SPREAD.items()]
    return head, rows


def remarks(record: dict[str, Any] | None) -> list[str]:
    """Sentences below the table."""
    left_out = [f"{each['test']} is left out: {each['why']}" for each in record["left_out"]] if record else []
    return [record["sentence"], *left_out] if record else []


def _path(model: config.Model) -> Path:
    return model.build / "windows.json"


def _window(model: config.Model, figures: dict[str, float | None]) -> dict[str, Any]:
    return {"test": model.span("test"), "train": model.span("train"), "metrics": figures}


def _figures(model: config.Model, made: bytes) -> dict[str, float | None]:
    """Every metric of an ONNX file on the rows of the test part; None where it is undefined there."""
    import numpy as np

    from models.lib import metrics, samples, scoring

    behaviour, rows = task.of(model), samples.rows(model, "test")
    target = behaviour.target(rows)
    if why := behaviour.measurable(target):
        raise Refusal(f"it {why}.")
    values, once = scoring.scores(scoring.session(made), rows), np.ones((1, rows.height), np.float32)
    found = {name: float(metric(target, values, once)[0]) for name, metric in behaviour.metrics.items()}
    return {name: metrics.rounded(value) if np.isfinite(value) else None for name, value in found.items()}


def _spread(values: list[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if not known:
        return dict.fromkeys(SPREAD)
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return {"min": min(known), "mean": statistics.fmean(known), "max": max(known), "deviation": deviation}


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _print(model: config.Model, record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    head, rows = table(model, record)
    shown = Table(*head, title=f"{model.name}: several windows", title_justify="left")
    for row in rows:
        shown.add_row(*map(escape, row))
    Console().print(shown)
    for line in remarks(record):
        print(f"run {model.name}: {line}")
