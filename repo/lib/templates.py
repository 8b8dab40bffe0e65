"""Texts from Jinja templates, in which a name that nobody gave is an error."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import jinja2

Filters = tuple[tuple[str, Callable[..., object]], ...]


def template(path: Path, **filters: Callable[..., object]) -> jinja2.Template:
    """The one at `path`, and what it includes beside it; in `….html.jinja` values are escaped."""
    return _environment(path.absolute().parent, tuple(filters.items())).get_template(path.name)


@lru_cache  # it keeps what it compiled, which takes longer than to render it
def _environment(folder: Path, filters: Filters) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= dict(filters)
    return environment
