"""The three windows of a model, moved together to a later month of its data; of model.yaml only the months change."""

import io
import re
from collections.abc import Iterator
from typing import Any

from data_schemas.lib import datasets, months
from models.lib import config
from models.lib.config import Window, Windows
from repo.lib.files import write
from repo.lib.refusal import Refusal


def slide(model: config.Model, to: str | None = None) -> Windows:
    """Write the windows that end with `to` (default: the newest month of the data), and return them.

    All move by as many months, so that the model is trained and judged as before, only later.
    """
    newest = datasets.months(model.dataset)[-1]
    to, what = (to, f"--to {to}") if to else (newest, f"the newest month ({newest})")
    if not re.fullmatch(months.PATTERN, to):
        raise Refusal(f"{what} is not a month; write it as {newest}.")
    by = months.number(to) - months.number(model.windows.test.last)
    if by < 0:
        raise Refusal(
            f"{what} lies before {model.windows.test.last}, where the windows of {model.name} end; they only move "
            f"forward, so edit {model.folder}/model.yaml if that is wanted."
        )
    windows = moved(model.windows, by)
    if by:
        _demand(model, windows)
        edit(model, windows)
    return windows


def moved(windows: Windows, by: int) -> Windows:
    def later(month: str) -> str:
        return months.name(months.number(month) + by)

    return Windows(**{name: Window(first=later(each.first), last=later(each.last)) for name, each in _each(windows)})


def changes(old: Windows, new: Windows) -> list[str]:
    """Old -> new, a line each window."""
    return [f"{name}: {window} -> {getattr(new, name)}" for name, window in _each(old)]


def edit(model: config.Model, windows: Windows) -> None:
    """Write the months into model.yaml: comments, order and quotes stay, and so does every other setting."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = model.folder / "model.yaml"
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = path.read_bytes().decode()
    try:
        content: Any = yaml.load(text.replace("\r\n", "\n"))
        for name, window in _each(windows):
            for limit in ("first", "last"):
                was = content["windows"][name][limit]
                content["windows"][name][limit] = type(was)(getattr(window, limit))
        stream = io.StringIO()
        yaml.dump(content, stream)
        found = config.Model(name=model.name, **YAML(typ="safe").load(stream.getvalue()))
    except (LookupError, TypeError, ValueError, YAMLError):
        found = model
    if found != model.model_copy(update={"windows": windows}):
        raise Refusal(
            f"{path}: windows: cannot be edited without changing more; move the windows by hand: "
            f"{'; '.join(changes(model.windows, windows))}."
        )
    edited = stream.getvalue()
    write(path, edited.replace("\n", "\r\n") if "\r\n" in text else edited)


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
