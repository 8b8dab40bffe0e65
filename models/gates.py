"""Judge a model by the limits of its model.yaml and by the champion, and write its passport.

python -m models gates flight_delay

A gate passes only on evidence: a missing file, a missing figure, NaN or a test that did not run is a failure.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from data_schemas.command import Refusal, environment_of_tests, working
from data_schemas.files import read_json, sha256, write, write_json
from models import champion, config, measure, passport


@dataclass(frozen=True)
class Verdict:
    name: str
    limit: str
    value: str
    verdict: Literal["pass", "fail", "off"]
    reason: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What the gates look at."""

    model: config.Model
    evaluation: dict[str, Any]
    measured: dict[str, Any]
    champion: champion.Champion | None

    @cached_property
    def comparison(self) -> dict[str, Any]:
        """Candidate against champion, which there must be; one figure for the gate and for the report."""
        from models.compare import compare

        assert self.champion is not None
        return compare(self.model, champion.blob(self.model, self.champion.onnx)[0])


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    evidence = gather(model)
    with working(f"judging {model.name}"):
        verdicts = judge(evidence)
        compared = comparison(evidence)
    record = passport.make(
        model,
        evidence.evaluation,
        [asdict(each) for each in verdicts],
        asdict(evidence.champion) if evidence.champion else None,
    )
    write_json(model.build / "comparison.json", compared)
    write(model.build / "passport.yaml", yaml.safe_dump(record, sort_keys=False, width=120))
    show(record)
    return 0 if record["verdict"] == "pass" else 1


def gather(model: config.Model) -> Evidence:
    """Read what was measured; figures of another file than the present model.onnx are refused."""
    mend = f"python -m models run {model.name}"
    if not model.onnx.is_file():
        raise Refusal(f"{model.onnx} is missing; make it with `{mend}`.")
    onnx, found = sha256(model.onnx), {}
    for name in ("evaluation", "measured"):
        path = model.build / f"{name}.json"
        found[name] = read_json(path, mend, ("onnx",))
        if found[name]["onnx"] != onnx:
            raise Refusal(f"{path} belongs to another {model.onnx.name}; make it anew with `{mend}`.")
    return Evidence(model, found["evaluation"], found["measured"], champion.find(model))


def comparison(evidence: Evidence) -> dict[str, Any]:
    """What comparison.json holds: whatever the champion's gate is set to, and why where nothing can be compared."""
    from models.compare import NONE

    if evidence.champion is None:
        return NONE
    try:
        return NONE | {"champion": asdict(evidence.champion)} | evidence.comparison
    except Refusal as refusal:
        return NONE | {"champion": asdict(evidence.champion), "fault": str(refusal)}


def judge(evidence: Evidence) -> list[Verdict]:
    """One verdict for each gate of model.yaml, in its order."""
    return [_judge_one(name, evidence) for name in config.Gates.model_fields]


def _judge_one(name: str, evidence: Evidence) -> Verdict:
    gate: config.Gate = getattr(evidence.model.gates, name)
    if gate.off is not None:
        return Verdict(name, "-", "-", "off", gate.off)
    try:
        return JUDGES[name](name, gate, evidence)
    except Refusal as refusal:
        return Verdict(name, "evidence", "none", "fail", str(refusal))
    except KeyError as missing:
        return Verdict(name, "evidence", "none", "fail", f"no data: {missing} is missing")
    except TypeError:
        return Verdict(name, "evidence", "none", "fail", "no data: a figure is null")


def _within(name: str, value: float, limit: float, most: bool, reason: str | None = None) -> Verdict:
    """NaN is within nothing."""
    good = value <= limit if most else value >= limit
    limited = f"{'at most' if most else 'at least'} {limit:g}"
    return Verdict(name, limited, f"{value:.4g}", "pass" if good and math.isfinite(value) else "fail", reason)


def _metric(name: str, gate: Any, evidence: Evidence) -> Verdict:
    value = evidence.evaluation["metrics"][name]["value"]
    if isinstance(gate, config.AtMost):
        return _within(name, value, gate.at_most or 0.0, most=True)
    return _within(name, value, gate.at_least or 0.0, most=False)


def _slices(name: str, gate: config.SliceAtLeast, evidence: Evidence) -> Verdict:
    judged = [each for each in evidence.evaluation["slices"] if each["rows"] >= gate.rows]
    if not judged:
        return Verdict(name, f"slices of {gate.rows} rows", "none", "fail", "no slice is large enough to judge")
    for each in judged:
        if each["roc_auc"]["value"] is None or math.isnan(each["roc_auc"]["value"]):
            reason = f"{each['column']} {each['slice']} has one outcome only"
            return Verdict(name, f"at least {gate.at_least:g}", "none", "fail", reason)
    worst = min(judged, key=lambda each: each["roc_auc"]["value"])
    reason = f"worst of {len(judged)} slices: {worst['column']} {worst['slice']} ({worst['rows']:,} rows)"
    return _within(name, worst["roc_auc"]["value"], gate.at_least or 0.0, False, reason)


def _champion(name: str, gate: config.Champion, evidence: Evidence) -> Verdict:
    """The candidate may lose `margin` of ROC AUC: the paired interval's lower bound must lie above -margin."""
    if evidence.champion is None:
        verdict = _baseline("baseline", evidence.model.gates.baseline, evidence)
        reason = "first release: there is no champion, so the base rate and the stated baseline are what it must beat"
        return Verdict(name, verdict.limit, verdict.value, verdict.verdict, reason)
    difference = evidence.comparison["metrics"]["roc_auc"]["difference"]
    reason = f"ROC AUC against {evidence.champion.version}: {difference['value']:+.4f}, on the same rows"
    if difference["low"] is None:
        return Verdict(name, "evidence", "none", "fail", "the test window has one outcome only")
    return _within(name, difference["low"], -(gate.margin or 0.0), False, reason)


def _baseline(name: str, gate: config.Baseline, evidence: Evidence) -> Verdict:
    found = evidence.evaluation
    auc, loss, base = found["metrics"]["roc_auc"]["low"], found["metrics"]["log_loss"]["high"], found["base_log_loss"]
    stated = 0.5 if gate.roc_auc is None else gate.roc_auc
    good = auc >= stated and loss < base
    limit = f"ROC AUC at least {stated:g}, log-loss under {base:.4g} (base rate)"
    return Verdict(name, limit, f"{auc:.4g}, {loss:.4g} (worse bounds)", "pass" if good else "fail")


def _parity(name: str, gate: config.AtMost, evidence: Evidence) -> Verdict:
    found = evidence.measured["parity"]
    if not found["rows"] >= measure.PARITY_ROWS:  # NaN is no number of rows
        few = f"measured on {found['rows']:,} rows, fewer than {measure.PARITY_ROWS:,}"
        return Verdict(name, f"at most {gate.at_most:g}", "none", "fail", few)
    reason = f"on {found['rows']:,} rows, a third of them with nulls and unknown names"
    return _within(name, found["largest_difference"], gate.at_most or 0.0, True, reason)


def _latency(name: str, gate: config.Latency, evidence: Evidence) -> Verdict:
    found = evidence.measured["latency"]
    one, hundred = found["one_row"]["p99_ms"], found["hundred_rows"]["p99_ms"]
    good = one <= (gate.one_row_ms or 0.0) and hundred <= (gate.hundred_rows_ms or 0.0)
    limit = f"p99 of processor time at most {gate.one_row_ms:g} ms for 1 row, {gate.hundred_rows_ms:g} ms for 100"
    return Verdict(name, limit, f"{one:.3g} ms for 1 row, {hundred:.3g} ms for 100", "pass" if good else "fail")


def _size(name: str, gate: config.AtMost, evidence: Evidence) -> Verdict:
    return _within(name, evidence.measured["size_mb"], gate.at_most or 0.0, most=True)


def _behaviour(name: str, gate: config.Behaviour, evidence: Evidence) -> Verdict:
    """Run the model's own behaviour tests; all must run and pass, and there must be enough of them."""
    path = evidence.model.folder / "test_behaviour.py"
    limit = f"at least {gate.tests} tests, all passing"
    if not path.is_file():
        return Verdict(name, limit, "none", "fail", f"{path} is missing")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.xml")
        pytest = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-q", "-p", "no:cacheprovider"]
        command, environment = [*pytest, f"--junitxml={result}", str(path)], environment_of_tests()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if not result.is_file():
            return Verdict(name, limit, "none", "fail", "pytest did not run: " + done.stderr.strip()[-200:])
        suite = next(ElementTree.parse(result).getroot().iter("testsuite"))  # noqa: S314 - written by our own pytest
    tests, failed, skipped = (
        int(suite.get("tests", 0)),
        int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
        int(suite.get("skipped", 0)),
    )
    names = [
        case.get("name", "") for case in suite.iter("testcase") if {part.tag for part in case} & {"failure", "error"}
    ]
    good = done.returncode == 0 and failed == skipped == 0 and tests >= (gate.tests or 0)
    value = f"{tests - failed - skipped} of {tests} passed"
    return Verdict(name, limit, value, "pass" if good else "fail", ", ".join(names)[:300] or None)


JUDGES: dict[str, Callable[[str, Any, Evidence], Verdict]] = {
    "roc_auc": _metric,
    "log_loss": _metric,
    "brier": _metric,
    "calibration_error": _metric,
    "slice_roc_auc": _slices,
    "champion": _champion,
    "baseline": _baseline,
    "parity": _parity,
    "latency": _latency,
    "size_mb": _size,
    "behaviour": _behaviour,
}


def show(record: dict[str, Any]) -> None:
    """The verdicts as a table on the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{record['model']} {record['version']}: gates", title_justify="left")
    for column in ("gate", "limit", "value", "verdict"):
        table.add_column(column, overflow="fold")
    colours = {"pass": "green", "fail": "bold red", "off": "yellow"}
    for gate in record["gates"]:
        # escaped: a test's name holds its parameters in brackets, which are markup
        value = escape(gate["value"]) + (f"\n[dim]{escape(gate['reason'])}[/dim]" if gate["reason"] else "")
        colour = colours[gate["verdict"]]
        table.add_row(gate["name"], escape(gate["limit"]), value, f"[{colour}]{gate['verdict']}[/{colour}]")
    Console().print(table)
