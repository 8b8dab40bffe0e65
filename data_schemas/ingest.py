"""Read a dataset from its source, check it, and pin its version: `python -m data_schemas ingest flights`."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from data_schemas.lib import datasets, pointer, quarantine
from data_schemas.lib.pointer import Version
from repo.lib import files, process
from repo.lib.refusal import Ended, Refusal, described

MONTH = r"\d{4}-(0[1-9]|1[0-2])"  # such as 2013-01


def main(options: argparse.Namespace) -> int:
    if options.pinned:
        return bring(options.dataset)
    dataset, console = options.dataset, Console()
    aside = datasets.build(dataset) / quarantine.FILE
    with files.exclusive(datasets.build(dataset) / "ingest.lock", f"ingest {dataset}"), _staging(dataset) as staged:
        from data_schemas import validate  # not on top: it takes a second to import, which `--pinned` need not wait for

        parts = _write(dataset, staged, console)
        left_out = quarantine.sift(dataset, staged)
        inspection = validate.inspect(dataset, [staged / f"{part}.parquet" for part in parts])
        if inspection.violations:
            validate.show(inspection, console)
            if aside.is_file():
                most = f"QUARANTINE of its schema.py takes at most {quarantine.share(dataset):.3%}"
                console.print(f"{aside} has every row that breaks a rule; {most}.", soft_wrap=True)
            console.print("The source violates the contract; nothing was changed.", soft_wrap=True)
            return 1
        version, pinned = replace(pointer.measure(staged), quarantined=left_out), pointer.pinned(dataset)
        if pinned and pinned != version and not options.accept:
            _show_change(dataset, staged, pinned, version, console)
            return 1
        if pinned != version or (options.accept and pinned.quarantined != left_out):
            pointer.pin(dataset, version)  # before the data: a kill in between is fixed by running again
        if pointer.measure(datasets.data(dataset)) != version:
            _place(staged, datasets.data(dataset))
        record(dataset)
    state = "as pinned" if pinned == version else f"now pinned in {pointer.path(dataset)}; commit that file"
    span = f"{parts[0]} to {parts[-1]}" if parts[0] != datasets.WHOLE else "one table"
    if left_out:
        console.print(f"{left_out:,} rows break the contract and are left out; {aside} has them.", soft_wrap=True)
    console.print(f"{dataset}: {inspection.total:,} rows, {span}; version {version.short}, {state}.", soft_wrap=True)
    return 0


def bring(dataset: str) -> int:
    """Put the pinned version in place: what is here, DVC's cache or remote, or the source while it still gives it.

    A source that has gone on by now is not the fault of a change that is checked against the pinned version.
    """
    pinned, data, console, origin = pointer.demand(dataset), datasets.data(dataset), Console(), "here"
    with files.exclusive(datasets.build(dataset) / "ingest.lock", f"ingest {dataset}"):
        if pointer.measure(data) != pinned:
            reason, origin = pull(dataset), "from DVC"
        if pointer.measure(data) != pinned:
            origin = "from the source"
            with _staging(dataset) as staged:
                for part in _write(dataset, staged, console)[pinned.nfiles :]:  # that the source has gained since
                    (staged / f"{part}.parquet").unlink()
                if pinned.quarantined:
                    quarantine.sift(dataset, staged)
                if (found := pointer.measure(staged)) != pinned:
                    raise Refusal(_unproven(dataset, pinned, found, reason))
                _place(staged, data)
    console.print(f"{dataset}: version {pinned.short}, {origin}, as pinned.", soft_wrap=True)
    return 0


def pull(dataset: str) -> str:
    """Let DVC bring the pinned data; what it printed where it could not."""
    command = [sys.executable, "-m", "dvc", "pull", "--quiet", "--force", str(pointer.path(dataset))]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return process.reason(done.stderr) if done.returncode else "DVC has not got it"


def _unproven(dataset: str, pinned: Version, found: Version, reason: str) -> str:
    todo = (
        "`dvc push` it from a machine that has it to a remote that this one reaches, or take what the source gives "
        f"with `python -m data_schemas ingest {dataset} --accept`"
    )
    if os.environ.get("STRANGER"):  # set by ci.yml
        todo = (
            "a pull request of a fork gets no credentials, so nothing is proven here; somebody who may write to this "
            "repository pushes the branch to it"
        )
    gives = f"{reason}, and its source gives {found.short}"
    return f"the pinned data {pinned.short} of {dataset} cannot be brought: {gives}; {todo}."


@contextmanager
def _staging(dataset: str) -> Iterator[Path]:
    """A folder on the data's file system, so that it can be renamed into place; gone afterwards, whatever happens."""
    folder = datasets.build(dataset) / "ingest"
    shutil.rmtree(folder, ignore_errors=True)  # left by a kill
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(dataset: str, folder: Path, console: Console) -> list[str]:
    """Write what the source gives as Parquet, a file each month or one in all; the names of the files."""
    source, path = datasets.module(dataset, "source"), datasets.folder(dataset) / "source.py"
    monthly = hasattr(source, "months")
    if not monthly and not hasattr(source, "table"):
        raise Refusal(f"{path} defines neither months() nor table(); write one of them (see data_schemas/README.md).")
    parts: list[str] = []
    with console.status(f"reading {dataset}") as status:
        try:
            for part, table in source.months() if monthly else [(datasets.WHOLE, source.table())]:
                if monthly and (not re.fullmatch(MONTH, part) or part in parts):
                    raise ValueError(f"months() yields {part!r}, which is not a month or not new")
                datasets.write(table, folder / f"{part}.parquet")
                parts.append(part)
                status.update(f"reading {dataset}: {part}")
        except (Refusal, Ended):
            raise
        except (Exception, SystemExit) as error:  # a team's file: any error in it is one sentence
            why = described(error, bool(datasets.personal(dataset)))
            raise Refusal(f"{path} failed ({why}); nothing was changed; fix the source.") from error
    if not parts:
        raise Refusal(f"{path} yields no month; nothing was changed; fix the source.")
    return sorted(parts)


def _place(staged: Path, data: Path) -> None:
    """Swap the folders. A kill in between leaves no data at all, which every reader reports and a new run fixes."""
    previous = staged.with_name("previous")
    shutil.rmtree(previous, ignore_errors=True)
    if data.exists():
        data.rename(previous)
    staged.rename(data)
    shutil.rmtree(previous, ignore_errors=True)


def record(dataset: str) -> None:
    """Copy the data into DVC's cache, from where `dvc push` and `dvc checkout` take it. Reaches no network."""
    command = [sys.executable, "-m", "dvc", "commit", "--quiet", str(pointer.path(dataset))]
    process.run(command, f"{dataset} is in place but DVC did not record it")


def _show_change(dataset: str, staged: Path, pinned: Version, version: Version, console: Console) -> None:
    """Say what the source gives instead of the pinned version, file by file where that one is still here."""
    data = datasets.data(dataset)
    console.print(
        f"The source gives a new version of {dataset}: {version.short} instead of the pinned {pinned.short}.\n"
        f"Nothing was changed. `python -m data_schemas ingest {dataset} --accept` takes it.",
        soft_wrap=True,
    )
    if pointer.measure(data) != pinned:
        console.print("The pinned data is not here to compare with; `dvc checkout` or `dvc pull` may bring it.")
        return
    from rich.table import Table

    old, new = pointer.hashes(data), pointer.hashes(staged)
    table = Table("file", "pinned", "new", "change")
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            change = "added" if name not in old else "gone" if name not in new else ""
            change = change or _change_of_rows(data / name, staged / name)
            table.add_row(Path(name).stem, old.get(name, "")[:12], new.get(name, "")[:12], change)
    console.print(table)


def _change_of_rows(old: Path, new: Path) -> str:
    import polars as pl

    before, after = pl.read_parquet(old, glob=False), pl.read_parquet(new, glob=False)
    if before.equals(after):
        return "equal rows, written differently (another version of polars?)"
    return f"{before.height:,} → {after.height:,} rows"
