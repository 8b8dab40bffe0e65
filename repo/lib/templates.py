"""Texts from Jinja templates, in which a name that nobody gave is an error."""

from collections.abc import Callable
from pathlib import Path

import jinja2


def template(path: Path, **filters: Callable[..., object]) -> jinja2.Template:
    """The one at `path`, and what it includes beside it; in `….html.jinja` values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)
