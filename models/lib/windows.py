"""The three windows of a model, moved together to the end of its data; of model.yaml only their limits change."""

from __future__ import annotations

import io
from datetime import date
from typing import TYPE_CHECKING, Any

from models.lib.split import PARTS, UNITS, Windows
from repo.lib.files import write
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    from models.lib import config
    from models.lib.split import Parts


def slide(model: config.Model, to: str | None = None) -> Parts:
    """Write the windows that end with `to` (default: the newest unit of the data), and return them.

    All move by as many units, so that the model is trained and judged as before, only later. Where model.yaml splits by
    a column or a hash nothing moves: new rows join the parts there are.
    """
    windows, path = model.parts, model.folder / "model.yaml"
    if not isinstance(windows, Windows):
        if to:
            raise Refusal(f"--to {to} moves windows, and {path} has none; leave it out.")
        return windows
    name, there = windows.test.unit, windows.there(model.dataset)
    newest = UNITS[name].name(there[-1]) if there else windows.test.last
    what = f"--to {to}" if to else f"the newest {name} ({newest})"
    if (end := UNITS[name].read(to or newest)) is None:
        raise Refusal(f"{what} is not a {name}; write it as {newest}.")
    by = end - windows.test.numbers[-1]
    if by < 0:
        raise Refusal(
            f"{what} lies before {windows.test.last}, where the windows of {model.name} end; they only move "
            f"forward, so edit {path} if that is wanted."
        )
    windows = windows.moved(by)
    if by and (lack := windows.lacking(there)):
        raise Refusal(
            f"{model.dataset} has no {name} {lack[1]}, which the {lack[0]} window of {model.name} would need "
            f"({windows.of(lack[0])}); bring it with `python -m data_schemas ingest {model.dataset}`, or end "
            "earlier with --to."
        )
    if by:
        edit(model, windows)
    return windows


def changes(old: Parts, new: Parts) -> list[str]:
    """Old -> new, a line each window."""
    return [f"{part}: {old.span(part)} -> {new.span(part)}" for part in PARTS]


def edit(model: config.Model, windows: Windows) -> None:
    """Write the limits into model.yaml: comments, order and quotes stay, and so does every other setting."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path, setting = model.folder / "model.yaml", windows.setting
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = path.read_bytes().decode()
    try:
        content: Any = yaml.load(text.replace("\r\n", "\n"))
        for part in PARTS:
            for limit in ("first", "last"):
                was, now = content[setting][part][limit], getattr(windows.of(part), limit)
                content[setting][part][limit] = date.fromisoformat(now) if isinstance(was, date) else type(was)(now)
        stream = io.StringIO()
        yaml.dump(content, stream)
        found = type(model)(name=model.name, **YAML(typ="safe").load(stream.getvalue()))
    except (LookupError, TypeError, ValueError, YAMLError):
        found = model
    if found != model.model_copy(update={setting: windows}):
        raise Refusal(
            f"{path}: {setting}: cannot be edited without changing more; move the windows by hand: "
            f"{'; '.join(changes(model.parts, windows))}."
        )
    edited = stream.getvalue()
    write(path, edited.replace("\n", "\r\n") if "\r\n" in text else edited)
