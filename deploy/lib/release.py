"""A release: the files that say what one environment runs of one model.

Written by `python -m deploy promote` and `python -m deploy rollback`, never by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.lib import weights
from deploy.lib.passport import Image, Passport, parse_passport
from repo.lib.files import write as write_file
from repo.lib.refusal import Refusal

ENVIRONMENTS = ("staging", "production")  # in the order of promotion
RELEASES = Path("deploy/releases")
LOCK = Path("deploy/build/release.lock")  # held by whoever changes RELEASES
FILES = ("kustomization.yaml", "passport.yaml", "resources.yaml")
MONITORING = "monitoring.yaml"  # beside them where the passport has a reference
CARD, BOM = DOCUMENTS = ("MODEL_CARD.md", "mlbom.json")  # which releases of earlier versions lack
OPTIONAL = (MONITORING, weights.FILE, *DOCUMENTS)


@dataclass(frozen=True)
class Release:
    environment: str
    model: str
    files: Mapping[str, bytes]

    @property
    def folder(self) -> Path:
        return place(self.environment, self.model)

    @cached_property
    def passport(self) -> Passport:
        return parse_passport(self.files.get("passport.yaml", b""), self.folder / "passport.yaml")

    @cached_property
    def weight(self) -> weights.Weight | None:
        return weights.read(self.files, self.folder)

    @cached_property
    def arm(self) -> weights.Arm:
        return weights.arm(self.passport, self.files["resources.yaml"], self.folder)

    @property
    def version(self) -> str:
        return self.passport.version

    @property
    def image(self) -> Image:
        if self.passport.image is None:
            raise Refusal(f"{self.folder / 'passport.yaml'}: image is missing; restore the release from Git.")
        return self.passport.image

    @property
    def readable(self) -> bool:
        """Whether passport and image can be read at all; what they say is for the rules."""
        try:
            return bool(self.image) and (self.weight is None or bool(self.weight.former))
        except Refusal:
            return False

    def runs_the_same_as(self, other: Release) -> bool:
        """Whether both run the same, in whatever environment and whatever they are compared with on the way there."""
        return all(self.files.get(name) == other.files.get(name) for name in FILES[1:])

    @property
    def reference(self) -> str:
        return f"{self.image.name}@{self.image.digest}"


def place(environment: str, model: str) -> Path:
    return RELEASES / environment / model


def kubernetes_name(model: str) -> str:
    """a_model -> a-model: the name of every object of a model."""
    name = model.replace("_", "-")
    # 63 characters less what the controllers append: -stable or -canary, or a pod's two hashes.
    if not re.fullmatch(r"[a-z](?:[a-z0-9-]{0,44}[a-z0-9])?", name) or name.endswith(("-stable", "-canary")):
        raise Refusal(
            f"models/{model}: {name!r} cannot name objects in a cluster; rename the folder: letters, digits and inner "
            "underscores, at most 46 characters, not ending in _stable or _canary."
        )
    return name


def read(environment: str, model: str, root: Path = Path()) -> Release | None:
    """The release in a tree, with those of its files that are there; None where there is none."""
    paths = [root / place(environment, model) / name for name in (*FILES, *OPTIONAL)]
    found = {path.name: path.read_bytes() for path in paths if path.is_file()}
    return Release(environment, model, found) if found else None


def every(root: Path = Path()) -> list[Release]:
    """All releases in a tree, environments in the order of promotion."""
    places = [path for environment in ENVIRONMENTS for path in sorted((root / RELEASES / environment).glob("[!.]*"))]
    found = [read(path.parent.name, path.name, root) for path in places]
    return [release for release in found if release is not None]


def write(release: Release) -> None:
    """Put a release in place, one whole file after the other; the caller holds LOCK.

    kustomization.yaml goes last: it holds the hashes of the others, so `verify` names a release that was cut short, and
    the next `promote`, which compares with what Git holds, completes it.
    """
    for name in OPTIONAL:
        if name not in release.files:  # of the release before
            (release.folder / name).unlink(missing_ok=True)
    for name in sorted(release.files, key=FILES[0].__eq__):
        write_file(release.folder / name, release.files[name])
