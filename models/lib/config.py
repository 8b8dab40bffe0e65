"""`model.yaml` as one frozen, strict type: an unknown key, a wrong type or an impossible window is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from data_schemas.lib import months
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

MODELS = Path("models")
Month = Annotated[str, Field(pattern=f"^{months.PATTERN}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Window(Strict):
    """Months, both inclusive."""

    first: Month
    last: Month

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) lies after last ({self.last})")
        return self

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    def months(self) -> list[str]:
        return [months.name(number) for number in range(months.number(self.first), months.number(self.last) + 1)]


class Windows(Strict):
    train: Window
    valid: Window  # early stopping and calibration
    test: Window  # every number in the report and every gate

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Windows:
        for earlier, later in (("train", "valid"), ("valid", "test")):
            if getattr(self, earlier).last >= getattr(self, later).first:
                raise ValueError(f"the {earlier} window ({getattr(self, earlier).last}) overlaps or follows {later}")
        return self


class Target(Strict):
    """A row is positive when `column` is greater than `above` (in the column's unit)."""

    column: str
    above: float


class Gate(Strict):
    """Every gate is on unless `off` gives a reason; what it may be limited by is in the subclass."""

    off: str | None = Field(default=None, min_length=10)

    @model_validator(mode="before")
    @classmethod
    def _off_is_a_word(cls, keys: Any) -> Any:  # YAML 1.1 takes the key `off` for false
        return {"off" if key is False else key: keys[key] for key in keys} if isinstance(keys, dict) else keys

    @model_validator(mode="after")
    def _limited_or_off(self) -> Gate:
        for name, field in type(self).model_fields.items():
            if name != "off" and field.default is None and (getattr(self, name) is None) == (self.off is None):
                raise ValueError(f"give `{name}`, or switch the gate off with `off: <reason>`")
        return self


class AtLeast(Gate):
    at_least: float | None = None


class AtMost(Gate):
    at_most: float | None = None


class SliceAtLeast(AtLeast):
    rows: int | None = Field(default=None, ge=1)  # smaller slices are reported, not judged


class Champion(Gate):
    margin: float | None = Field(default=None, ge=0)  # ROC AUC that a candidate may lose, upper bound of the interval
    # A limit that production itself misses on the same rows: a candidate that is not worse passes it, loudly.
    below_limits: Literal["allowed", "refused"] = "allowed"


class Shift(Gate):
    """What may change for callers without a word: beyond it `serving.shift` says that it is meant, and why."""

    labels: Share = 0.25  # of rows that get another label than the champion gives
    positives: float = Field(default=1.5, ge=1)  # times as many, or as few, rows labelled positive


class Baseline(Gate):
    """What a first release, without a champion, is compared with."""

    roc_auc: float | None = None


class Latency(Gate):
    """99th percentile, milliseconds of processor time, of one call of the ONNX file on one thread."""

    one_row_ms: float | None = Field(default=None, gt=0)
    hundred_rows_ms: float | None = Field(default=None, gt=0)


class Behaviour(Gate):
    tests: int | None = Field(default=None, ge=1)  # fewer that ran and passed is a failure


class Gates(Strict):
    roc_auc: AtLeast
    log_loss: AtMost
    brier: AtMost
    calibration_error: AtMost
    slice_roc_auc: SliceAtLeast
    champion: Champion
    baseline: Baseline
    parity: AtMost  # largest difference between network and ONNX file, a score
    latency: Latency
    size_mb: AtMost
    shift: Shift = Shift()
    behaviour: Behaviour


class Canary(Strict):
    requests: Annotated[int, Field(ge=30)] = 300  # more to the canary before each weight is left, within an hour


class Serving(Strict):
    api: Annotated[int, Field(ge=1)] = 1  # raised by one, it says that callers know of a contract that breaks requests
    # Former features: still accepted, ignored and counted, so that a canary answers what the champion answers. Taking
    # one out of this list refuses those who send it, which a raised `api` declares.
    dropped: list[str] = []
    # Why labels change more than gates.shift allows, in the words of the team; the next such release needs its own.
    shift: Annotated[str, Field(min_length=10)] | None = None
    threshold: Share  # scores at or above it are labelled positive
    max_rows: Annotated[int, Field(ge=1, le=10_000)]  # rows in one request
    max_body_bytes: Annotated[int, Field(ge=1_000)]
    latency_budget_ms: Annotated[float, Field(gt=0)]  # histogram buckets are densest around it
    # A request above it is slow: with 5-15 % of traffic above. Without it `measure` finds it, beside the champion.
    slow_ms: Annotated[float, Field(gt=0)] | None = None
    strategy: Literal["canary", "gateway", "bluegreen", "serverless"] = "canary"  # of deploy/strategies
    canary: Canary = Canary()  # of the strategies canary and gateway


class Model(Strict):
    """`models/<name>/model.yaml`, the whole of what a team writes besides `network.py`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")  # the folder, not a key of the file
    description: str
    dataset: str
    windows: Windows
    target: Target
    features: list[str] = Field(min_length=1)  # raw columns of the dataset, in the order of the ONNX inputs
    slices: dict[
        str, list[float] | Literal["categories"]
    ]  # column -> bin edges (upper end exclusive), or its categories
    training: dict[str, Any]  # handed to network.py as it stands
    gates: Gates
    serving: Serving
    frame: Literal["polars", "pandas"] = "polars"  # the tables that network.py gets
    backend: Literal["torch", "tensorflow"] = "torch"  # of Keras, for a network.py in Keras
    storage: Literal["git", "dvc"]  # where the bytes of weights/ and model.onnx live

    @field_validator("features")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]!r} is listed twice")
        return names

    @field_validator("slices")
    @classmethod
    def _rising(cls, slices: dict[str, Any]) -> dict[str, Any]:
        for column, edges in slices.items():
            if edges != "categories" and (len(edges) < 2 or edges != sorted(set(edges))):
                raise ValueError(f"{column}: bin edges must be two or more, in rising order")
        return slices

    @property
    def folder(self) -> Path:
        return MODELS / self.name

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def weights(self) -> Path:
        """The trained network as `save` of network.py writes it."""
        return self.folder / "weights"

    @property
    def requirements(self) -> Path:
        """Where it is there: the lock of packages of this model's own, beside those of the template."""
        return self.folder / "requirements.txt"

    @property
    def build(self) -> Path:
        """What verbs make and Git ignores."""
        return self.folder / "build"


def names() -> list[str]:
    """Every model: the folders that hold a `model.yaml`. Nothing else lists models."""
    return sorted(path.parent.name for path in MODELS.glob("*/model.yaml"))


def load(name: str, check_columns: bool = True) -> Model:
    """Read one model's configuration; every error becomes one Refusal that names file and field.

    `check_columns` holds every named column against the dataset's schema, which imports pandera (0.7 s).
    """
    path = MODELS / name / "model.yaml"
    if name not in names():
        raise Refusal(f"there is no model {name!r} ({path} is missing); models: {', '.join(names()) or 'none'}.")
    content = read_yaml(path, "fix the file")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise Refusal(f"{path} must be a mapping of settings; see models/README.md.")
    try:
        model = Model(name=name, **content)
    except TypeError:
        raise Refusal(f"{path}: name is the folder's name, not a key; delete it.") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Refusal(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}; fix it there.") from None
    if check_columns:
        _check_columns(model, path)
    return model


def _check_columns(model: Model, path: Path) -> None:
    """Hold every column that is named against the dataset's schema."""
    import polars as pl

    from data_schemas.lib import datasets

    kinds = datasets.schema(model.dataset).to_schema().dtypes
    columns = list(kinds)
    named = {"target.column": [model.target.column], "features": model.features, "slices": list(model.slices)}
    if both := [name for name in model.serving.dropped if name in model.features]:
        raise Refusal(f"{path}: serving.dropped: {both[0]!r} is a feature; take it out of one of the two lists.")
    for field, values in named.items():
        for value in values:
            if value not in columns:
                raise Refusal(
                    f"{path}: {field}: {value!r} is not a column of {model.dataset}; columns: {', '.join(columns)}."
                )
    for column, edges in model.slices.items():
        if edges != "categories" and kinds[column].type == pl.String:
            raise Refusal(f"{path}: slices.{column}: bin edges need a number, and it is text; write `categories`.")
    if model.target.column in model.features:
        raise Refusal(f"{path}: features: {model.target.column!r} is the target; a feature must be known beforehand.")
