"""An entry that changes nothing in what is rendered is named; every entry of the manifests changes something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy.checks import check, dead, rendering
from deploy.lib.release import Release
from deploy.lib.rules import Finding
from tests.deploy.manifests import plant, renders, specimen

STAGING = "deploy/environments/staging/kustomization.yaml"
GATEWAY = "deploy/strategies/gateway/rollout.yaml"
NAMES = "deploy/base/names/replacementtransformer.yaml"
PAUSE = "/spec/strategy/canary/steps/4/pause/duration"
PATCH = """patches:
  - target: {kind: StatefulSet}
    patch: |-
      - {op: add, path: /spec/replicas, value: 3}
"""
DEAD = {  # file, what is replaced, by what, the entry
    "a step that the base has": (
        *(GATEWAY, "setWeight, value: 50}", "setWeight, value: 75}"),
        "replace /spec/strategy/canary/steps/6/setWeight",
    ),
    "a pause that the base has": (
        *(STAGING, f"{PAUSE}, value: 30s", f"{PAUSE}, value: 2m"),
        f"patches[0]: replace {PAUSE}",
    ),
    "a patch of nothing": (STAGING, "patches:\n", PATCH, "patches[0]: add /spec/replicas"),
    "a name for no kind": (NAMES, "{kind: PodMonitor}", "{kind: ServiceMonitor}", "{'kind': 'ServiceMonitor'}"),
    "an empty prefix": (
        *("deploy/strategies/gateway/kustomization.yaml", "resources:\n", 'namePrefix: ""\nresources:\n'),
        "namePrefix",
    ),
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(dead, "PROVEN", tmp_path / "alive")
    with rendering.copied() as folder:
        yield folder


def texts(tree: Path, releases: Sequence[Release]) -> dead.Texts:
    found, refused = check.render_all(releases, tree)
    assert not refused
    return found


@renders
@pytest.mark.parametrize("fault", DEAD)
def test_a_planted_dead_entry_is_named(fault: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, old, new, named = DEAD[fault]
    plant(tree, file, old, new)
    listed = dead.entries(tree)
    # Those of the other files are for the test below.
    monkeypatch.setattr(dead, "entries", lambda _: [each for each in listed if named in each.thing])
    found = dead.findings(texts(tree, [specimen("staging", "gateway")]), tree)  # which reads all of these files
    assert [(str(each.file), each.wrong) for each in found] == [(file, "changes nothing in what is rendered")]
    assert named in found[0].thing
    assert not dead.PROVEN.exists()


@pytest.mark.slow  # it renders for each of the entries
@renders
def test_every_entry_of_the_manifests_is_alive_and_asked_for_once(
    tree: Path, alive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "PROVEN", alive)
    rendered = texts(tree, rendering.specimens())
    assert [str(each) for each in dead.findings(rendered, tree)] == []  # in `alive` they were searched for
    monkeypatch.setattr(dead, "matters", lambda *_: pytest.fail("asked again"))
    assert dead.findings(rendered, tree) == []
    monkeypatch.setattr(dead, "matters", lambda *_: False)
    plant(tree, GATEWAY, "value: 50", "value: 60")
    assert dead.findings(rendered, tree)  # another state of the manifests


@renders
def test_they_are_searched_for_only_where_nothing_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, entry = (Finding(dead.BASE, thing, "is wrong", "mend it") for thing in ("an object", "an entry"))
    monkeypatch.setattr(check, "of_argocd", lambda *_: [])
    monkeypatch.setattr(dead, "findings", lambda *_: [entry])
    for found, told in (([("", wrong)], [wrong]), ([], [entry])):
        monkeypatch.setattr(check, "render_all", lambda *_, found=found: ([], [*found]))
        assert check.everything([]).findings == told


def test_every_kind_of_entry_is_listed(tree: Path) -> None:
    listed = {(str(each.file), each.thing) for each in dead.entries(tree)}
    assert (STAGING, "namespace") in listed
    assert (STAGING, "resources[1]") in listed
    assert (STAGING, "patches[0]: replace /spec/strategy/canary/steps/1/pause/duration") in listed
    assert ("deploy/strategies/bluegreen/kustomization.yaml", "patches[1]") in listed
    assert (GATEWAY, "add /spec/strategy/canary/trafficRouting") in listed
    assert any(file == NAMES and thing.startswith("replacements[0].targets[0]") for file, thing in listed)
    assert not any(thing.startswith("resources") for file, thing in listed if file == str(dead.BASE))
