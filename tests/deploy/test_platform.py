"""The passport names the platform of its image, and pods go to nodes that can run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import rendering
from deploy.checks.rendering import Rendering
from deploy.lib import kustomization
from tests.deploy.manifests import faults, rendered, renders, specimen
from tests.deploy.tree import NAME, Tree, digest, image


def placed(platform: str | None, environment: str, strategy: str) -> Rendering:
    of = specimen(environment, strategy)
    record = yaml.safe_load(of.files["passport.yaml"])
    record["image"] |= {"platform": platform} if platform else {}
    written = yaml.safe_dump(record).encode()
    made = kustomization.compose(environment, of.model, written, of.files["resources.yaml"], rendering.PROMISE)
    text = rendered(made, Path())
    assert isinstance(text, str), text
    assert not faults(made, text, rules_only=True)
    return rendering.parse(text, made)


def pods(node: Any) -> list[dict[str, Any]]:
    """Every specification of a pod that runs the release's image."""
    if isinstance(node, dict):
        found = [node] if any("image" in each for each in node.get("containers", [])) else []
        return found + [each for value in node.values() for each in pods(value)]
    return [each for value in node for each in pods(value)] if isinstance(node, list) else []


@renders
@pytest.mark.parametrize(
    ("environment", "strategy", "count"),
    [("staging", "canary", 2), ("production", "gateway", 1), ("production", "bluegreen", 2)],
)
def test_every_pod_of_a_release_goes_where_its_image_runs(environment: str, strategy: str, count: int) -> None:
    found = [each for of in placed("linux/arm64", environment, strategy).objects for each in pods(of.content)]
    selectors = [each["nodeSelector"] for each in found]
    assert selectors == [{"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}] * count


@renders
def test_a_release_from_before_platforms_asks_for_none() -> None:
    found = [each for of in placed(None, "production", "canary").objects for each in pods(of.content)]
    assert [each["nodeSelector"] for each in found] == [{"kubernetes.io/os": "linux"}]


def test_promote_records_the_platform_once(tree: Tree) -> None:
    tree.build("a")
    words = ("promote", NAME, "--to", "staging", "--image", image("a"), "--platform")
    assert tree.deploy(*words, "linux/arm64").code == 0
    path = Path("deploy/releases/staging") / NAME / "passport.yaml"
    assert yaml.safe_load(path.read_text())["image"]["platform"] == "linux/arm64"
    assert digest("a") in path.read_text()
    with pytest.raises(SystemExit):
        tree.deploy(*words, "windows/amd64")
