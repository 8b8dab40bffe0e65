"""What passport and comparison say of a model, in one sentence: how its report begins and `models run` ends."""

import re
from typing import Any

from models.lib.report.figures import differences, readable, word
from models.lib.tasks.task import Task

MOST = 3  # gates that a sentence names


def decision(task: Task, passport: dict[str, Any], comparison: dict[str, Any]) -> str:
    """Whether it is better than production, and whether a gate blocks it."""
    failed = _failed(passport)
    gates = f"blocked by {_list(failed)}" if failed else _passed(passport)
    return " ".join(f"{_compared(task, passport, comparison)}; {gates}.".split())


def outcome(passport: dict[str, Any]) -> str:
    """`FAIL: calibration_error 0.102, limit 0.06`, or how many gates pass."""
    failed = _failed(passport)
    return " ".join((f"FAIL: {_list(failed)}" if failed else f"PASS: {_passed(passport)}").split())


def _compared(task: Task, passport: dict[str, Any], comparison: dict[str, Any]) -> str:
    if passport["champion"] is None:
        return "First release, with nothing to compare it with"
    if passport["champion"]["onnx"] == passport["content"]["onnx"]:
        return "The same model.onnx as production's"
    if not comparison["metrics"]:
        return f"Not compared with production ({str(comparison['fault'] or 'no figures').rstrip('.')})"
    found = comparison["metrics"][task.main]
    if found["difference"]["value"] is None:
        return "Not compared with production (the test window has one outcome only)"
    words = {name: word(task, name, each) for name, each in comparison["metrics"].items()}
    by_main, title, also = words[task.main], task.titles[task.main], ""
    for said in ("better", "worse"):
        others = [task.titles[name] for name, each in words.items() if each == said]
        also += f", {said} in {' and '.join(others)}" if others and said != by_main else ""
    value, low, high = differences(found)
    if by_main not in ("better", "worse"):
        return f"Neither better nor worse than production by {title} ({value}, {low} to {high}){also}"
    ends = (low, high) if found["difference"]["low"] > 0 else (high, low)
    value, low, high = (each[1:] for each in (value, *ends))  # the word says which way
    return f"{by_main.capitalize()} than production by {value} {title} ({low} to {high}){also}"


def _failed(passport: dict[str, Any]) -> list[str]:
    """The gates that fail; on a first release `champion` asks what `baseline` asks, so one of them is enough."""
    failed = {gate["name"]: gate for gate in passport["gates"] if gate["verdict"] == "fail"}
    if passport["champion"] is None and "baseline" in failed:
        failed.pop("champion", None)
    return [_in_words(gate) for gate in failed.values()]


def _passed(passport: dict[str, Any]) -> str:
    gates = passport["gates"]
    off = [gate["name"] for gate in gates if gate["verdict"] == "off"]
    below = [_in_words(gate) for gate in gates if gate["verdict"] not in ("pass", "fail", "off")]
    summary = f"{len(gates) - len(off)} of {len(gates)} gates pass" if off else f"all {len(gates)} gates pass"
    if below:
        summary += f", {len(below)} of them below the limit as production is ({_list(below)})"
    return f"{summary}, off: {', '.join(off)}" if off else summary


def _list(gates: list[str]) -> str:
    more = [f"{len(gates) - MOST} more"] if len(gates) > MOST else []
    return "; ".join(gates[:MOST] + more)


def _in_words(gate: dict[str, Any]) -> str:
    """`calibration_error 0.102, limit 0.06`; in more words where one is not a number or missing."""
    if gate["value"] == "none":
        return f"{gate['name']}: {(gate['reason'] or 'no data').rstrip('.')}"
    value, limit = readable(gate["value"], exact=True), readable(gate["limit"], exact=True)
    bound = re.fullmatch(r"at (?:most|least) (-?[\d.]+)", limit)
    if bound and gate["name"] == "champion":  # the worse end of the interval
        return f"champion: difference {value} at worst, limit {bound[1]}"
    return f"{gate['name']} {value}, limit {bound[1]}" if bound else f"{gate['name']}: {value} (limit: {limit})"
