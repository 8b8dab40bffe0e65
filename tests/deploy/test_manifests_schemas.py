"""Schemas of custom kinds: where they come from, that each file is the one that was pinned, and how strict they are."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import yaml

from deploy.checks import catalog, check, rendering
from deploy.checks.rendering import Object
from deploy.checks.schemas import KUBERNETES, Schemas, strict
from repo.lib.refusal import Refusal
from tests.deploy.manifests import need_schemas, plant, renders, schemas

SCHEMA = b"""{
  "type": "object",
  "properties": {
    "apiVersion": {}, "kind": {}, "metadata": {"type": "object"},
    "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}
  }
}"""
NAME = "example.org/thing_v1.json"


MONITORING = "namespace: monitoring\nresources: [objects.yaml]\n"
WATCHED = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: models}
spec: {groups: [{name: a, rules: [{record: "a:b", expr: vector(1)}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: models, labels: {grafana_dashboard: "1"}}
"""


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A catalog that answers with SCHEMA; what was asked of it."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.delenv("SCHEMAS", raising=False)
    monkeypatch.setattr(catalog, "sums", lambda: {NAME: hashlib.sha256(SCHEMA).hexdigest()})
    asked: list[str] = []

    def urlopen(address: str, timeout: float) -> io.BytesIO:
        assert timeout <= 10
        asked.append(address)
        return io.BytesIO(SCHEMA)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return asked


def test_a_schema_is_downloaded_once_at_the_pinned_commit(online: list[str]) -> None:
    for _ in range(2):
        found = catalog.find()
        assert found.folder is None
        assert found.schema("example.org", "Thing", "v1") is not None
    assert online == [f"https://raw.githubusercontent.com/datreeio/CRDs-catalog/{catalog.COMMIT}/{NAME}"]
    assert (catalog.CACHE / catalog.COMMIT[:12] / NAME).read_bytes() == SCHEMA


def test_a_kind_that_the_catalog_lacks_is_read_from_its_definition(
    online: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [{"name": name, "schema": {"openAPIV3Schema": {"title": name}}} for name in ("v1beta1", "v1")]
    content = yaml.safe_dump({"spec": {"versions": versions}}).encode()
    monkeypatch.setattr("urllib.request.urlopen", lambda address, timeout: io.BytesIO(content) if timeout else address)
    monkeypatch.setattr(catalog, "DEFINITIONS", {NAME: "https://example.org/things.yaml"})
    monkeypatch.setattr(catalog, "sums", lambda: {NAME: hashlib.sha256(content).hexdigest()})
    for found in (catalog.find(), catalog.find(), catalog.Catalog(catalog.CACHE / catalog.COMMIT[:12])):
        assert found.schema("example.org", "Thing", "v1") == {"title": "v1"}
        assert found.schema("example.org", "Thing", "v2") is None
    assert online == []


def test_a_damaged_copy_is_downloaded_again(online: list[str]) -> None:
    catalog.find().schema("example.org", "Thing", "v1")
    (catalog.CACHE / catalog.COMMIT[:12] / NAME).write_text("{}")
    assert catalog.find().schema("example.org", "Thing", "v1") != {}
    assert len(online) == 2


def test_other_bytes_than_the_pinned_ones_are_refused(online: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "sums", lambda: {NAME: "0" * 64})
    with pytest.raises(Refusal, match=r"has SHA-256 [0-9a-f]{64}, not the 0+ of schemas\.txt"):
        catalog.find().schema("example.org", "Thing", "v1")
    assert online
    assert not catalog.CACHE.exists()


def test_offline_every_kind_is_named_after_one_attempt(online: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def urlopen(address: str, timeout: float) -> object:
        tried.append(f"{address} {timeout}")
        raise URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(catalog, "sums", lambda: {NAME: "0", "example.org/other_v1.json": "0"})
    found = catalog.find()
    assert found.schema("example.org", "Thing", "v1") is None
    assert found.schema("example.org", "Other", "v1") is None
    assert found.schema("example.org", "Unlisted", "v1") is None
    assert set(found.lacking) == {f"{kind} of example.org/v1" for kind in ("Thing", "Other", "Unlisted")}
    assert "cannot be reached (no route)" in found.lacking["Other of example.org/v1"]
    assert (len(tried), online) == (1, [])


def test_a_folder_that_is_given_comes_first(online: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("../shared/schemas").mkdir(parents=True)
    assert catalog.find().folder == catalog.BESIDE
    Path("mine").mkdir()
    monkeypatch.setenv("SCHEMAS", "mine")
    assert catalog.find().folder == Path("mine")
    monkeypatch.setenv("SCHEMAS", "nowhere")
    with pytest.raises(Refusal, match="SCHEMAS=nowhere is not a folder"):
        catalog.find()
    assert online == []


def test_every_pinned_file_has_a_checksum_and_the_latest_kubernetes_are_meant() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", catalog.COMMIT)
    listed = catalog.sums()
    assert set(catalog.DEFINITIONS) <= set(listed)
    assert {"argoproj.io/rollout_v1alpha1.json", "monitoring.coreos.com/podmonitor_v1.json"} <= set(listed)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in listed.values())
    minors = [int(number.split(".")[1]) for number in KUBERNETES]
    assert minors == [minors[0], minors[0] + 1, minors[0] + 2]
    assert minors[0] >= 35


def test_strict_closes_every_object_but_those_that_say_they_are_open() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string"}}}
    opened = {**inner, "x-kubernetes-preserve-unknown-fields": True, "additionalProperties": False}
    found = strict({"type": "object", "properties": {"closed": {"type": "array", "items": inner}, "open": opened}})
    assert found["additionalProperties"] is False
    assert found["properties"]["closed"]["items"]["additionalProperties"] is False
    assert "additionalProperties" not in found["properties"]["open"]


def thing(**content: Any) -> Object:
    whole = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}, **content}
    return Object(whole, Path("deploy/thing.yaml"))


def test_a_field_is_named_with_file_object_and_place(online: list[str]) -> None:
    checks = Schemas(catalog.find())
    assert "apiVersion, kind" in str(checks.findings(Object({"metadata": {}}, Path("a.yaml")))[0])
    assert checks.findings(thing(spec={"size": 1})) == []
    said = [str(each) for each in checks.findings(thing(spec={"size": "1"}, specs={}))]
    assert said[0].startswith("deploy/thing.yaml: Thing a: spec.size: '1' is not of type 'integer'; fix the field")
    assert said[1].startswith("deploy/thing.yaml: Thing a: the object: Additional properties are not allowed ('specs'")
    assert online


@renders
@pytest.mark.parametrize(
    ("file", "old", "named"),
    [
        (
            "deploy/argocd/applicationset.yaml",
            "preserveResourcesOnDeletion",
            "ApplicationSet models: spec.syncPolicy: ",
        ),
        ("deploy/argocd/policies/signed.yaml", "mutateDigest", "ImageValidatingPolicy models-signed: spec.validationC"),
    ],
)
def test_what_is_applied_once_keeps_its_schemas_and_a_misspelt_field_is_named(file: str, old: str, named: str) -> None:
    need_schemas()
    folder = Path(file).parent
    with rendering.copied() as tree:
        assert [str(each) for each in check.of_folder(folder, tree, schemas())] == []
    with rendering.copied() as tree:
        plant(tree, file, old, f"{old}s")
        (found,) = check.of_folder(folder, tree, schemas())
    assert str(found).startswith(f"{file}: {named}")


@renders
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: none", "kind: none", ""),
        ("expr: vector(1)", "expression: vector(1)", "PrometheusRule models: spec.groups[0].rules[0]"),
        ("kind: ConfigMap", "kind: Secret", "Secret models: kind: is none that the AppProject monitoring permits"),
        ("namespace: monitoring", "namespace: argocd", "is argocd, where the AppProject monitoring permits nothing"),
    ],
)
def test_rules_and_dashboards_keep_their_schemas_and_their_fence(tmp_path: Path, old: str, new: str, said: str) -> None:
    need_schemas()
    folder = Path("deploy/monitoring")
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "kustomization.yaml").write_text(MONITORING.replace(old, new))
    (tmp_path / folder / "objects.yaml").write_text(WATCHED.replace(old, new))
    found = [str(each) for each in check.of_folder(folder, tmp_path, schemas())]
    assert all(said in each for each in found)
    assert bool(found) == bool(said)
