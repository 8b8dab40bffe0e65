"""GitHub's expressions, as far as the workflows use them: `evaluate("needs.plan.result == 'success'", contexts)`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.github.workflows import EXPRESSION

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+(?:\.\d+)?)|([A-Za-z_][\w-]*)|(&&|\|\||==|!=|[!()\[\].,]))")
WORDS = {"true": True, "false": False, "null": None}
Thunk = Callable[[], Any]  # so that the right of `&&` is asked only where the left is true


def contains(whole: Any, part: Any) -> bool:
    return any(same(each, part) for each in whole) if isinstance(whole, list) else text(part) in text(whole)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "fromJSON": lambda value: json.loads(text(value)),
    "toJSON": lambda value: json.dumps(value, indent=2),
    "contains": contains,
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
    parser = _Parser(expression, contexts)
    thunk = parser.either()
    assert not parser.tokens, f"{expression}: {parser.tokens} is left over"
    return thunk()


def text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


def same(left: Any, right: Any) -> bool:
    """Texts whatever their case; other types as numbers, of which GitHub makes 0 from null and false."""
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if left is None or right is None:
        return left is right
    return bool(left == right)


class _Parser:
    def __init__(self, expression: str, contexts: Mapping[str, Any]) -> None:
        self.contexts = contexts
        self.tokens: list[str] = []
        place, expression = 0, expression.strip()
        while place < len(expression):
            found = TOKEN.match(expression, place)
            assert found, f"{expression}: nothing known at {expression[place:]!r}"
            self.tokens.append(found[0].strip())
            place = found.end()

    def take(self, *tokens: str) -> str | None:
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in tokens else None

    def either(self) -> Thunk:
        left = self.both()
        while self.take("||"):
            left = partial(_or, left, self.both())
        return left

    def both(self) -> Thunk:
        left = self.equal()
        while self.take("&&"):
            left = partial(_and, left, self.equal())
        return left

    def equal(self) -> Thunk:
        left = self.single()
        while sign := self.take("==", "!="):
            left = partial(_compare, left, self.single(), sign == "==")
        return left

    def single(self) -> Thunk:
        if self.take("!"):
            inner = self.single()
            return lambda: not inner()
        thunk = self.start()
        while sign := self.take(".", "["):
            key = partial(str, self.tokens.pop(0)) if sign == "." else self.either()
            assert sign == "." or self.take("]")
            thunk = partial(_member, thunk, key)
        return thunk

    def start(self) -> Thunk:
        token = self.tokens.pop(0)
        if token == "(":  # noqa: S105 - a bracket
            inner = self.either()
            assert self.take(")")
            return inner
        if token[0] == "'":
            return lambda: token[1:-1].replace("''", "'")
        if token in WORDS:
            return lambda: WORDS[token]
        if re.fullmatch(r"-?[\d.]+", token):
            return lambda: json.loads(token)
        return self.call(token) if self.take("(") else lambda: self.contexts[token]

    def call(self, name: str) -> Thunk:
        arguments: list[Thunk] = []
        while not self.take(")"):
            arguments.append(self.either())
            self.take(",")
        function = self.contexts.get(name) or FUNCTIONS[name]
        return lambda: function(*(argument() for argument in arguments))


def _or(left: Thunk, right: Thunk) -> Any:
    return left() or right()


def _and(left: Thunk, right: Thunk) -> Any:
    return left() and right()


def _compare(left: Thunk, right: Thunk, wanted: bool) -> bool:
    return same(left(), right()) is wanted


def _member(of: Thunk, key: Thunk) -> Any:
    """What is not there is null, and so is everything below it."""
    whole, name = of(), key()
    if isinstance(whole, list):
        return whole[name] if isinstance(name, int) and name < len(whole) else None
    return whole.get(name) if isinstance(whole, dict) else None
