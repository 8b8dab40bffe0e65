"""`model.yaml` as one frozen, strict type: an unknown key, a wrong type or an impossible window is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from models.lib.limits import Gates, Strict
from models.lib.settings import Kubeflow, Objectives, Price, Retraining, Serving
from models.lib.split import Parts, Split, Windows
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal, meant

MODELS = Path("models")


class Target(Strict):
    """What is predicted; models/lib/tasks/ says how it is read."""

    column: str


class Model(Strict):
    """`models/<name>/model.yaml`, the whole of what a team writes besides `network.py`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")  # the folder, not a key of the file
    description: str
    owner: str = ""  # a team or a role; production asks for it
    task: Literal["binary", "multiclass", "regression"] = "binary"
    dataset: str
    windows: Windows | None = None
    split: Split | None = None  # in its place
    target: SerializeAsAny[Target]
    features: list[str] = Field(min_length=1)  # raw columns of the dataset, in the order of the ONNX inputs
    # column -> bin edges (upper end exclusive), or its categories
    slices: dict[str, list[float] | Literal["categories"]]
    training: dict[str, Any]  # handed to network.py as it stands
    gates: SerializeAsAny[Gates]
    serving: SerializeAsAny[Serving]
    slo: Objectives = Objectives()
    retraining: Retraining = Retraining()
    price: Price | None = None
    kubeflow: Kubeflow = Kubeflow()
    runs_on: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None  # the runner that trains it in GitHub's jobs
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

    @model_validator(mode="after")
    def _divided(self) -> Model:
        if (self.windows is None) == (self.split is None):
            raise ValueError("give either `windows` or `split`, which say what trains, validates and tests the model")
        return self

    @property
    def parts(self) -> Parts:
        """Which rows train, validate and test it."""
        found = self.windows or self.split
        assert found is not None
        return found

    @property
    def gate_names(self) -> list[str]:
        """Every gate in the order of a verdict: figures, what they are compared with, the file, its behaviour."""
        last = ("champion", "baseline", "plausible", "shift", "parity", "latency", "size_mb", "behaviour")
        return [*(name for name in type(self.gates).model_fields if name not in last), *last]

    def span(self, part: str) -> str:
        """Which rows the part (train, valid or test) holds, in words."""
        return self.parts.span(part)

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
    from models.lib.tasks import task

    path = MODELS / name / "model.yaml"
    if name not in names():
        raise Refusal(f"there is no model {name!r} ({path} is missing); models: {', '.join(names()) or 'none'}.")
    content = read_yaml(path, "fix the file")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise Refusal(f"{path} must be a mapping of settings; see models/README.md.")
    word = content.get("task", "binary")
    if word not in get_args(Model.model_fields["task"].annotation):
        raise Refusal(f"{path}: task: {word!r} is not binary, multiclass or regression; write one of them.")
    try:
        model = task.settings(word)(name=name, **content)
    except TypeError:
        raise Refusal(f"{path}: name is the folder's name, not a key; delete it.") from None
    except ValidationError as error:
        errors = error.errors()
        first = next(
            (each for each in errors if each["type"] == "extra_forbidden"), errors[0]
        )  # a typo, not what it lacks
        where, why = [str(part) for part in first["loc"]], first["msg"].removeprefix("Value error, ")
        if where[:1] == ["split"]:  # pydantic puts what `by` says behind it
            del where[1:2]
        if first["type"] == "extra_forbidden":
            lacking = [str(each["loc"][-1]) for each in errors if each["type"] == "missing"]
            why = "is no setting" + meant(where[-1], [*lacking, *gate_and_setting_names(word)])
        raise Refusal(f"{path}: {'.'.join(where) or 'the file'}: {why}; fix it there.") from None
    if check_columns:
        _check_columns(model, path)
    return model


def gate_and_setting_names(word: str) -> list[str]:
    """What model.yaml and its gates may say for this task."""
    from models.lib.tasks import task

    kinds = task.settings(word).model_fields
    return [*kinds, *getattr(kinds["gates"].annotation, "model_fields", {}), *Serving.model_fields]


def _check_columns(model: Model, path: Path) -> None:
    """Hold every column that is named against the dataset's schema."""
    import polars as pl

    from data_schemas.lib import datasets
    from models.lib.tasks import task

    schema = datasets.schema(model.dataset).to_schema().columns
    kinds: dict[str, Any] = {name: getattr(column.dtype, "type", column.dtype) for name, column in schema.items()}
    known = {"features": model.features}
    known |= {f"{model.parts.setting}.{field}": names for field, names in model.parts.columns.items()}
    hidden = datasets.personal(model.dataset)
    if both := [name for name in model.serving.dropped if name in model.features]:
        raise Refusal(f"{path}: serving.dropped: {both[0]!r} is a feature; take it out of one of the two lists.")
    for field, names in {"target.column": [model.target.column], "slices": [*model.slices], **known}.items():
        for name in names:
            if name not in kinds:
                every = ", ".join(kinds)
                raise Refusal(f"{path}: {field}: {name!r} is not a column of {model.dataset}; columns: {every}.")
            if name == model.target.column and field in known:
                raise Refusal(f"{path}: {field}: {name!r} is the target, which nobody knows beforehand; name another.")
            may = field.endswith(".key") or (field == "features" and kinds[name] != pl.String)  # a hash, and a number
            if name in hidden and not may:
                raise Refusal(
                    f"{path}: {field}: {name!r} is personal, and its values would be in the file, its reports or its "
                    "service; name another, such as an age group or a region that source.py makes of it."
                )
    for column, edges in model.slices.items():
        if edges != "categories" and not kinds[column].is_numeric():
            kind = "text" if kinds[column] == pl.String else kinds[column]
            raise Refusal(f"{path}: slices.{column}: bin edges need a number, and it is {kind}; write `categories`.")
    if fault := model.parts.misfit(kinds, model.features):
        raise Refusal(f"{path}: {model.parts.setting}.{fault[0]}: {fault[1]}; fix it there.")
    task.of(model).check_target(kinds[model.target.column], f"{path}: target")
    for name in model.features:
        own = name in ("ids", "numbers", "matrix", task.of(model).output)
        why = "is what the ONNX file calls a tensor of its own" if own else None
        if why := why or unfit(name, kinds[name], schema[name].nullable):
            raise Refusal(f"{path}: features: {name!r} {why}; take it out, or change the column.")


def unfit(name: str, kind: Any, nullable: bool) -> str | None:
    """Why a column can be no feature: a request, and the graph's inputs, have text, whole numbers and floats."""
    import polars as pl

    if name == "target":
        return "is what the outcome is called in the table that `fit` gets"
    if kind == pl.String or kind.is_float():
        return None
    if not kind.is_integer() or kind == pl.UInt64:
        return f"is {kind}, and a request has text, whole numbers of 64 bits and floats"
    return "is a whole number that may be null, which a request has not: a float can" if nullable else None
