"""How a verb says no, and how it is ended."""

import difflib
import re
from collections.abc import Iterable

PASSWORD = re.compile(r"//[^/\s]*@")  # and name, in an address


def without_password(text: object) -> str:
    """The text, its addresses without the user and password before their host."""
    return PASSWORD.sub("//", str(text))


class Refusal(Exception):
    """One sentence: what is wrong, where, and what to do. Becomes exit code 2 without a traceback."""

    def __init__(self, sentence: object) -> None:
        super().__init__(without_password(sentence))


def meant(word: str, known: Iterable[str]) -> str:
    """The name that a typo is nearest to, as the end of a clause; empty where none is near."""
    near = difflib.get_close_matches(word.lower(), known, 1, 0.75)
    return f"; did you mean {near[0]}" if near else ""


class Ended(SystemExit):
    """By SIGTERM, or by SIGHUP when the terminal was closed: unlike a `sys.exit` in a team's file."""


def described(error: BaseException, personal: bool = False) -> str:
    """What a team's file brought up, in one line; its type alone where the message may hold what is `personal`."""
    kind = type(error).__name__
    return kind if personal else f"{kind}: {' '.join(without_password(error).split())[:300]}"
