"""Move the windows of a model to the newest month of its data: `python -m models slide flight_delay`.

All three move by as many months, so that the model is trained and judged as before, only later. Of `model.yaml` only
the months change: comments, order and layout stay.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import yaml

from data_schemas.lib import datasets
from models.lib import config
from models.lib.config import Window, Windows
from repo.lib.files import LOADER, write
from repo.lib.refusal import Refusal

MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
LAYOUT = "windows: {train: {first: 2013-01, last: 2013-06}, valid: …, test: …}"  # in lines or in braces


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model, check_columns=False)
    newest = datasets.months(model.dataset)[-1]
    to, told = (options.to, f"--to {options.to}") if options.to else (newest, f"the newest month ({newest})")
    if not MONTH.fullmatch(to):
        raise Refusal(f"{told} is no month; write it as {newest}.")
    by = _months(model.windows.test.last, to)
    if by < 0:
        raise Refusal(
            f"{told} lies before {model.windows.test.last}, where the windows of {model.name} end; they only move "
            f"forward, so edit {model.folder}/model.yaml if that is wanted."
        )
    if by == 0:
        print(f"windows of {model.name} already end with {told.removeprefix('--to ')}")
        return 0
    windows = moved(model.windows, by)
    _demand(model, windows)
    path = model.folder / "model.yaml"
    write(path, edited(path, model, windows))
    print(f"windows of {model.name} move by {by} month{'s' if by > 1 else ''}:")
    for line in told_of(model.windows, windows):
        print(f"  {line}")
    return 0


def moved(windows: Windows, by: int) -> Windows:
    return Windows(
        **{
            name: Window(first=_later(window.first, by), last=_later(window.last, by))
            for name, window in _each(windows)
        }
    )


def told_of(old: Windows, new: Windows) -> list[str]:
    """Old -> new, a line each window."""
    return [f"{name}: {window} -> {getattr(new, name)}" for name, window in _each(old)]


def edited(path: Path, model: config.Model, windows: Windows) -> str:
    """The text of model.yaml with these windows; refused unless it reads as the same settings but for them."""
    text = path.read_bytes().decode()  # line ends as they are
    try:
        places = dict(_places(text, model.windows, windows))
        for (start, end), new in sorted(places.items(), reverse=True):
            text = text[:start] + new + text[end:]
        found = config.Model(name=model.name, **yaml.load(text, Loader=LOADER))  # noqa: S506 - both are safe loaders
    except (LookupError, ValueError, yaml.YAMLError):
        found = model
    if found != model.model_copy(update={"windows": windows}):
        raise Refusal(
            f"{path}: windows: has a layout that cannot be edited; write every month out, as in `{LAYOUT}`, or move "
            f"the windows by hand: {'; '.join(told_of(model.windows, windows))}."
        )
    return text


def _places(text: str, old: Windows, new: Windows) -> Iterator[tuple[tuple[int, int], str]]:
    """Where each month stands in the text, quotes included, and what comes there."""
    root = cast("yaml.Node", yaml.compose(text))  # the settings were read from it
    for name, window in _each(old):
        for limit in ("first", "last"):
            node = _at(root, "windows", name, limit)
            start, end = node.start_mark.index, node.end_mark.index
            stands, month = text[start:end], str(getattr(window, limit))
            if not re.fullmatch(rf"(['\"]?){month}\1", stands):
                raise ValueError(stands)
            yield (start, end), stands.replace(month, getattr(getattr(new, name), limit))


def _at(node: yaml.Node, *keys: str) -> yaml.Node:
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = {name.value: value for name, value in pairs}[key]
    return node


def _demand(model: config.Model, windows: Windows) -> None:
    """Every month of the windows is there."""
    there = datasets.months(model.dataset)
    for name, window in _each(windows):
        if lacking := [month for month in window.months() if month not in there]:
            raise Refusal(
                f"{model.dataset} has no month {lacking[0]}, which the {name} window of {model.name} would need "
                f"({window}); bring it with `python -m data_schemas ingest {model.dataset}`, or end earlier with --to."
            )


def _each(windows: Windows) -> Iterator[tuple[str, Window]]:
    for name in Windows.model_fields:
        yield name, getattr(windows, name)


def _months(first: str, last: str) -> int:
    """How many months `last` lies after `first`."""
    (year, month), (to_year, to_month) = (map(int, each.split("-")) for each in (first, last))
    return (to_year - year) * 12 + to_month - month


def _later(month: str, by: int) -> str:
    year, number = map(int, month.split("-"))
    years, number = divmod(number - 1 + by, 12)
    return f"{year + years:04d}-{number + 1:02d}"
