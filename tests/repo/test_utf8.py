"""A terminal, a log or a locale that is not UTF-8 ends no verb, and changes nothing of what it reads."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repo.lib.change import GROUND
from tests.support.process import run

# ASCII as an 8-bit locale: Python would take C for UTF-8 if these two did not say otherwise.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
TEXT = "ü ▁▂ 価格"
# A stage whose verb reads a file and what another program prints, prints both, and starts Python as verbs do.
STAGE = f"""
import subprocess, sys
from pathlib import Path
from repo.lib import command
def main(_):
    read = Path("text").read_text()
    asked = subprocess.run(["cat", "text"], capture_output=True, text=True).stdout
    here = subprocess.run([sys.executable, "-c", "print(open('text').read())"], capture_output=True, text=True).stdout
    assert read == asked == here.strip() == {TEXT!a}
    Path("copy").write_text(read)
    print(read)
    print(read, file=sys.stderr)
    return 0
if __name__ == "__main__":
    command.use_utf8()
    sys.modules["stage.verb"] = sys.modules["__main__"]
    sys.exit(command.run("stage", [command.Verb("verb", "")]))
"""


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A root whose only verb is `python -m stage verb`."""
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage/__main__.py").write_text(STAGE)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "text").write_text(TEXT)
    return tmp_path


@pytest.fixture
def german(tmp_path: Path) -> dict[str, str]:
    """A locale of eight bits, made for the test."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/de_DE").exists():
        pytest.skip("no locales to choose from; apt-get install locales")
    name, folder = "de_DE.ISO-8859-1", tmp_path
    subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / name)], check=True)
    return {"LOCPATH": str(folder), "LC_ALL": name, "PYTHONUTF8": "0"}


PATHS = {"PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)}


def ask(stage: Path, environment: dict[str, str], *options: str, **output: int) -> tuple[bytes, bytes]:
    """What it prints, on both streams; what it read is in the copy."""
    command = [sys.executable, *options, "-m", "stage", "verb"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | output
    done = subprocess.run(command, cwd=stage, env=os.environ | PATHS | environment, check=False, **pipes)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr.decode()
    assert (stage / "copy").read_bytes() == TEXT.encode()
    return done.stdout, done.stderr


@pytest.mark.parametrize("environment", [ASCII, {"LC_ALL": "C"}])
def test_a_log_is_utf8_whatever_the_locale(stage: Path, environment: dict[str, str]) -> None:
    assert ask(stage, environment) == (f"{TEXT}\n".encode(), f"{TEXT}\n".encode())


def test_a_log_of_a_chosen_encoding_shows_what_it_can(stage: Path) -> None:
    shown = "ü ?? ??\n".encode("latin-1")
    assert ask(stage, LATIN) == (shown, shown)


def test_whoever_switches_the_mode_of_utf8_off_for_this_process_ends_in_no_loop(stage: Path) -> None:
    assert ask(stage, {}, "-X", "utf8=0")[0] == f"{TEXT}\n".encode()


def test_a_terminal_gets_the_letters_of_its_locale_and_a_log_those_of_utf8(stage: Path, german: dict[str, str]) -> None:
    assert ask(stage, german)[0] == f"{TEXT}\n".encode()
    ours, its = pty.openpty()
    ask(stage, german, stdout=its)
    os.close(its)
    assert os.read(ours, 100).decode("latin-1").split() == ["ü", "??", "??"]
    os.close(ours)


@pytest.mark.parametrize("stage_name", GROUND)
def test_every_stage_starts_so(stage_name: str, tmp_path: Path) -> None:
    note = "import atexit, sys\natexit.register(lambda: print(sys.flags.utf8_mode, sys.stdout.errors))\n"
    (tmp_path / "sitecustomize.py").write_text(note)
    answer = run(stage_name, "--help", root=Path(), **ASCII, PYTHONPATH=str(tmp_path))
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "1 replace")
