"""Whether a script's commands are there: verbs with their arguments, targets of make, modules and paths."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repo.lib import command
from repo.lib.command import Verb
from tests.support.repository import ROOT, git

STAGES = ("repo", "data_schemas", "models", "serving", "deploy")
PATH = re.compile(r"\.?[\w-][\w.-]*(/[\w.*-]+)+/?")
ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>&1", "(", ")", "then", "else", "do", "done", "fi", "if", "!"}


def commands(script: str) -> Iterator[str]:
    """What of a script is not there, one sentence each."""
    for words in _words(script):
        match words:
            case ["python" | ".venv/bin/python", "-m", stage, *arguments] if stage in STAGES:
                yield from _verb(stage, arguments)
            case ["python" | ".venv/bin/python", "-m", module, *_] if importlib.util.find_spec(module) is None:
                yield f"python -m {module} is not a module of the environment"
            case ["make", *targets]:
                yield from _targets(targets)
        yield from (f"{word} is not a path of the repository, nor one that verbs make" for word in words if _lost(word))


def _words(script: str) -> Iterator[list[str]]:
    """The simple commands of a script; what `$( )` and `if` contain is a command of its own."""
    joined = re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", script.replace("\\\n", " "))  # ${NAME:+what is there if NAME is}
    for line in re.sub(r'"?\$\(|\)"?|`', "\n", joined).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in [*_lexed(lexer), ";"]:
            if word in ENDS:
                if words:
                    yield words
                words = []
            elif words or not re.fullmatch(r"[A-Za-z_]\w*=.*", word):
                words.append(word)


def _lexed(lexer: shlex.shlex) -> list[str]:
    try:
        return list(lexer)
    except ValueError:  # a quotation that spans lines; shellcheck tells whether it ends
        return []


def _verb(stage: str, arguments: list[str]) -> Iterator[str]:
    verbs = importlib.import_module(f"{stage}.__main__").VERBS
    told = f"python -m {stage} {' '.join(arguments)}"
    try:
        options = _parser(stage, verbs, arguments).parse_args(arguments)
    except (argparse.ArgumentError, SystemExit) as error:
        yield f"`{told}` is not a command: {error}"
        return
    if not Path(stage, f"{options.verb}.py").is_file():
        yield f"`{told}`: {stage}/{options.verb}.py is missing"


def _parser(stage: str, verbs: list[Verb], arguments: list[str]) -> argparse.ArgumentParser:
    """The stage's own; where a value is a variable, any is right: which one it is shows only when it runs."""
    if any("$" in argument for argument in arguments):
        verbs = [Verb(verb.name, verb.summary, [(flag, _free(of)) for flag, of in verb.arguments]) for verb in verbs]
    return command.parser(stage, verbs)


def _free(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("choices", "type")}


def _targets(words: list[str]) -> Iterator[str]:
    makefile = Path("Makefile").read_text()
    for target in (word for word in words if not word.startswith("-") and "=" not in word):
        if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
            yield f"make {target} is not a target of the Makefile"


def _lost(word: str) -> bool:
    """A path that is neither there nor one of those that Git ignores, which are what verbs and tools make."""
    if not PATH.fullmatch(word) or any(ROOT.glob(word)):
        return False
    try:
        git("check-ignore", "--quiet", word, root=ROOT)
    except subprocess.CalledProcessError:
        return True
    return False
