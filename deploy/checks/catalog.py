"""Where the schemas of custom kinds are: a folder, or public files, each held to its SHA-256."""

import hashlib
import json
import os
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from repo.lib.files import LOADER, write
from repo.lib.refusal import Refusal

COMMIT = "7b1e26ef9deea49293714d204c1a2270aab1178f"  # of August 2026: Argo Rollouts 1.9, Gateway API 1.x
SOURCE = f"https://raw.githubusercontent.com/datreeio/CRDs-catalog/{COMMIT}"
# Kinds that the catalog lacks: the definition itself, of the project's release.
DEFINITIONS = {
    "mlops.seldon.io/model_v1alpha1.json": "https://raw.githubusercontent.com/SeldonIO/seldon-core/v2.10.2"
    "/operator/config/crd/bases/mlops.seldon.io_models.yaml",
    # There, but without spec.canary.
    "serving.kserve.io/inferenceservice_v1beta1.json": "https://raw.githubusercontent.com/kserve/kserve/v0.20.0"
    "/config/crd/full/serving.kserve.io_inferenceservices.yaml",
}
SUMS = Path(__file__).with_name("schemas.txt")
BESIDE = Path("../shared/schemas")
CACHE = Path("deploy/build/schemas")
SECONDS = 10  # to wait for a file


@dataclass
class Catalog:
    """`folder` of <group>/<kind>_<version>.json; None: files downloaded to CACHE. `lacking`: what was not found."""

    folder: Path | None
    lacking: dict[str, str] = field(default_factory=dict)  # by file: why
    offline: str = ""  # the reason of the first download that failed, after which no other is tried

    def schema(self, group: str, kind: str, version: str) -> dict[str, Any] | None:
        """The schema of a kind; None, with the reason in `lacking`, where none can be had."""
        name = f"{group}/{kind.lower()}_{version}.json"
        try:
            content = self._content(name)
            defined = name in DEFINITIONS and not content.startswith(b"{")
            loaded = _defined(content, version) if defined else json.loads(content)
        except (LookupError, OSError, ValueError, yaml.YAMLError) as error:
            self.lacking[f"{kind} of {group}/{version}"] = str(error)
            return None
        if not isinstance(loaded, dict):
            raise Refusal(f"{name}: the schema is not a JSON object; fetch it again.")
        return loaded

    def _content(self, name: str) -> bytes:
        if self.folder is not None:
            path = self.folder / name
            if not path.is_file():
                raise LookupError(f"{path} is missing")
            return path.read_bytes()
        if (expected := sums().get(name)) is None:
            raise LookupError(f"{SUMS.name} lists no {name}")
        path = CACHE / COMMIT[:12] / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == expected:
            return path.read_bytes()
        content = self._download(address := DEFINITIONS.get(name, f"{SOURCE}/{name}"))
        if (found := hashlib.sha256(content).hexdigest()) != expected:
            raise Refusal(f"{address} has SHA-256 {found}, not the {expected} of {SUMS.name}; do not use it.")
        write(path, content)
        return content

    def _download(self, address: str) -> bytes:
        if self.offline:
            raise LookupError(self.offline)
        try:
            with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 - https, a constant
                return bytes(answer.read())
        except OSError as error:
            self.offline = f"{address.split('/')[2]} cannot be reached ({getattr(error, 'reason', error)})"
            raise LookupError(self.offline) from None


def _defined(content: bytes, version: str) -> Any:
    """The schema of a version in a CustomResourceDefinition."""
    versions = yaml.load(content, LOADER)["spec"]["versions"]  # noqa: S506 - both are safe loaders
    return {each["name"]: each["schema"]["openAPIV3Schema"] for each in versions}[version]


def find() -> Catalog:
    """The folder SCHEMAS if that is set, else ../shared/schemas if it is there, else the downloaded catalog."""
    if given := os.environ.get("SCHEMAS"):
        if not Path(given).is_dir():
            raise Refusal(f"SCHEMAS={given} is not a folder; name one with <group>/<kind>_<version>.json, or unset it.")
        return Catalog(Path(given))
    return Catalog(BESIDE if BESIDE.is_dir() else None)


def sums() -> dict[str, str]:
    """SHA-256 by file, as `sha256sum` writes them."""
    lines = [line.split() for line in SUMS.read_text().splitlines() if line and not line.startswith("#")]
    return {name: digest for digest, name in lines}
