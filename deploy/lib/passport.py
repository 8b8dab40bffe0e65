"""A passport: what the models stage says of a model, and in a release of its image."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.lib import config
from models.lib.settings import Strategy
from repo.lib.files import LOADER
from repo.lib.refusal import Refusal

BINS = 10  # of what is answered, as the service counts them

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

    def of_another(self, model: str) -> str | None:
        """The other model that the last part of the name is the folder of."""
        last = self.name.rpartition("/")[2].replace("-", "_")
        return last if last != model and last in config.names() else None


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
    strategy: Strategy
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
    governance: dict[str, Any] = {}  # as models/lib/governance.py records it
    slo: dict[Literal["availability", "latency"], float] = {}
    reference: Reference | None = None
    promises: list[Promise] = []  # about the releases that stood when it was judged
    image: Image | None = None


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
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
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
