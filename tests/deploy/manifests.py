"""Planting faults in a copy of the real manifests, and what the checks say of a specimen rendered from it."""

import dataclasses
import shutil
from contextlib import chdir
from functools import cache
from pathlib import Path

import pytest

from deploy.checks import catalog, check, kustomize, rendering
from deploy.checks.schemas import Schemas
from deploy.lib import kustomization, promise, release
from deploy.lib.release import Release
from deploy.lib.rules import Finding
from repo.lib.refusal import Refusal
from tests.support.process import program
from tests.support.repository import ROOT


def lacking() -> str | None:
    """Why this machine cannot render, with the command that fixes it."""
    try:
        kustomize.renderer()
    except Refusal as refusal:
        return str(refusal)
    return None


LACKING = lacking()
renders = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


@cache
def schema_folder() -> Path:
    """Where the repository has the schemas of custom kinds; it has few or none if it never was online."""
    with chdir(ROOT):
        found = catalog.find()
        if found.folder is None:
            for name in catalog.sums():
                group, file = name.split("/")
                found.schema(group, *file.removesuffix(".json").split("_"))  # downloads it once
        folder = (found.folder or catalog.CACHE / catalog.COMMIT[:12]).resolve()
    folder.mkdir(parents=True, exist_ok=True)  # core kinds are checked all the same
    return folder


@cache
def schemas() -> Schemas:
    """The schemas of this machine; a test that needs those of custom kinds is skipped where it has none."""
    return Schemas(catalog.Catalog(schema_folder()))


def need_schemas() -> None:
    if schemas().catalog.schema("argoproj.io", "Rollout", "v1alpha1") is None:
        why = next(iter(schemas().catalog.lacking.values()))
        pytest.skip(f"no schemas of custom kinds ({why}): go online once, or set SCHEMAS to a folder with them")


@cache
def specimen(environment: str, strategy: str) -> Release:
    """The specimen of a strategy."""
    found = [each for each in rendering.specimens() if each.environment == environment]
    return next(each for each in found if each.passport.serving.strategy == strategy)


def faults(of: Release, text: str | Finding, rules_only: bool = False) -> list[tuple[str, Finding]]:
    """What the checks say of a release that `rendered` to a text: the rule's name, if it is one, and the fault."""
    if isinstance(text, Finding):
        return [("", text)]
    parsed = rendering.parse(text, of)
    found = list(check.by_rule(parsed)) if rules_only else [("", each) for each in check.findings(parsed, schemas())]
    return [(rule, check.general(fault, parsed)) for rule, fault in found]


def rendered(of: Release, tree: Path) -> str | Finding:
    """The text of a release among the manifests of `tree`, or why there is none."""
    texts, refused = check.render_all([of], tree)
    return refused[0][1] if refused else texts[0][1]


def plant(tree: Path, file: str, old: str, new: str) -> None:
    text = (tree / file).read_text()
    assert old in text, f"{file} no longer has {old!r}"
    (tree / file).write_text(text.replace(old, new, 1))


def with_programs(folder: Path, **programs: str) -> str:
    """PATH with these shell scripts and nothing else that renders."""
    for name, script in programs.items():
        program(folder, name, script)
    (folder / "git").symlink_to(str(shutil.which("git")))
    (folder / "sh").symlink_to("/bin/sh")
    return str(folder)


def renamed(of: Release, model: str) -> Release:
    """The release, with the same promise, of a model of another name."""
    passport = of.files["passport.yaml"].replace(of.model.encode(), model.encode())
    named = dataclasses.replace(of, model=model, files={**of.files, "passport.yaml": passport})
    return kustomization.again(named, promise.of_release(of))


def releases(count: int) -> list[Release]:
    """So many releases of half as many models, in all strategies."""
    numbers = range(count // len(release.ENVIRONMENTS))
    return [
        renamed(specimen(environment, rendering.strategies()[number % 5]), f"specimen_{number}")
        for number in numbers
        for environment in release.ENVIRONMENTS
    ]
