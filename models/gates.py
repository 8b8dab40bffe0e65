"""Judge a model by the limits of its model.yaml and by the champion, and write its passport.

A gate passes only on evidence: a missing file, a missing figure, NaN or a test that did not run is a failure.
"""

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import measure
from models.lib import champion, config, judges, limits, lock, passport, promise
from models.lib.judges import BELOW, Evidence, Judge, Verdict, within
from repo.lib.command import environment_of_tests, working
from repo.lib.files import read_json, sha256, write, write_json
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    return run(config.load(options.model))


def run(model: config.Model) -> int:
    """0 when every gate passes, 1 when one fails: the passport says which."""
    evidence = gather(model)
    slow_ms = model.serving.slow_ms or evidence.measured["slow_ms"]
    with working(f"judging {model.name}"):
        verdicts = judge(evidence)
        compared, promises = comparison(evidence), promise.every(model, slow_ms)
    found, standing = [asdict(each) for each in verdicts], compared["champion"]
    profile = read_json(model.build / "profile.json", f"python -m models run {model.name}", ("features",))
    figures = evidence.evaluation | {"reference": passport.reference(model, evidence.evaluation, profile)}
    record = passport.make(model, figures, found, standing, promises, slow_ms)
    write_json(model.build / "comparison.json", compared)
    write(model.build / "passport.yaml", passport.text(record))
    show(record)
    return 0 if record["verdict"] == "pass" else 1


def gather(model: config.Model) -> Evidence:
    """Read what was measured; figures of another file than the present model.onnx are refused."""
    fix = f"python -m models run {model.name}"
    if not model.onnx.is_file():
        raise Refusal(f"{model.onnx} is missing; make it with `{fix}`.")
    lock.refuse_stale(model.name)
    onnx, found = sha256(model.onnx), {}
    for name in ("evaluation", "measured"):
        path = model.build / f"{name}.json"
        found[name] = read_json(path, fix, ("onnx",))
        if found[name]["onnx"] != onnx:
            raise Refusal(f"{path} belongs to another {model.onnx.name}; make it again with `{fix}`.")
    return Evidence(model, found["evaluation"], found["measured"], champion.find(model))


def comparison(evidence: Evidence) -> dict[str, Any]:
    """What comparison.json holds: whatever the champion's gate is set to, and why where nothing can be compared."""
    from models.lib.compare import NONE

    named = evidence.champion and evidence.champion.named
    try:
        return NONE | {"champion": named} | (evidence.comparison if named else {})
    except Refusal as refusal:
        return NONE | {"champion": named, "fault": str(refusal)}


def judge(evidence: Evidence) -> list[Verdict]:
    """One verdict for each gate of model.yaml, in its order."""
    return [_judge_one(name, evidence) for name in evidence.model.gate_names]


def _judge_one(name: str, evidence: Evidence) -> Verdict:
    gate: limits.Gate = getattr(evidence.model.gates, name)
    if gate.off is not None:
        return Verdict(name, "-", "-", "off", gate.off)
    try:
        return (JUDGES.get(name) or judges.find(name, evidence))(name, gate, evidence)
    except Refusal as refusal:
        why = str(refusal)
    except KeyError as missing:
        why = f"no data: {missing} is missing"
    except TypeError:
        why = "no data: a figure is null"
    return Verdict(name, "evidence", "none", "fail", why)


def _parity(name: str, gate: limits.AtMost, evidence: Evidence) -> Verdict:
    found = evidence.measured["parity"]
    if not found["rows"] >= measure.PARITY_ROWS:  # NaN is not a number of rows
        few = f"measured on {found['rows']:,} rows, fewer than {measure.PARITY_ROWS:,}"
        return Verdict(name, f"at most {gate.at_most:g}", "none", "fail", few)
    the_largest = f"; the largest: {found['worst']}" if "worst" in found else ""
    reason = f"on {found['rows']:,} rows, a third of them with nulls and unknown names{the_largest}"
    return within(name, found["largest_difference"], gate.at_most or 0.0, True, reason)


def _latency(name: str, gate: limits.Latency, evidence: Evidence) -> Verdict:
    found = evidence.measured["latency"]
    one, hundred = found["one_row"]["p99_ms"], found["hundred_rows"]["p99_ms"]
    good = one <= (gate.one_row_ms or 0.0) and hundred <= (gate.hundred_rows_ms or 0.0)
    limit = f"p99 of processor time at most {gate.one_row_ms:g} ms for 1 row, {gate.hundred_rows_ms:g} ms for 100"
    return Verdict(name, limit, f"{one:.3g} ms for 1 row, {hundred:.3g} ms for 100", "pass" if good else "fail")


def _size(name: str, gate: limits.AtMost, evidence: Evidence) -> Verdict:
    return within(name, evidence.measured["size_mb"], gate.at_most or 0.0, most=True)


def _behaviour(name: str, gate: limits.Behaviour, evidence: Evidence) -> Verdict:
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
    cases = [(case.get("name", ""), {part.tag for part in case}) for case in suite.iter("testcase")]
    failed = [case for case, tags in cases if tags & {"failure", "error"}]
    passed = sum(not tags & {"failure", "error", "skipped"} for _, tags in cases)
    good = done.returncode == 0 and passed == len(cases) >= (gate.tests or 0)
    value = f"{passed} of {len(cases)} passed"
    return Verdict(name, limit, value, "pass" if good else "fail", ", ".join(failed)[:300] or None)


JUDGES: dict[str, Judge] = {"parity": _parity, "latency": _latency, "size_mb": _size, "behaviour": _behaviour}


def show(record: dict[str, Any]) -> None:
    """The verdicts as a table on the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{record['model']} {record['version']}: gates", title_justify="left")
    for column in ("gate", "limit", "value", "verdict"):
        table.add_column(column, overflow="fold")
    colours = {"pass": "green", BELOW: "yellow", "fail": "bold red", "off": "yellow"}
    for gate in record["gates"]:
        # escaped: a test's name holds its parameters in brackets, which are markup
        value = escape(gate["value"]) + (f"\n[dim]{escape(gate['reason'])}[/dim]" if gate["reason"] else "")
        colour = colours[gate["verdict"]]
        table.add_row(gate["name"], escape(gate["limit"]), value, f"[{colour}]{gate['verdict']}[/{colour}]")
    Console().print(table)
