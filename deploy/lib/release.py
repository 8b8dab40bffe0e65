"""A release: the files that say what one environment runs of one model.

Written by `python -m deploy promote` and `python -m deploy rollback`, never by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from repo.lib.files import LOADER
from repo.lib.files import write as write_file
from repo.lib.refusal import Refusal

ENVIRONMENTS = ("staging", "production")  # in the order of promotion
RELEASES = Path("deploy/releases")
LOCK = Path("deploy/build/release.lock")  # held by whoever changes RELEASES
FILES = ("kustomization.yaml", "passport.yaml", "resources.yaml")
MONITORING = "monitoring.yaml"  # beside them where the passport has a reference

BINS = 10  # of what is answered, as the service counts them
COMPARED = ("canary", "gateway")  # strategies in which stable and new pods serve the same callers at the same time

Parsed = TypeVar("Parsed")
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# The grammar of a name in a registry, without tag: host with optional port, then lower-case parts.
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
ImageName = Annotated[str, Field(pattern=rf"^(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?{_PART}(?:/{_PART})*$")]


class Record(BaseModel):
    """What a release relies on; a passport may say more."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Image(Record):
    name: ImageName
    digest: Digest
    commit: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")  # what it was built from; older ones lack it
    proof: Literal["attestation", "signature", "none"] | None = None  # who built it can be verified by this
    platform: Literal["linux/amd64", "linux/arm64"] | None = None  # of the nodes that can run it


class Interval(Record):
    value: float | None
    low: float | None
    high: float | None


class Gate(Record):
    name: str
    limit: Any
    value: Any
    verdict: Literal["pass", "pass, below the limit as production is", "fail", "off"]
    reason: str | None = None


class Canary(Record):
    requests: int = Field(default=300, ge=1)  # that a weight waits for


class Served(Record):
    """What `serving` of model.yaml says about the cluster."""

    api: int = 1  # a higher one refuses requests that the lower one answered
    strategy: Literal["canary", "gateway", "bluegreen", "serverless"]  # deploy/strategies; canary is the base itself
    slow_ms: float = Field(gt=0)
    latency_budget_ms: float | None = Field(default=None, gt=0)
    canary: Canary = Canary()


class Promise(Record):
    """Rows of the test window by [bin of the champion's answer][bin of this model's], or why there are none."""

    champion: str  # version
    slow_ms: float | None = Field(default=None, gt=0)  # the champion's own
    latency_budget_ms: float | None = Field(default=None, gt=0)
    counts: list[list[int]] | None = None
    fault: str | None = None

    @field_validator("counts")
    @classmethod
    def _square(cls, counts: list[list[int]] | None) -> list[list[int]] | None:
        whole = counts is None or (len(counts) == BINS and all(len(row) == BINS and min(row) >= 0 for row in counts))
        if not whole:
            raise ValueError(f"must be {BINS} lists of {BINS} numbers of rows")
        return counts

    @property
    def rows(self) -> int:
        return sum(map(sum, self.counts or []))


class Shares(Record):
    """Training's shares of a feature's bins, or of the answers', and how far from them a window may lie."""

    shares: list[float]
    chi2: float
    limits: dict[str, float | None]  # by length of the window
    rows: int | None = None  # those of the reference, unless it says
    broken: float | None = None  # share of the last bins
    last: int = Field(default=1, ge=1)  # how many bins hold what is broken: null, and of text any unknown value
    matters: bool = False


class Reference(Record):
    """What the live model is measured against."""

    rows: int
    main: str  # metric
    higher: list[str]  # metrics of which more is better
    fall: float | None = None  # of it, in the worst seven days of training against all of it
    features: dict[str, Shares]
    answers: Shares


class Passport(Record):
    """`models/<model>/build/passport.yaml`, and a release's, which adds the image."""

    model: str
    version: str = Field(pattern=r"^[0-9a-f]{12}$")
    verdict: Literal["pass", "fail"]
    content: dict[str, str]  # hashes; `onnx` is the SHA-256 of model.onnx
    metrics: dict[str, Interval]
    gates: list[Gate]
    judged_by: list[str]  # the gates there were when it was made
    serving: Served
    dataset: dict[str, Any] = {}  # `rows`: of its test window
    slo: dict[Literal["availability", "latency"], float] = {}
    reference: Reference | None = None
    promises: list[Promise] = []  # about the releases that stood when it was judged
    image: Image | None = None


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
            return bool(self.image)
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


def parse_image(reference: str, commit: str | None = None) -> Image:
    """Split `name@sha256:<hex>`; a tag, even beside a digest, is refused: it can move, or lie."""
    name, _, digest = reference.partition("@")
    give = "give --image name@sha256:<64 hex digits>, as pushing the image printed it"
    if ":" in name.rsplit("/", 1)[-1]:
        raise Refusal(f"--image {reference} names a tag, which can come to mean other bytes; {give}.")
    try:
        return Image(name=name, digest=digest, commit=commit)
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        raise Refusal(f"--image {reference}: the {field} is {'malformed' if digest else 'missing'}; {give}.") from None


def parse_yaml(content: bytes) -> Any:
    """YAML of a release, whose hundreds `verify` reads."""
    return yaml.load(content, Loader=LOADER)  # noqa: S506 - both are safe loaders


def parse_passport(content: bytes, where: Path) -> Passport:
    """Read a passport's bytes; a fault becomes a Refusal that names `where` and the field."""
    return parsed(_passport, content, where, "it must be made again")


def parsed(parse: Callable[[bytes], Parsed], content: bytes, where: Path, fix: str) -> Parsed:
    """What `parse` makes of the YAML of a file; a fault becomes a Refusal that names `where` and the field."""
    try:
        return parse(content)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise Refusal(f"{where}: {field}: {fault['msg']}; {fix}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise Refusal(f"{where}: not YAML ({' '.join(str(error).split())}); {fix}.") from None


@lru_cache(maxsize=512)  # a release is the same bytes in several commits and environments
def _passport(content: bytes) -> Passport:
    return Passport.model_validate(parse_yaml(content))


def complete(passport: bytes, image: Image, where: Path) -> bytes:
    """The passport with its image appended; not one byte of what the models stage wrote is touched."""
    lines = ["", "image:", f'  name: "{image.name}"', f"  digest: {image.digest}"]
    lines += [f'  commit: "{image.commit}"'] if image.commit else []  # quoted: forty digits alone would be a number
    lines += [f"  proof: {image.proof}"] if image.proof else []
    lines += [f"  platform: {image.platform}"] if image.platform else []
    completed = passport.rstrip(b"\n") + "\n".join([*lines, ""]).encode()
    try:
        whole = parse_yaml(completed) == {**parse_yaml(passport), "image": image.model_dump(exclude_none=True)}
    except (yaml.YAMLError, ValueError, TypeError):
        whole = False
    if not whole or parse_passport(passport, where).image is not None:
        raise Refusal(f"{where}: no image can be added to it; make it again with `python -m models run`.")
    return completed


def read(environment: str, model: str, root: Path = Path()) -> Release | None:
    """The release in a tree, with those of its files that are there; None where there is none."""
    paths = [root / place(environment, model) / name for name in (*FILES, MONITORING)]
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
    if MONITORING not in release.files:  # of the release before
        (release.folder / MONITORING).unlink(missing_ok=True)
    for name in sorted(release.files, key=FILES[0].__eq__):
        write_file(release.folder / name, release.files[name])
