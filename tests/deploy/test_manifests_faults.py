"""Every fault that `verify` is for, planted in the real manifests, is rejected by name; as they are, they pass.

The faults are in faults/*.yaml. Each replaces the text `old` of `file` (and of `also`) by `new`. A specimen of
`strategy` (canary) in `environment` (production) must then have a fault of `origin` (`file`) that says `named`.
Those with `proves`, the rules that must name it, are enough to see every rule work; the others are slow.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy.checks import check, rendering
from deploy.lib.release import Release
from deploy.lib.rules import Finding
from repo.lib.files import read_yaml
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


def render_planted(fault: str) -> dict[str, Any]:
    """The text, the fields of the fault where kustomize refuses it, or the error of one that cannot be planted."""
    with rendering.copied() as tree:
        try:
            for each in (FAULTS[fault], *FAULTS[fault].get("also", [])):
                plant(tree, each["file"], each["old"], each["new"])
        except AssertionError as error:
            return {"error": str(error)}
        found = rendered(of_fault(FAULTS[fault]), tree)
    return {"text": found} if isinstance(found, str) else {"fault": {**vars(found), "file": str(found.file)}}


@pytest.fixture(scope="module")
def texts(request: pytest.FixtureRequest, once: Once) -> dict[str, dict[str, Any]]:
    """Each fault that is asked for, planted and rendered, as many at once as there are cores."""

    def make(folder: Path) -> None:
        asked = [item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")]
        names = [name for name in asked if name in FAULTS]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = dict(zip(names, pool.map(render_planted, names), strict=True))
        folder.mkdir()
        (folder / "texts.json").write_text(json.dumps(made))

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
