"""A stand-in for GitHub's `gh`: it notes what it is asked in gh.calls and keeps the last text in body.

It answers `pr list` with what the files open and all hold, and fails with the text of the variable FAIL.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import first_on_path, program

SCRIPT = """\
echo "$@" >> {folder}/gh.calls
[ "$FAIL" ] && echo "$FAIL" >&2 && exit 1
case "$*" in
"pr list "*--state=all*) cat {folder}/all ;;
"pr list "*) cat {folder}/open ;;
"pr create "* | "pr edit "*) cat > {folder}/body; echo https://example.org/pull/7 ;;
esac"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it first on PATH; nothing of a runner or a person's login stays in the environment."""
    import os

    for name in [name for name in os.environ if name.startswith(("GH_", "GITHUB_", "DISPATCH"))]:
        monkeypatch.delenv(name)
    program(folder, "gh", SCRIPT.format(folder=folder))
    for state in ("open", "all"):
        (folder / state).write_text("[]")
    monkeypatch.setenv("PATH", first_on_path(folder))
    return folder


def calls(folder: Path) -> list[str]:
    path = folder / "gh.calls"
    return path.read_text().splitlines() if path.exists() else []
