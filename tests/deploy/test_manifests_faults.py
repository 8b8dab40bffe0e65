"""Every fault that `verify` is for, planted in the real manifests, is rejected by name; as they are, they pass.

The faults are in faults/*.yaml. Each replaces the text `old` of `file` (and of `also`) by `new`. A specimen of
`strategy` (canary) in `environment` (production) must then have a fault of `origin` (`file`) that says `named`.
Those with `proves`, the rules that must name it, are enough to see every rule work; the others are slow.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.checks import check, rendering
from deploy.lib.release import Release, kubernetes_name
from deploy.lib.rules import Finding
from repo.lib.files import read_yaml
from tests.deploy.manifests import faults, need_schemas, plant, renamed, renders, schemas, specimen

FAULTS: dict[str, dict[str, Any]] = {
    f"{path.stem}: {name}": planted
    for path in sorted(Path(__file__).with_name("faults").glob("*.yaml"))
    for name, planted in read_yaml(path, "restore it").items()
}
pytestmark = pytest.mark.xdist_group("planted")

PARAMETERS = [pytest.param(fault, marks=[] if "proves" in FAULTS[fault] else pytest.mark.slow) for fault in FAULTS]


def of_fault(planted: dict[str, Any]) -> Release:
    return specimen(planted.get("environment", "production"), planted.get("strategy", "canary"))


@dataclass(frozen=True)
class Apart(Release):
    """A release among manifests of its own, those of deploy/<place>."""

    place: str = ""

    @property
    def folder(self) -> Path:
        return Path("deploy", self.place, "releases", self.environment, self.model)


Made = dict[str, tuple[Release, str | Finding]]


def plant_apart(place: str, planted: dict[str, Any], tree: Path) -> Apart:
    """The fault in the manifests of deploy/<place>, and a release of them whose name no other has."""
    of, model = of_fault(planted), f"specimen_{place}"
    for name in rendering.MANIFESTS:
        shutil.copytree(name, tree / name.replace("deploy", f"deploy/{place}"))
    for each in (planted, *planted.get("also", [])):
        new = each["new"].replace(kubernetes_name(of.model), kubernetes_name(model))
        plant(tree, each["file"].replace("deploy", f"deploy/{place}", 1), each["old"], new)
    return Apart(**vars(renamed(of, model)), place=place)


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Each fault that is asked for, as a release and what kustomize makes of it: ten a call, at half of a call each."""
    asked = {item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")}
    tree, listed = tmp_path_factory.mktemp("planted"), dict[str, Apart]()
    for number, fault in enumerate(FAULTS):
        if fault in asked:
            listed[fault] = plant_apart(f"tree{number}", FAULTS[fault], tree)
    texts, refused = check.render_all(list(listed.values()), tree)
    found: dict[str, str | Finding] = {of.model: text for of, text in texts}
    found |= {each.file.parts[4]: each for _, each in refused}
    return {fault: (of, found[of.model]) for fault, of in listed.items()}


@renders
@pytest.mark.parametrize("fault", PARAMETERS)
def test_a_planted_fault_is_named(fault: str, made: Made) -> None:
    planted, (of, text) = FAULTS[fault], made[fault]
    if fault.startswith("schemas: "):
        need_schemas()
    found = faults(of, text, rules_only=not fault.startswith("schemas: "))
    start = f"{planted.get('origin', planted['file'])}: "
    told = [(rule, re.sub(r"\btree\d+/", "", str(each))) for rule, each in found]
    named = {rule for rule, each in told if each.startswith(start) and planted["named"] in each}
    assert named, "\n".join(each for _, each in told) or "none"
    assert [each for _, each in found if not (each.thing and each.wrong and each.fix)] == []
    assert named >= set(planted.get("proves", []))
    assert "opensesame" not in str(found)  # the password of some of them


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
