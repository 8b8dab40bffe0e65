"""Measure how far a table lies from a model's training rows, by the numbers and limits that watch the live traffic.

python -m models drift flight_delay --current july.parquet
"""

import argparse
import math
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl

from data_schemas import validate
from data_schemas.lib import bins, datasets, violations
from models.lib import config, drift, logged, passport, scoring
from models.lib.tasks import task
from repo.lib.files import read_yaml, sha256, write, write_json
from repo.lib.refusal import Refusal

LEAST = 100  # rows, of which a share of a tenth is known to within a twentieth
TEMPLATE = Path(__file__).parent / "lib/report/drift.html.jinja"


def main(options: argparse.Namespace) -> int:
    model, path = config.load(options.model), Path(options.current)
    fix = f"make it with `python -m models run {model.name}`"
    record = read_yaml(where := model.build / "passport.yaml", fix, (*passport.KEYS, "reference"))
    if not model.onnx.is_file() or record["content"]["onnx"] != sha256(model.onnx):
        raise Refusal(f"{where} belongs to another {model.onnx}; {fix}.")
    rows, left_out, hours = read(model, path)
    if not (hours or options.window):
        raise Refusal(f"{path} has no dates that say how long it is; say it with --window 1h, 1d or 7d.")
    window = options.window or min(drift.HOURS, key=lambda each: abs(math.log(hours / drift.HOURS[each])))
    measured = measure(model, record["reference"], rows, window)
    found = {"model": model.name, "version": record["version"], "window": window, "rows": rows.height}
    found |= {"left_out": left_out, "features": measured}
    write_json(model.build / "drift/drift.json", found)
    page = jinja2.Template(TEMPLATE.read_text(), autoescape=True, trim_blocks=True).render(found)
    write(model.build / "drift/report.html", page)
    for name, each in measured.items():
        limit = "no limit" if each["limit"] is None else f"limit {each['limit']:.3g}"
        broken = "" if each["broken"] is None else f" (limit {each['broken']:.1%})"
        word, unknown = "ABOVE" if each["above"] else "", f"{each['unknown']:.1%} null or without a bin{broken}"
        print(f"{word:6}{name:24} excess PSI {each['excess']:.3f}, {limit}, {unknown}")
    left = f"{left_out:,} more break the contract"
    print(f"drift {model.name}: {rows.height:,} rows as a window of {window}, {left}")
    if all(each["limit"] is None and each["broken"] is None for each in measured.values()):
        raise Refusal(f"{model.build}/profile.json has no limit for windows of {window}; take another with --window.")
    above = ", ".join(name for name, each in measured.items() if each["above"])
    print(f"drift {model.name}: above a limit: {above or 'none'}; {model.build}/drift/report.html")
    return 1 if above else 0


def read(model: config.Model, path: Path) -> tuple[pl.DataFrame, int, float]:
    """The table, or a folder of the request log, with the features as their types in the schema, without the rows that
    the service refuses; how many those are; and the hours that it spans, 0 where it does not say."""
    found, hours = logged.rows(path, model.name) if path.is_dir() else (validate.read(model.dataset, path), 0.0)
    schema = datasets.schema(model.dataset).to_schema().columns
    if lacking := [name for name in model.features if name not in found.columns]:
        raise Refusal(f"{path} lacks {', '.join(lacking)}, which the model reads; give a table that has all features.")
    for name in model.features:
        kind = schema[name].dtype.type
        if found[name].dtype not in (kind, pl.Null) and pl.String in (found[name].dtype, kind):
            raise Refusal(f"{path}: the column {name!r} is {found[name].dtype}, not {kind}; fix the file.")
        found = found.with_columns(found[name].cast(kind, strict=False))
    masks = [
        mask
        for each, mask in violations.find(model.dataset, found.select(model.features))
        if mask is not None and each.column in model.features
    ]
    kept = found.filter(~pl.any_horizontal(*masks)) if masks else found
    if kept.height < LEAST:
        raise Refusal(f"{path} holds {kept.height} rows that keep the contract; fewer than {LEAST} show no drift.")
    return kept, found.height - kept.height, hours or drift.Times.of(model, kept).hours


def measure(model: config.Model, reference: dict[str, Any], rows: pl.DataFrame, window: str) -> dict[str, Any]:
    """Feature -> excess PSI beside its limit, and the share of null and unknown; above comes first."""
    runtime = scoring.session(model.onnx)
    noted, edges = scoring.note(runtime, "bins"), scoring.note(runtime, "edges")
    answers = {"(answer)": task.of(model).bins(scoring.scores(runtime, rows), edges)}
    found = {}
    for name, placed in (answers | {each: bins.places(rows[each], noted[each]) for each in noted}).items():
        known = reference["features"].get(name) or reference["answers"]
        counts = np.bincount(placed, minlength=len(known["shares"]))
        excess = float(drift.excess(counts, known["shares"], known.get("rows", reference["rows"]), known["chi2"]))
        last = 0 if name in answers else bins.unknown(rows[name])
        unknown = float(counts[len(counts) - last :].sum() / len(placed))
        limit, broken = known["limits"][window], known.get("broken")
        above = (limit is not None and excess > limit) or (broken is not None and unknown > broken)
        figures = {"excess": excess, "limit": limit, "unknown": unknown, "broken": broken, "above": above}
        shares = {"trained": known["shares"], "shares": (counts / len(placed)).tolist()}
        found[name] = figures | shares | {"bins": noted.get(name), "matters": known.get("matters")}
    return dict(sorted(found.items(), key=lambda each: not each[1]["above"]))
