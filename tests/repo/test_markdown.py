"""Markdown holds whatever is in a cell or a block."""

from __future__ import annotations

import re

import pytest

from repo.lib import markdown


@pytest.mark.parametrize("cell", ["a | b", "a \\| b", "a \\\\| b", "a\n| b"])
def test_a_cell_stays_one_cell(cell: str) -> None:
    head, line, row, end = markdown.table(["one", "two"], [[cell, "x"]])
    assert (head, line, end) == ("| one | two |", "| --- | --- |", "")
    # GitHub's: a backslash takes the character after it along.
    assert len(re.sub(r"\\.", "", row).split("|")) == 4
    assert "\n" not in row


def test_plain_text_has_no_character_that_markdown_knows() -> None:
    text = r"^[a-z]*_\d{2}$ | <b> `x` #1 @team https://example.org"
    shown = markdown.plain(text)
    assert not set("^[]*_\\{}$|<>`@:") & set(shown)
    assert re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), shown) == text


@pytest.mark.parametrize("text", ["a", "```", "+```diff\n+x\n+```", "`````\n```"])
def test_a_block_ends_where_it_ends(text: str) -> None:
    first, *inside, last = "\n".join(markdown.fenced("diff", text)).split("\n")
    assert first == f"{last}diff"
    assert set(last) == {"`"}
    assert not [line for line in inside if last in line]
