"""The figures of a report in words, as both of its pages show them: each table is a head and rows of text.

Where there is no champion to compare with, its columns are not there.
"""

import math
import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

from models.lib import config, importance
from models.lib.tasks.task import BINS, Task
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

BATCHES = {"one_row": 1, "hundred_rows": 100}  # of what is measured
SHOWN = 4  # digits of a difference
LEAST, LEAST_MS = 0.000001, 0.01  # below them the digits of a figure say nothing
SMALL = 0.001  # of a metric: below it, it has more decimals
REPLICAS, RESOURCES = "/spec/replicas", "/spec/template/spec/containers/0/resources"  # of resources.yaml
NOTE = (
    "Difference: candidate minus champion on the same rows, with the 95 % interval of a paired bootstrap; where it "
    "contains 0 there is no evidence of a difference. "
)
COMPARED = ["champion", "difference", ""]
Table = tuple[list[str], list[list[str]]]


def gates(passport: dict[str, Any]) -> Table:
    """Every gate; the verdict stands in the second column as the passport has it."""
    baseline = next((gate for gate in passport["gates"] if gate["name"] == "baseline"), None)
    rows = []
    for gate in passport["gates"]:
        value, limit = readable(gate["value"], exact=gate["verdict"] == "fail"), readable(gate["limit"], exact=True)
        same = baseline and [gate["limit"], gate["value"]] == [baseline["limit"], baseline["value"]]
        if passport["champion"] is None and gate["name"] == "champion" and same:
            value, limit = "as the baseline", "-"
        rows.append([gate["name"], gate["verdict"], value, limit, readable(gate["reason"] or "", exact=True)])
    return ["gate", "verdict", "value", "limit", ""], rows


def note(task: Task, comparison: dict[str, Any]) -> str:
    """How to read a comparison; empty without one."""
    if not comparison["metrics"]:
        return ""
    higher = " and ".join(title for name, title in task.titles.items() if name in task.higher)
    return f"{NOTE}Of {higher} the higher is better, of the others the lower."


def metrics(task: Task, evaluation: dict[str, Any], comparison: dict[str, Any]) -> Table:
    head = ["metric", "candidate", "95 % interval", *(COMPARED if comparison["metrics"] else [])]
    rows = []
    for name, title in task.titles.items():
        figure, against = evaluation["metrics"][name], comparison["metrics"].get(name)
        compared = [number(against["champion"], 4), *_difference(task, name, against)] if against else []
        rows.append([title, number(figure["value"], 4), interval(figure, 4), *compared])
    return head, rows


def slices(task: Task, found: list[dict[str, Any]], comparison: dict[str, Any]) -> Table:
    """The main metric of these slices of the evaluation."""
    head = ["column", "slice", "rows", task.level_title, task.titles[task.main], "95 % interval"]
    known = {(each["column"], each["slice"]): each for each in comparison["slices"]}
    rows = []
    for each in found:
        figure, against = each[task.main], known.get((each["column"], each["slice"]))
        compared = [number(against["champion"], 3), *_difference(task, task.main, against)] if against else []
        cells = [each["column"], each["slice"], f"{each['rows']:,}", task.shown(each["level"])]
        cells += [number(figure["value"], 3), interval(figure, 3)]
        rows.append([*cells, *(compared or ["", "", ""] if known else [])])
    return [*head, *(COMPARED if known else [])], rows


def classes(evaluation: dict[str, Any]) -> Table:
    """Recall and precision by class; no rows where there are none."""
    rows = []
    for each in evaluation.get("classes", []):
        shares = [(number(each[name]["value"], 3), interval(each[name], 3)) for name in ("recall", "precision")]
        rows.append([each["class"], f"{each['rows']:,}", *shares[0], *shares[1]])
    return ["class", "rows", "recall", "95 % interval", "precision", "95 % interval"], rows


def features(task: Task, evaluation: dict[str, Any]) -> str:
    """Which features matter, in a sentence."""
    found, title = evaluation["importance"], task.titles[task.main]
    decimals = _decimals(evaluation["metrics"][task.main]["value"] or 0, SHOWN)
    ranked = [f"{name} {found[name]['value']:.{decimals}f}" for name in importance.matters(found)]
    return f"Features that matter, by how much worse {title} is once they are shuffled: {', '.join(ranked) or 'none'}."


def shift(task: Task, comparison: dict[str, Any]) -> Table:
    """What callers will notice of a release, in the champion's place; no rows without a champion."""
    found = comparison["shift"]
    head = ["", "before", "with this", ""]
    if not found:
        return head, []
    rows = [
        [task.moved_title, "", f"{found['moved']:.1%}", "of rows"],
        [task.answered_title, *map(task.shown, found["levels"]), ""],
    ]
    for each in found["slices"]:
        remark = f"{each['moved']:.1%} of {each['rows']:,} {task.moved_title.split()[0]} change"
        rows.append([f"{each['column']} {each['slice']}: {task.level_title}", *map(task.shown, each["levels"]), remark])
    return head, rows


def bins(task: Task, comparison: dict[str, Any]) -> Table:
    """Rows of the test part by bin of what is answered, of champion and candidate."""
    head, found = [f"{task.field} from", "before", "with this"], comparison["shift"]
    if not found:
        return head, []
    answer = task.answer(found["edges"])
    head = ["label", *head[1:]] if answer["names"] else head
    names = answer["names"] or ["the lowest", *(readable(f"{edge:.4g}") for edge in answer["edges"])]
    names = [*names[: BINS - 1], "others"] if len(names) > BINS else names
    counted = list(zip(*found["bins"], strict=True))[: len(names)]
    return head, [[name, f"{old:,}", f"{new:,}"] for name, (old, new) in zip(names, counted, strict=True)]


def costs(model: config.Model, measured: dict[str, Any], comparison: dict[str, Any]) -> Table:
    """Size and latency, each beside its limit, and what the CPU costs."""
    size, latency = model.gates.size_mb, model.gates.latency
    champion = f" (champion {comparison['size_mb']:g} MB)" if "size_mb" in comparison else ""
    file = f"{measured['size_mb']:g} MB{champion}"
    rows = [["ONNX file", file, "gate is off" if size.at_most is None else f"at most {size.at_most:g} MB"]]
    for name, batch in BATCHES.items():
        found, most = measured["latency"][name], getattr(latency, f"{name}_ms")
        limit = "gate is off" if most is None else f"p99 at most {most:g} ms"
        times = f"p50 {milliseconds(found['p50_ms'])}, p99 {milliseconds(found['p99_ms'])}"
        rows.append([f"processor time of a call, {batch} row{'s' if batch > 1 else ''}", times, limit])
    return ["", "measured", "limit or note"], rows + _money(model, measured)


def _money(model: config.Model, measured: dict[str, Any]) -> list[list[str]]:
    """What the median call of the model needs, without the service around it, and what its pods hold, used or not."""
    price, alone = model.price, "the model's CPU alone, without the service's"

    def told(what: str, hours: float, remark: str) -> list[str]:
        cost = f", {hours * price.cpu_hour:.3g} {price.currency}" if price else ""
        return [what, readable(f"{hours:.3g} CPU hours{cost}", exact=True), remark]

    calls = {rows: measured["latency"][name]["p50_ms"] / 3600 / rows for name, rows in BATCHES.items()}
    found = [told(f"1,000 rows, {rows} in a call", hours, alone) for rows, hours in calls.items()]
    with suppress(Refusal, KeyError, TypeError, ValueError):  # of a file that `deploy verify` refuses
        patch = {each["path"]: each["value"] for each in read_yaml(model.folder / "resources.yaml", "fix it")}
        pods, cpu = patch[REPLICAS], str(patch[RESOURCES]["requests"]["cpu"])
        hours = 24 * 30 * pods * float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)
        at = f"at {price.cpu_hour:g} {price.currency} an hour" if price else "no `price` in model.yaml"
        found.append(told(f"{pods} replicas that hold {cpu} CPU each, 30 days", hours, at))
    return found


def readable(text: str, exact: bool = False) -> str:
    """Figures without exponents; unless `exact`, small ones as "below", and milliseconds with two digits."""
    text = re.sub(r"\d+(?:\.\d+)?e[-+]\d+", lambda found: _decimal(found[0], exact), text)
    return text if exact else re.sub(r"\d+\.\d{3,} ms", lambda found: milliseconds(float(found[0][:-3])), text)


def milliseconds(value: float) -> str:
    return f"below {LEAST_MS} ms" if value < LEAST_MS else f"{value:.2f} ms"


def _decimal(text: str, exact: bool) -> str:
    return f"below {LEAST:f}" if float(text) < LEAST and not exact else f"{Decimal(text):f}"


def against(passport: dict[str, Any], comparison: dict[str, Any]) -> str:
    """What the candidate is compared with; the champion's version stands in backquotes."""
    if not passport["champion"]:
        return "no champion yet (first release)"
    why = str(comparison["fault"] or "").rstrip(".")
    remark = f", with which it could not be compared ({why})" if why else ""
    return f"champion `{passport['champion']['version']}`{remark}"


def interval(figure: dict[str, Any], digits: int) -> str:
    if figure["value"] is None:
        return "one outcome only"
    return f"{number(figure['low'], digits)} to {number(figure['high'], digits)}"


def word(task: Task, name: str, against: dict[str, Any]) -> str:
    """`better` or `worse` only where the whole interval says so, as it is shown."""
    found, decimals = against["difference"], _decimals(against["champion"] or 0, SHOWN)
    if found["value"] is None:
        return ""
    low, high = (round(found[key], decimals) for key in ("low", "high"))
    if low <= 0 <= high:
        return "no evidence of a difference"
    return "better" if (low > 0) == (name in task.higher) else "worse"


def differences(against: dict[str, Any]) -> list[str]:
    """A difference from the champion and both ends of its interval, with the decimals of the champion's figure."""
    decimals = _decimals(against["champion"], SHOWN)
    return [f"{against['difference'][key]:+,.{decimals}f}" for key in ("value", "low", "high")]


def _difference(task: Task, name: str, against: dict[str, Any]) -> list[str]:
    if against["difference"]["value"] is None:
        return ["", ""]
    value, low, high = differences(against)
    return [f"{value} ({low} to {high})", word(task, name, against)]


def number(value: float | None, digits: int) -> str:
    """With so many decimals, fewer of what is large, and more of what is small."""
    return "" if value is None else f"{value:,.{_decimals(value, digits)}f}"


def _decimals(value: float, digits: int) -> int:
    """The fourth decimal of 40,000 says nothing, and that of a millionth neither."""
    zeros = -math.floor(math.log10(abs(value))) - 1 if 0 < abs(value) < SMALL else 0
    return max(0, digits + zeros + 1 - len(f"{abs(value):.0f}"))
