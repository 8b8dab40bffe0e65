"""The stand-in for GitHub's expressions gives what GitHub documents."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from tests.github.expressions import evaluate, interpolate

CONTEXTS: dict[str, Any] = {
    "github": {"event_name": "push", "event": {"created": True, "before": "a"}},
    "plan": '{"models": [{"name": "one", "stages": ["train"]}], "code": false}',
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 == 1 && 'yes' || 'no'", "yes"),
        ("false && 'yes' || 'no'", "no"),
        ("github.event.pull_request.base.sha || 'main'", "main"),
        ("(!github.event.created && github.event.before) || 'main'", "main"),
        ("github.event_name == 'PUSH'", True),
        ("github.event_name != 'push'", False),
        ("fromJSON(plan).code", False),
        ("fromJSON(plan).models[0] != null", True),
        ("fromJSON(plan).models[1] != null", False),
        ("contains(fromJSON(plan).models[0].stages, 'train')", True),
        ("contains(fromJSON('[\"a\"]'), 'b')", False),
        ("contains('abc', 'b')", True),
        ("false && fromJSON('')", False),
        ("'it''s'", "it's"),
        ("format('{1}{0}', 'a', 'b')", "ba"),
    ],
)
def test_an_expression_has_its_documented_value(expression: str, value: object) -> None:
    assert evaluate(expression, CONTEXTS) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("${{ 1 }}", 1), ("a ${{ true }} ${{ null }}b", "a true b"), ("${{ 'a' }}${{ 'b' }}", "ab"), ("plain", "plain")],
)
def test_a_lone_expression_keeps_its_type_and_others_become_text(text: str, value: object) -> None:
    assert interpolate(text, CONTEXTS) == value


@pytest.mark.parametrize("expression", ["unknown.name", "unknown()", "1 1", "1 =~ 1"])
def test_what_it_does_not_know_is_an_error(expression: str) -> None:
    with pytest.raises(jinja2.TemplateError):
        evaluate(expression, CONTEXTS)
