"""Draft a dataset from a table, and pin it: `python -m data_schemas new orders --from orders.csv`."""

import argparse
import importlib.util
import keyword
import re
import shutil
from pathlib import Path

import polars as pl

from data_schemas import ingest
from data_schemas.lib import datasets, tables
from data_schemas.lib.draft import guess, write
from repo.lib import files
from repo.lib.refusal import Refusal

TEXT = (".csv", ".tsv", ".txt")
LARGEST = 10_000_000  # bytes of a table that Git should hold


def main(options: argparse.Namespace) -> int:
    name, given = options.dataset, Path(options.file)
    folder = datasets.DATASETS / name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise Refusal(f"{name!r} cannot name a dataset; take lower-case letters, digits and _, such as orders.")
    if folder.exists() or importlib.util.find_spec(f"data_schemas.{name}"):  # such as `ingest` and `lib`
        raise Refusal(f"{folder} is there already; take another name, or edit what is there.")
    if not given.is_file():
        raise Refusal(f"{given} is not a file; give --from the path of a CSV or Parquet file.")
    if given.suffix.lower() not in (*TEXT, ".parquet"):
        raise Refusal(f"{given} is neither .csv nor .parquet; give a file of these types.")
    copy = folder / ("table.csv" if given.suffix.lower() in TEXT else "table.parquet")
    folder.mkdir()
    try:
        hidden = set(filter(None, options.personal.split(",")))
        _draft(name, given, copy, hidden)
        importlib.invalidate_caches()
        if ingest.main(argparse.Namespace(dataset=name, accept=False, pinned=False)):
            raise Refusal(f"the draft does not hold for {given}, as the lines above say; fix the file, and run again.")
    except BaseException as error:
        shutil.rmtree(folder)
        if isinstance(error, Refusal):  # it names the copy, which is gone
            raise Refusal(str(error).replace(str(copy), str(given))) from None
        raise
    print(f"Read the guesses in {folder}/schema.py and {folder}/source.py, describe the columns, and commit {folder}.")
    if (size := copy.stat().st_size) > LARGEST or hidden:
        files.write(folder / ".gitignore", f"/{copy.name}\n")
        why = "is about persons, whom Git cannot forget" if hidden else f"has {size / 1e6:,.0f} MB, too many for Git"
        print(
            f"{given.name} {why}, so Git ignores the copy: `dvc push` the "
            f"rows to a remote that CI reaches, or let {folder}/source.py fetch the file from where CI reaches it."
        )
    return 0


def _draft(name: str, given: Path, copy: Path, hidden: set[str]) -> None:
    """Copy the table, as UTF-8 where it is text, and write both files beside it."""
    separator, names, nulls = None, None, [""]
    if is_text := copy.suffix == ".csv":
        text = tables.decode(given.read_bytes())
        separator, names = tables.sniff(text)
        files.write(copy, text)
        nulls = guess.null_words(tables.cells(copy, separator, []))
    else:
        files.write(copy, given.read_bytes())
    cells = tables.cells(copy, separator or ",", nulls)
    guess.refuse_names(str(given), names or cells.columns)
    if unknown := hidden.difference(cells.columns):
        raise Refusal(f"{given} has no column {min(unknown)!r}; give --personal names of its columns.")
    if not cells.height:
        raise Refusal(f"{given} holds no rows; give a table that has some.")
    kinds = {column.name: guess.kind(str(given), column, declared=not is_text) for column in cells}
    table = tables.read(copy, kinds, separator or ",", nulls)
    flags = [name for name, kind in kinds.items() if kind == pl.Boolean]
    table = table.cast({name: pl.Float64 if table[name].null_count() else pl.Int64 for name in flags})
    files.write(copy.with_name("schema.py"), write.schema(name, table, hidden))
    files.write(copy.with_name("source.py"), write.source(name, table, kinds, copy.name, separator, nulls, hidden))
