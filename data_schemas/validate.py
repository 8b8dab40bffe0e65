"""Hold every row of a dataset, or of any file, against the contract: `python -m data_schemas validate flights`."""

import argparse
from bisect import bisect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from data_schemas.lib import datasets, pointer
from data_schemas.lib.tables import cells, decode, parse, sniff
from data_schemas.lib.violations import Case, Violation, check
from repo.lib import files
from repo.lib.refusal import Refusal

SHOWN = 3  # cases of a violation on screen; the report has more


@dataclass(frozen=True)
class Inspection:
    """The rows of each file that could be read, and what violates the contract in any."""

    dataset: str
    rows: dict[str, int]
    violations: list[Violation]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


def main(options: argparse.Namespace) -> int:
    dataset, build = options.dataset, datasets.build(options.dataset)
    if options.table:
        table = Path(options.table)
        if not table.is_file():
            raise Refusal(f"{table} is not a file; give --table the path of a CSV or Parquet file.")
        if table.suffix not in (".csv", ".parquet"):
            raise Refusal(f"{table} is neither .csv nor .parquet; give a file of these types.")
        report = build / f"validation-{table.stem}.json"
        inspection = inspect(dataset, [table])
    else:
        data = datasets.data(dataset)
        report = build / "validation.json"
        inspection = inspect(dataset, [data / f"{part}.parquet" for part in datasets.parts(dataset)])
        inspection.violations.extend(_unpinned(dataset))
    report = Path(options.report or report)
    # A function of the data and the contract alone, so that a repeated pass has the same bytes.
    summary = {
        "dataset": dataset,
        "verdict": "fail" if inspection.violations else "pass",
        "rows": inspection.total,
        "files": inspection.rows,
        "violations": [asdict(violation) for violation in inspection.violations],
    }
    files.write_json(report, summary)
    console = Console()
    show(inspection, console)
    if not options.table and (pinned := pointer.pinned(dataset)) and pinned.quarantined:
        console.print(f"{pinned.quarantined:,} rows of its source break the contract and are left out.", soft_wrap=True)
    console.print(Text(f"report: {report}", style="dim"), soft_wrap=True)
    return 1 if inspection.violations else 0


def inspect(dataset: str, paths: Sequence[Path]) -> Inspection:
    """Check files as one table where their columns agree (a flight may repeat across months), else each by itself."""
    parts: list[tuple[Path, pl.DataFrame]] = []
    violations: list[Violation] = []
    datasets.schema(dataset)  # a broken contract is refused before any row is read
    for path in paths:
        try:
            parts.append((path, read(dataset, path)))
        except Refusal as refusal:
            violations.append(Violation("", str(refusal).replace(str(path), path.name), 1))
    alike = len({tuple(table.schema.items()) for _, table in parts}) == 1
    empty = [path for path, table in parts if table.height == 0]
    for group in [parts] if alike and not empty else [[part] for part in parts]:
        found = check(dataset, pl.concat([table for _, table in group]))
        violations += [_located(violation, group) for violation in found] if len(paths) > 1 else found
    return Inspection(dataset, {path.name: table.height for path, table in parts}, violations)


def read(dataset: str, path: Path) -> pl.DataFrame:
    """A Parquet file as it is; of a CSV file each column as its type in the schema, or as text where a cell is not."""
    if path.suffix == ".parquet":
        return cells(path)
    with path.open("rb") as file:
        separator, _ = sniff(decode(file.read(1_000_000)))
    table = cells(path, separator, nulls=())
    for name, column in datasets.schema(dataset).to_schema().columns.items():
        if name in table.columns:
            typed = parse(table[name], column.dtype.type)
            if typed.null_count() == table[name].null_count():
                table = table.with_columns(typed)
    return table


def show(inspection: Inspection, console: Console) -> None:
    """Print the violations as a table, or the sentence that there are none."""
    where = "1 file" if len(inspection.rows) == 1 else f"{len(inspection.rows)} files"
    held = f"{inspection.dataset}: {inspection.total:,} rows in {where}"
    if not inspection.violations:
        console.print(Text(f"{held} hold the contract.", style="green"), soft_wrap=True)
        return
    count, value = Column("count", justify="right"), Column("first values", overflow="fold")
    table = Table("column", "rule", count, "row", value, caption="rows are counted from 0")
    for violation in inspection.violations:
        cells = [violation.column or "(table)", violation.rule, f"{violation.count:,}"]
        for case in violation.cases[:SHOWN] or [Case(-1, "")]:
            place = f"{case.file} {case.row}".strip() if case.row >= 0 else ""
            table.add_row(*map(Text, (*cells, place, case.value)))  # Text: what a row holds is never read as markup
            cells = ["", "", ""]
        table.add_section()
    console.print(table)
    broken = f"{held} violate the contract in {len(inspection.violations)} way(s)."
    console.print(Text(broken, style="bold red"), soft_wrap=True)


def _located(violation: Violation, group: Sequence[tuple[Path, pl.DataFrame]]) -> Violation:
    """Row numbers of the joined table as rows of the file that each came from."""
    starts = list(accumulate((table.height for _, table in group), initial=0))
    cases = []
    for case in violation.cases:
        at = bisect(starts, case.row) - 1
        cases.append(replace(case, row=case.row - starts[at], file=group[at][0].name))
    if len(group) == 1 and not cases:
        return replace(violation, rule=f"{violation.rule} ({group[0][0].name})")
    return replace(violation, cases=tuple(cases))


def _unpinned(dataset: str) -> list[Violation]:
    """Data that is not the version that the commit pins, whoever changed it, is not what will be recorded."""
    there, pinned = pointer.measure(datasets.data(dataset)), pointer.pinned(dataset)
    if pinned == there:
        return []
    expected = pinned.short if pinned else "none"
    return [Violation("", f"version {expected} as data.dvc pins it, not {there.short}", 1)]
