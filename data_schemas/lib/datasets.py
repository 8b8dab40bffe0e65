"""Datasets as the other stages see them: names, contracts and tables, whole or of any months.

A dataset is a folder of data_schemas/ with a `schema.py` (its contract) and a `source.py` (where its rows come from);
`python -m data_schemas ingest <dataset>` fills its data folder.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from repo.lib.refusal import Ended, Refusal, described, meant

if TYPE_CHECKING:
    import polars as pl
    from pandera.polars import DataFrameModel, DataFrameSchema

DATASETS = Path("data_schemas")
WHOLE = "all"  # the one file of a dataset without months
# Options with which pandera casts, fills or drops rows in a copy that nobody keeps, or only warns of them.
MENDING = ("coerce", "default", "drop_invalid_rows", "add_missing_columns", "parsers", "raise_warning")
UNKNOWN = "unknown"  # the unit of a drafted column
ABOUT = ("owner", "source", "licence", "purpose", "retention")  # texts in the metadata of a schema's Config
OF_COLUMN = ("unit", "example", "personal", "key", "known")  # what the metadata of a column may say


def names() -> list[str]:
    """Every dataset: the folders that hold a `schema.py`. Nothing else lists datasets."""
    return sorted(path.parent.name for path in DATASETS.glob("*/schema.py"))


def folder(dataset: str) -> Path:
    """The dataset's folder; refuses a name that is not a dataset."""
    if dataset not in names():
        path = DATASETS / dataset / "schema.py"
        raise Refusal(f"there is no dataset {dataset!r} ({path} is missing); datasets: {', '.join(names()) or 'none'}.")
    return DATASETS / dataset


def data(dataset: str) -> Path:
    """Where its Parquet files are, one a month or `all.parquet` alone. Git ignores it; `data.dvc` pins its version."""
    return folder(dataset) / "data"


def build(dataset: str) -> Path:
    """What verbs make and Git ignores."""
    return folder(dataset) / "build"


def module(dataset: str, name: str) -> ModuleType:
    """`schema.py` or `source.py` of a dataset, imported; whatever is wrong in it becomes a Refusal."""
    path = folder(dataset) / f"{name}.py"
    if not path.is_file():
        raise Refusal(f"{path} is missing; write it (see data_schemas/README.md).")
    try:
        return importlib.import_module(f"data_schemas.{dataset}.{name}")
    except (Refusal, Ended):
        raise
    except (Exception, SystemExit) as error:  # a team's file: any error in it is one sentence
        raise Refusal(f"{path} cannot be loaded ({described(error)}); fix the file.") from error


def schema(dataset: str) -> type[DataFrameModel]:
    """The pandera model of a dataset's rows: the one that its `schema.py` defines."""
    import pandera.polars as pa

    source, path = module(dataset, "schema"), folder(dataset) / "schema.py"
    models = [
        value
        for value in vars(source).values()
        if isinstance(value, type) and issubclass(value, pa.DataFrameModel) and value.__module__ == source.__name__
    ]
    if len(models) != 1:
        raise Refusal(f"{path} must define one pandera DataFrameModel, not {len(models)}; fix the file.")
    try:
        found = models[0].to_schema()
    except Exception as error:  # an annotation or a check that pandera does not take
        raise Refusal(f"{path}: {models[0].__name__} is not a schema ({error}); fix the file.") from error
    _refuse_mending(path, found)
    _refuse_values(path, found)
    _refuse_unread(path, "Config", getattr(models[0].Config, "metadata", None), ABOUT)
    for name, column in found.columns.items():
        _refuse_unread(path, name, column.metadata, OF_COLUMN)
    return models[0]


def _refuse_mending(path: Path, schema: DataFrameSchema) -> None:
    """What is on disk is what is judged: a check of corrected rows would say nothing of those that training reads."""
    parts = [("Config", schema), *schema.columns.items(), *(("a rule of the table", rule) for rule in schema.checks)]
    parts += [(name, rule) for name, column in schema.columns.items() for rule in column.checks]
    for name, part in parts:
        for option in MENDING:
            if (value := getattr(part, option, None)) is not None and value is not False and value != []:
                raise Refusal(
                    f"{path}: {name}: the option {option} changes or excuses rows only while they are checked, and "
                    "training reads them as they are on disk; delete it, and fix the rows in source.py."
                )


def _refuse_values(path: Path, schema: DataFrameSchema) -> None:
    """What a schema says of a column is in the contract of every model that reads it, and on its page."""
    for name, column in schema.columns.items():
        about = column.metadata or {}
        listed = [check.name for check in column.checks if check.name in ("isin", "equal_to")]
        if about.get("personal") and (listed := listed + [key for key in ("example",) if key in about]):
            raise Refusal(
                f"{path}: {name} is personal, and whoever calls a model reads its {listed[0]}; delete it, and give a "
                "range or a pattern."
            )


def _refuse_unread(path: Path, name: str, metadata: Any, known: tuple[str, ...]) -> None:
    """A typo would take the mark off a personal column, and nobody would see it."""
    for key in metadata or {}:
        if key not in known and not str(key).startswith("x-"):
            raise Refusal(
                f"{path}: {name}: metadata has no {key!r}{meant(str(key), known)}; write one of {', '.join(known)}, or "
                "start a key of your own with x-."
            )


def personal(dataset: str) -> set[str]:
    """The columns that its schema marks as personal: their values leave data/ for nothing that a verb writes."""
    return {name for name, each in schema(dataset).to_schema().columns.items() if (each.metadata or {}).get("personal")}


def columns(dataset: str) -> list[str]:
    """The columns of a row, in order."""
    return list(schema(dataset).to_schema().columns)


def about(dataset: str) -> dict[str, Any]:
    """What the schema says of owner, source and use of the rows, empty where it says nothing, and personal columns."""
    said = getattr(schema(dataset).Config, "metadata", None)
    texts = {name: str(said.get(name) or "").strip() if isinstance(said, dict) else "" for name in ABOUT}
    return {**texts, "personal": [name for name in columns(dataset) if name in personal(dataset)]}


def listed(values: Iterable[Any]) -> list[Any]:
    """What a check allows, as values of Python; those of a set, which has another order in each process, sorted."""
    if isinstance(values, set | frozenset):
        values = sorted(values, key=lambda value: (type(value).__name__, value))
    return [value.item() if hasattr(value, "item") else value for value in values]  # a number of numpy


def parts(dataset: str) -> list[str]:
    """What was ingested, by the names of its files: months in order, or `all` alone."""
    found = sorted(path.stem for path in data(dataset).glob("*.parquet"))
    if not found:
        raise Refusal(f"{data(dataset)} holds no data; make it with `python -m data_schemas ingest {dataset}`.")
    return found


def months(dataset: str) -> list[str]:
    """The months that were ingested, in order; refuses a dataset that has none."""
    found = parts(dataset)
    if found == [WHOLE]:
        raise Refusal(f"{dataset} has no months: its source gives one table(); choose its rows without naming months.")
    return found


def write(table: pl.DataFrame, path: Path) -> None:
    """As every file of a dataset is written: equal rows give equal bytes under one version of polars."""
    table.write_parquet(path, compression="zstd", compression_level=9)


def read_all(dataset: str) -> pl.DataFrame:
    """Every row there is, in the order of months where there are any; columns in the schema's order."""
    return read(dataset, parts(dataset))


def read(dataset: str, months: list[str]) -> pl.DataFrame:
    """The rows of the named months ("2013-01"), one table in the schema's column order."""
    import polars as pl

    fix, order, tables = f"make it with `python -m data_schemas ingest {dataset}`", columns(dataset), []
    for month in months:
        path = data(dataset) / f"{month}.parquet"
        if not path.is_file():
            raise Refusal(f"{path} is missing; {fix}.")
        try:
            tables.append(pl.read_parquet(path, glob=False).select(order))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise Refusal(f"{path} cannot be read ({' '.join(str(error).split())}); {fix}.") from None
    if not tables:
        raise Refusal(f"no month of {dataset} was asked for; name at least one, such as 2013-01.")
    return pl.concat(tables)
