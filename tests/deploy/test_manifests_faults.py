"""Every fault that `verify` is for, planted in the real manifests, is rejected by name; as they are, they pass.

The faults are in faults/*.yaml. Each replaces the text `old` of `file` (and of `also`) by `new`. A specimen of
`strategy` (canary) in `environment` (production) must then have a fault of `origin` (`file`) that says `named`.
Those that say `quick` are enough for every rule to bite once; the others are slow.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from data_schemas.files import read_yaml
from deploy.manifests import check, rendering
from deploy.release import Release
from deploy.rules import Fault
from tests.deploy.manifests import faults, need_schemas, plant, rendered, renders, schemas, specimen

pytestmark = pytest.mark.xdist_group("planted")  # what has bitten is known to one process
FAULTS: dict[str, dict[str, Any]] = {
    f"{path.stem}: {name}": planted
    for path in sorted(Path(__file__).with_name("faults").glob("*.yaml"))
    for name, planted in read_yaml(path, "restore it").items()
}


QUICK = {fault for fault, planted in FAULTS.items() if planted.get("quick")}
PARAMETERS = [pytest.param(fault, marks=[] if fault in QUICK else pytest.mark.slow) for fault in FAULTS]
BITTEN: dict[str, set[str]] = {}  # by fault: the rules that named it


def of_fault(planted: dict[str, Any]) -> Release:
    return specimen(planted.get("environment", "production"), planted.get("strategy", "canary"))


def render_planted(fault: str) -> str | Fault | AssertionError:
    planted = FAULTS[fault]
    with rendering.copied() as tree:
        try:
            for each in (planted, *planted.get("also", [])):
                plant(tree, each["file"], each["old"], each["new"])
        except AssertionError as error:
            return error
        return rendered(of_fault(planted), tree)


@pytest.fixture(scope="module")
def texts(request: pytest.FixtureRequest) -> dict[str, str | Fault | AssertionError]:
    """Each fault that is asked for, planted and rendered, as many at once as there are cores."""
    asked = [item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")]
    names = [name for name in asked if name in FAULTS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(render_planted, names), strict=True))


@renders
@pytest.mark.parametrize("fault", PARAMETERS)
def test_a_planted_fault_is_named(fault: str, texts: dict[str, str | Fault | AssertionError]) -> None:
    planted, text = FAULTS[fault], texts[fault]
    if isinstance(text, AssertionError):
        raise text
    if fault.startswith("schemas: "):
        need_schemas()
    found = faults(of_fault(planted), text, rules_only=not fault.startswith("schemas: "))
    start = f"{planted.get('origin', planted['file'])}: "
    named = {rule for rule, each in found if str(each).startswith(start) and planted["named"] in str(each)}
    assert named, "\n".join(str(each) for _, each in found) or "none"
    assert [str(each) for _, each in found if not (each.thing and each.wrong and each.mend)] == []
    BITTEN[fault] = named


def name(of: Release) -> str:
    return f"{of.environment}-{of.passport.serving.strategy if of.passport.serving else 'former'}"


@pytest.fixture(scope="module")
def as_they_are() -> dict[str, str]:
    with rendering.copied() as tree:
        found, refused = check.render_all(rendering.specimens(), tree)
    assert refused == []
    return {name(of): text for of, text in found}


@renders
@pytest.mark.parametrize("of", rendering.specimens(), ids=name)
def test_the_manifests_as_they_are_have_no_fault(of: Release, as_they_are: dict[str, str]) -> None:
    assert [str(each) for _, each in faults(of, as_they_are[name(of)])] == []
    need_schemas()
    assert schemas().catalog.lacking == {}


@renders
def test_every_rule_has_bitten() -> None:
    """Runs after the planted faults: a rule that named none of them is a rule that nobody saw work."""
    if not set(BITTEN) >= QUICK:
        return  # only some were asked for, or one failed, which says so itself
    bitten = set().union(*(rules for fault, rules in BITTEN.items() if fault in QUICK))
    assert {rule.__name__ for rule in check.RULES} == bitten - {""}
    assert len([fault for fault in FAULTS if fault.startswith("schemas: ")]) >= 15
