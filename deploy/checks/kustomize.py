"""What kustomize makes of a folder: the objects that Argo CD would apply."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from repo.lib.files import LOADER
from repo.lib.refusal import Refusal

INSTALL = (
    "install kubectl 1.27 or newer (`curl -LO https://dl.k8s.io/release/v1.32.4/bin/linux/amd64/kubectl`, made "
    "executable on PATH) or kustomize 5"
)

LOOSE = ("--load-restrictor", "LoadRestrictionsNone")  # deploy/argocd/policies reads fork.yaml, which is beside it


def parse(rendered: str) -> list[dict[str, Any]]:
    """The objects of a rendering."""
    return [each for each in yaml.load_all(rendered, Loader=LOADER) if each is not None]


def text(folder: Path) -> str:
    """The YAML of a kustomization's objects; Refusal where kustomize refuses it, or nothing can render."""
    brief = {"GOGC": "800", **os.environ}  # it lives for a moment: without collections it takes a quarter less CPU
    beside = LOOSE if folder.name.startswith("policies") else ()
    done = subprocess.run([*renderer(), *beside, str(folder)], env=brief, capture_output=True, text=True, check=False)
    if done.returncode:
        way = r'^(?:.*"command failed" err="?|[Ee]rror: )(?:.*recursed accumulation of path )?'  # to what is wrong
        reason = re.sub(way, "", " ".join(done.stderr.split())).rstrip('"')
        raise Refusal(f"{folder}: kustomize cannot render it ({reason}); fix the file that it names.")
    return done.stdout


def renderer() -> tuple[str, ...]:
    """The command that renders a folder, of which PATH has one; Refusal names what to install."""
    found = []
    for name, oldest, command in (("kubectl", (1, 27), ("kustomize",)), ("kustomize", (5, 0), ("build",))):
        if (tool := shutil.which(name)) is None:
            continue
        if (version := _version(tool, name)) >= oldest:
            return (tool, *command)
        number = ".".join(str(each) for each in version) or "of an unknown version"
        found.append(f"{name} {number} is too old to render components and replacements")
    raise Refusal(f"{' and '.join(found) or 'nothing on PATH renders manifests'}; {INSTALL}.")


@cache
def _version(tool: str, name: str) -> tuple[int, ...]:
    """Major and minor, as the tool prints them, or nothing. The path `tool` is part of what is cached."""
    arguments = ("version", "--client", "-o", "json") if name == "kubectl" else ("version",)
    printed = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False).stdout
    numbers = re.search(r'(?:"gitVersion": "|^\W*|kustomize/)v(\d+)\.(\d+)', printed)
    return tuple(int(each) for each in numbers.groups()) if numbers else ()
