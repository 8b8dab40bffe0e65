"""What a model has to keep: the gates of `model.yaml`, and those that every task has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Reason = Annotated[str, Field(min_length=10)]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Gate(Strict):
    """Every gate is on unless `off` gives a reason; what it may be limited by is in the subclass."""

    off: Reason | None = None

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


class LargeAtLeast(AtLeast):
    rows: int | None = Field(default=None, ge=1)  # smaller slices or classes are reported, not judged


class LargeAtMost(AtMost):
    rows: int | None = Field(default=None, ge=1)


class Champion(Gate):
    # What a candidate may lose of the task's main metric, at the worse end of the paired interval, in its unit.
    margin: float | None = Field(default=None, ge=0)
    # A limit that production itself misses on the same rows: a candidate that is not worse passes it, loudly.
    below_limits: Literal["allowed", "refused"] = "allowed"


class Plausible(Gate):
    """What is too good to be true: the target in a feature's clothes is the most expensive fault of all."""

    # One feature alone has to score less than the model by more than this, where it scores at all: what stays within a
    # tenth of the way from knowing nothing to knowing all gives nothing away.
    alone: Share = 0.02
    explained: dict[str, Reason] = {}  # feature -> why it may know that much
    jump: Share = 0.05  # by which a candidate may be better than the champion without a word
    # Why it is better by more; the next such release needs its own.
    because: Annotated[str, Field(pattern="^$|.{10}")] = ""

    @field_validator("explained", mode="before")
    @classmethod
    def _by_feature(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return given
        raise ValueError("write a feature and why it may know that much, such as `{age: it is known beforehand}`")


class LabelShift(Gate):
    """What may change for callers without a word: beyond it `serving.shift` says that it is meant, and why."""

    labels: Share = 0.25  # of rows that get another label than the champion gives


class Latency(Gate):
    """99th percentile, milliseconds of processor time, of one call of the ONNX file on one thread."""

    one_row_ms: float | None = Field(default=None, gt=0)
    hundred_rows_ms: float | None = Field(default=None, gt=0)


class Behaviour(Gate):
    tests: int | None = Field(default=None, ge=1)  # fewer that ran and passed is a failure


class Gates(Strict):
    """Those of every task; models/lib/tasks/ adds metrics, slices, the baseline and what may change for callers."""

    champion: Champion
    parity: AtMost  # largest difference between network and ONNX file, in the unit of the output
    latency: Latency
    size_mb: AtMost
    plausible: Plausible = Plausible()
    behaviour: Behaviour
