"""GitHub's expressions, as far as the workflows use them: `evaluate("needs.plan.result == 'success'", contexts)`.

Jinja reads them, once a few signs are its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jinja2

from tests.github.workflows import EXPRESSION

SIGNS = {"&&": " and ", "||": " or ", "!": " not ", "null": "none"}
# A text, a name behind a point that has a hyphen, and the signs.
DIFFERENT = re.compile(r"'(?P<text>(?:[^']|'')*)'|\.(?P<name>\w+(?:-\w+)+)|&&|\|\||!(?!=)|\bnull\b")


class Text(str):
    """Equal to another whatever its case, as on GitHub."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __ne__(self, other: object) -> bool:
        return not self == other


class GitHub(jinja2.Environment):
    """What is not there is null, and so is everything below it; a name that nobody gave is an error."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, jinja2.Undefined):
            str(obj)  # raises
        try:
            return _known(obj[argument])
        except (LookupError, TypeError):
            return None


def _known(value: Any) -> Any:
    return Text(value) if isinstance(value, str) else value


def _contains(whole: Any, part: Any) -> bool:
    return any(_known(each) == part for each in whole) if isinstance(whole, list) else text(part) in text(whole)


JINJA = GitHub(undefined=jinja2.StrictUndefined)
JINJA.globals |= {
    "fromJSON": lambda value: json.loads(text(value)),
    "toJSON": lambda value: json.dumps(value, indent=2),
    "contains": _contains,
    "startsWith": lambda whole, part: text(whole).startswith(text(part)),
    "format": lambda pattern, *values: re.sub(r"\{(\d+)\}", lambda found: text(values[int(found[1])]), pattern),
}


def interpolate(value: str, contexts: Mapping[str, Any]) -> Any:
    """A text with its expressions filled in; one that is nothing but an expression keeps its type."""
    if (whole := EXPRESSION.fullmatch(value.strip())) and value.count("${{") == 1:
        return evaluate(whole[1], contexts)
    return EXPRESSION.sub(lambda found: text(evaluate(found[1], contexts)), value)


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    """Contexts by their name, and functions that know the state of the run."""
    return _compiled(expression)({name: _known(value) for name, value in contexts.items()})


@cache
def _compiled(expression: str) -> Callable[..., Any]:
    def own(found: re.Match[str]) -> str:
        if found["text"] is not None:
            return repr(found["text"].replace("''", "'"))
        return f"[{found['name']!r}]" if found["name"] else SIGNS[found[0]]

    assert not re.search(r"!(?!=)[^()&|]*[!=]=", expression), f"{expression}: Jinja would negate the comparison"
    return JINJA.compile_expression(DIFFERENT.sub(own, expression.strip()), undefined_to_none=False)


def text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
