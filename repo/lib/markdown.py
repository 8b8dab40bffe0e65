"""Markdown for pull requests that no content can break."""

import re

ACTIVE = re.compile(r"[\\`*_{}\[\]<>()#!|~$&@^:]")


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Its lines and an empty one; a pipe or a line break in a cell would end it."""
    clean = [[re.sub(r"(\\*)\|", r"\1\1\\|", cell).replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *clean]] + [""]


def plain(text: str) -> str:
    """Text that is shown as it stands, a pattern for instance."""
    return ACTIVE.sub(lambda found: f"&#{ord(found[0])};", text)


def fenced(language: str, text: str) -> list[str]:
    """A block of code, in a fence that is longer than any in the text."""
    longest = max((len(found) for found in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return [f"{fence}{language}", text, fence]
