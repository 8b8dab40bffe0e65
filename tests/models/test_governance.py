"""Owners, rules for data, and what people wrote: what is empty has a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.lib import config, governance, passport
from models.new import TEMPLATES
from repo.lib.refusal import Refusal
from tests.support import trees
from tests.support.specimens import DATASET, MODEL

EVERY = list(governance.SECTIONS)


def gaps(model: config.Model) -> list[str]:
    return governance.gaps(model.name, model.dataset, governance.record(model))


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("## Use\n\na\n\n## Limits\nb\n##  Ethics \nc\n\n## contact\nd", EVERY),
        ("## Use\n<!-- write\nhere -->\n\n## Limits\nb <!-- c -->\n", ["limits"]),
        ("## Use\na\n<!-- never closed\n## Limits\nb\n## Ethics\nc", ["use"]),
        ("Use: a\n### Limits\nb\n", []),
        ("\ufeff## Use\na\n## Users\nb\n## Colours\nc", ["use"]),
        ((TEMPLATES / "card.md").read_text(), []),
        (None, []),
    ],
)
def test_a_section_says_something_by_more_than_comments(
    tree: Path, model: config.Model, text: str | None, filled: list[str]
) -> None:
    path = tree / MODEL / "card.md"
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert governance.record(model)["card"] == filled
    assert gaps(model) == [f"{MODEL}/card.md: {name}" for name in EVERY if name not in filled]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"## Use\na\n## Ethic\nb", "the heading '## ethic' is none of its sections; did you mean ethics; "),
        (b"## Intended use\na", "the heading '## intended use' is none of its sections; did you mean use; "),
        (b"## Use\na\n## USE\nb", "the heading '## use' is there twice; "),
        (b"## Use\n\xfcber\n", "line 2 is not UTF-8; "),
    ],
)
def test_a_card_of_which_a_part_would_be_lost_is_refused(
    tree: Path, model: config.Model, content: bytes, words: str
) -> None:
    path = tree / MODEL / "card.md"
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(Refusal, match=f"{MODEL}/card.md: {words}"):
        governance.record(model)


def test_what_is_empty_is_named_by_file_and_field_and_what_is_filled_makes_another_version(
    tree: Path, model: config.Model
) -> None:
    assert gaps(model) == []
    before = passport.version(passport.content(model))
    trees.edit(tree / MODEL / "card.md", "Trip planning.", "Somebody else.")
    assert passport.version(passport.content(model)) != before, "a card that is filled in later is released"
    none = governance.gaps(model.name, model.dataset, {})  # of an earlier version
    assert none[:2] == [f"{MODEL}/model.yaml: owner", f"{DATASET}/schema.py: Config.metadata.owner"]
    assert len(none) == 10
    unowned = model.model_copy(update={"owner": "  "})
    assert gaps(unowned) == [f"{MODEL}/model.yaml: owner"]


def test_a_warning_is_one_line_which_github_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    governance.warn("run m", [])
    governance.warn("run m", ["models/m/model.yaml: owner", "models/m/card.md: use"])
    told = "models/m/model.yaml: owner; models/m/card.md: use."
    assert capsys.readouterr().out == f"::warning::run m: empty, and `promote --to production` refuses that: {told}\n"
