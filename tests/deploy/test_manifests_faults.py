"""Every fault that `verify` is for, planted in the real manifests, is rejected by name; as they are, they pass.

The faults are in faults/*.yaml. Each replaces the text `old` of `file` (and of `also`) by `new`. A specimen of
`strategy` (canary) in `environment` (production) must then have a fault of `origin` (`file`) that says `named`.
Those with `proves`, the rules that must name it, are enough to see every rule work; the others are slow.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from deploy.checks import check, rendering
from deploy.lib.release import Release, kubernetes_name
from deploy.lib.rules import Finding
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal
from tests.conftest import Once
from tests.deploy.manifests import faults, need_schemas, plant, rendered, renders, schemas, specimen

FAULTS: dict[str, dict[str, Any]] = {
    f"{path.stem}: {name}": planted
    for path in sorted(Path(__file__).with_name("faults").glob("*.yaml"))
    for name, planted in read_yaml(path, "restore it").items()
}


PARAMETERS = [pytest.param(fault, marks=[] if "proves" in FAULTS[fault] else pytest.mark.slow) for fault in FAULTS]


def of_fault(planted: dict[str, Any]) -> Release:
    return specimen(planted.get("environment", "production"), planted.get("strategy", "canary"))


@dataclass(frozen=True)
class Planted(Release):
    """A specimen under a name of its own, beside manifests of its own: one call renders many."""

    number: int = 0

    @property
    def root(self) -> Path:
        return Path("deploy", str(self.number))

    @property
    def folder(self) -> Path:
        return self.root / super().folder

    def named_as_before(self, text: str, of: Release) -> str:
        """What this renders to, as if it had been rendered alone."""
        for name in (str, kubernetes_name):
            text = text.replace(name(self.model), name(of.model))
        return text.replace(f"../{self.number}/deploy/", "../")


def planted_beside(tree: Path, fault: str, number: int) -> Planted:
    """The specimen that must have the fault, whose manifests are now in `tree`."""
    of = of_fault(FAULTS[fault])
    model = of.model.replace("_", f"_{number}_")
    files = {name: content.replace(of.model.encode(), model.encode()) for name, content in of.files.items()}
    short, long = kubernetes_name(of.model).encode(), kubernetes_name(model).encode()
    made = Planted(of.environment, model, {name: text.replace(short, long) for name, text in files.items()}, number)
    with rendering.copied() as sound:
        shutil.copytree(sound, tree / made.root)
    for each in (FAULTS[fault], *FAULTS[fault].get("also", [])):
        plant(tree / made.root, each["file"], each["old"], each["new"])
    return made


def render_planted(names: Sequence[str]) -> list[dict[str, Any]]:
    """The text of each, the fields of the fault where there is none, or the error of a fault that cannot be planted."""
    try:
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            made = [planted_beside(Path(folder), fault, number) for number, fault in enumerate(names)]
            texts = rendering.texts(made, Path(folder))
        rows = zip(names, made, texts, strict=True)
        return [{"text": each.named_as_before(text, of_fault(FAULTS[fault]))} for fault, each, text in rows]
    except (AssertionError, Refusal) as error:
        if len(names) > 1:
            return [each for name in names for each in render_planted([name])]
        if isinstance(error, AssertionError):
            return [{"error": str(error)}]
    return [refused(*names)]


def refused(fault: str) -> dict[str, Any]:
    """What verify says of a specimen that kustomize does not render."""
    with rendering.copied() as tree:
        for each in (FAULTS[fault], *FAULTS[fault].get("also", [])):
            plant(tree, each["file"], each["old"], each["new"])
        found = rendered(of_fault(FAULTS[fault]), tree)
    return {"text": found} if isinstance(found, str) else {"fault": {**vars(found), "file": str(found.file)}}


@pytest.fixture(scope="module")
def texts(request: pytest.FixtureRequest, once: Once) -> dict[str, dict[str, Any]]:
    """Each fault that is asked for, planted and rendered, some by one call and as many calls as there are cores."""

    def make(folder: Path) -> None:
        asked = [item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")]
        names = [name for name in asked if name in FAULTS]
        batches = [names[start : start + check.BATCH] for start in range(0, len(names), check.BATCH)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = chain.from_iterable(pool.map(render_planted, batches))
        folder.mkdir()
        (folder / "texts.json").write_text(json.dumps(dict(zip(chain(*batches), made, strict=True))))

    found: dict[str, dict[str, Any]] = json.loads((once("planted", make) / "texts.json").read_text())
    return found


@renders
@pytest.mark.parametrize("fault", PARAMETERS)
def test_a_planted_fault_is_named(fault: str, texts: dict[str, dict[str, Any]]) -> None:
    planted, made = FAULTS[fault], texts[fault]
    assert "error" not in made, made["error"]
    if fault.startswith("schemas: "):
        need_schemas()
    refused = made.get("fault")
    text = Finding(**{**refused, "file": Path(refused["file"])}) if refused else made["text"]
    found = faults(of_fault(planted), text, rules_only=not fault.startswith("schemas: "))
    start = f"{planted.get('origin', planted['file'])}: "
    named = {rule for rule, each in found if str(each).startswith(start) and planted["named"] in str(each)}
    assert named, "\n".join(str(each) for _, each in found) or "none"
    assert [str(each) for _, each in found if not (each.thing and each.wrong and each.fix)] == []
    assert named >= set(planted.get("proves", []))


def name(of: Release) -> str:
    return f"{of.environment}-{of.passport.serving.strategy}"


@renders
@pytest.mark.parametrize("of", rendering.specimens(), ids=name)
def test_the_manifests_as_they_are_have_no_fault(of: Release, specimen_texts: list[str]) -> None:
    text = specimen_texts[rendering.specimens().index(of)]
    assert [str(each) for _, each in faults(of, text)] == []
    need_schemas()
    assert schemas().catalog.lacking == {}


def test_every_rule_is_proven_by_a_planted_fault() -> None:
    """A rule that names none of them is a rule that nobody saw work."""
    proven = {rule for planted in FAULTS.values() for rule in planted.get("proves", [])}
    assert {rule.__name__ for rule in check.RULES} == proven
    assert len([fault for fault in FAULTS if fault.startswith("schemas: ")]) >= 15
