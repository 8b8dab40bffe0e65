"""Configuration that changes nothing in what is rendered: each entry is taken out, and the rendering must differ.

Entries are those of kustomizations (resources, patches, components, namespace …), the operations of JSON6902 patches,
and the targets of replacements. What the base itself lists as a resource is left out: it is rendered.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.checks import rendering
from deploy.lib.release import Release
from deploy.lib.rules import Finding
from repo.lib.files import sha256, write
from repo.lib.refusal import Refusal

PROVEN = Path("deploy/build/alive")  # one empty file for each state of the manifests without a dead entry
BASE = Path("deploy/base/kustomization.yaml")
MEND = "remove it, or let it say what differs"


Texts = Sequence[tuple[Release, str]]  # specimens, and what each renders to


@dataclass(frozen=True)
class Entry:
    file: Path  # from the root
    thing: str  # in words
    without: str  # the file's text without it
    kind: str = ""  # of the objects that it changes, if it says


def findings(texts: Texts, tree: Path) -> list[Finding]:
    """Dead entries of the manifests in `tree`; `texts` are the specimens as rendered from it."""
    proof = PROVEN / _state(texts, tree)
    if proof.is_file():
        return []
    listed, releases = entries(tree), [release for release, _ in texts]
    # Where an object comes from is no difference, and costs kustomize a quarter more to tell.
    plain = list(zip(releases, rendering.texts(releases, tree, origins=""), strict=True))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        alive = list(pool.map(lambda entry: matters(entry, plain, tree), listed))
    found = [
        Finding(entry.file, entry.thing, "changes nothing in what is rendered", MEND)
        for entry, lives in zip(listed, alive, strict=True)
        if not lives
    ]
    if not found:
        write(proof, "")
    return found


def matters(entry: Entry, texts: Texts, tree: Path) -> bool:
    """Whether any specimen that reads the file renders to something else, or not at all, without the entry."""
    with rendering.copied(tree) as changed:
        (changed / entry.file).write_text(entry.without)
        for release, text in texts:
            if _reads(release, entry.file) and f"kind: {entry.kind}" in text:
                try:
                    if rendering.texts([release], changed, origins="") != [text]:
                        return True
                except Refusal:
                    return True  # something refers to it
    return False


def entries(tree: Path) -> list[Entry]:
    files = [path.relative_to(tree) for name in rendering.MANIFESTS for path in sorted((tree / name).rglob("*.yaml"))]
    found: list[Entry] = []
    for file in files:
        documents = list(yaml.safe_load_all((tree / file).read_bytes()))
        if len(documents) != 1:
            continue
        content = documents[0]
        if isinstance(content, list) and all(isinstance(each, dict) and "op" in each for each in content):
            found += _operations(file, content)
        elif isinstance(content, dict) and file.name == "kustomization.yaml":
            found += _kustomization(file, content)
        elif isinstance(content, dict) and content.get("kind") == "ReplacementTransformer":
            found += _replacements(file, content)
    return found


def _kustomization(file: Path, content: dict[str, Any]) -> Iterator[Entry]:
    for key, value in content.items():
        if key in ("apiVersion", "kind") or (file == BASE and key == "resources"):
            continue
        if not isinstance(value, list):
            yield _without(file, content, [key], key)
            continue
        for number, each in enumerate(value):
            inline = yaml.safe_load(each["patch"]) if key == "patches" and "patch" in each else None
            if not isinstance(inline, list):
                yield _without(file, content, [key, number], f"{key}[{number}]")
                continue
            for operation, step in enumerate(inline):
                rest = [*inline[:operation], *inline[operation + 1 :]]
                changed = copy.deepcopy(content)
                changed[key][number]["patch"] = yaml.safe_dump(rest)
                if not rest:
                    del changed[key][number]
                yield Entry(file, f"{key}[{number}]: {_said(step)}", yaml.safe_dump(changed))


def _operations(file: Path, content: list[dict[str, Any]]) -> Iterator[Entry]:
    for number, step in enumerate(content):
        if step["op"] != "test":
            yield _without(file, content, [number], _said(step))


def _replacements(file: Path, content: dict[str, Any]) -> Iterator[Entry]:
    for number, each in enumerate(content.get("replacements") or []):
        for target, select in enumerate(each.get("targets") or []):
            path: list[str | int] = ["replacements", number, "targets", target]
            chosen = select.get("select") or {}
            entry = _without(file, content, path, f"replacements[{number}].targets[{target}] ({chosen})")
            yield dataclasses.replace(entry, kind=str(chosen.get("kind", "")))


def _said(step: Mapping[str, Any]) -> str:
    return f"{step.get('op')} {step.get('path')}"


def _without(file: Path, content: Any, path: Sequence[str | int], thing: str) -> Entry:
    changed = copy.deepcopy(content)
    parent = changed
    for part in path[:-1]:
        parent = parent[part]
    del parent[path[-1]]
    return Entry(file, thing, yaml.safe_dump(changed))


def _reads(release: Release, file: Path) -> bool:
    """Whether a release can read a file at all, which saves renderings."""
    stage, name = file.parts[1:3]
    own = {"environments": release.environment, "strategies": release.passport.serving.strategy}
    return name == own.get(stage, name)


def _state(texts: Texts, tree: Path) -> str:
    """A hash of all that the answer follows from."""
    files = [path for name in rendering.MANIFESTS for path in (tree / name).rglob("*") if path.is_file()]
    parts = [sha256(Path(__file__)), *(text for _, text in texts)]
    parts += [f"{path.relative_to(tree)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
