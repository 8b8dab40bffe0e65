"""Write the report of a model: one self-contained HTML file, and Markdown that GitHub draws in a pull request."""

import argparse
import math
import re
from pathlib import Path
from typing import Any

from models import evaluate, measure
from models.lib import compare, config, several
from models.lib.judges import BELOW
from models.lib.passport import KEYS
from models.lib.report import conclusion, figures
from models.lib.tasks import task
from repo.lib.files import read_json, read_yaml, write
from repo.lib.markdown import plain, table

HERE = Path(__file__).parent / "lib/report"
MARKS = {"pass": "✅ pass", BELOW: f"⚠️ **{BELOW}**", "fail": "❌ **fail**", "off": "⚪ off"}
LARGEST = 8  # slices of a column in Markdown; the HTML lists all


def main(options: argparse.Namespace) -> int:
    return run(config.load(options.model, check_columns=False))


def run(model: config.Model) -> int:
    fix = f"python -m models run {model.name}"
    passport = read_yaml(model.build / "passport.yaml", f"make it with `{fix}`", KEYS)
    comparison = read_json(model.build / "comparison.json", fix, compare.KEYS)
    facts = {
        "model": model,
        "passport": passport,
        "evaluation": read_json(model.build / "evaluation.json", fix, evaluate.KEYS),
        "measured": read_json(model.build / "measured.json", fix, measure.KEYS),
        "comparison": comparison if passport["champion"] else compare.NONE,
        "several": several.recorded(model),
    }
    write(model.build / "report.md", markdown(facts))
    write(model.build / "report.html", html(facts))
    print(f"report {model.name}: {model.build / 'report.html'} and {model.build / 'report.md'}")
    return 0


def html(facts: dict[str, Any]) -> str:
    """The template with its charts inline: nothing is loaded from anywhere."""
    import jinja2

    from models.lib.report import charts

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    evaluation, comparison, of_task = facts["evaluation"], facts["comparison"], task.of(facts["model"])
    shown = {
        "task": of_task,
        "number": figures.number,
        "decision": conclusion.decision(of_task, facts["passport"], comparison),
        "metrics": figures.metrics(of_task, evaluation, comparison),
        "classes": figures.classes(evaluation),
        "shift": figures.shift(of_task, comparison),
        "bins": figures.bins(of_task, comparison),
        "gates": figures.gates(facts["passport"])[1],
        "costs": figures.costs(facts["model"], facts["measured"], comparison),
        "compared": [row[6:] for row in figures.slices(of_task, evaluation["slices"], comparison)[1]],
        "note": figures.note(of_task, comparison),
        "windows": several.table(facts["model"], facts.get("several")),
        "remarks": several.remarks(facts.get("several")),
        "charts": charts.draw(of_task, evaluation, comparison),
    }
    return environment.get_template("report.html.jinja").render(facts, **shown)


def markdown(facts: dict[str, Any]) -> str:
    """The decision, what callers will notice, gates, metrics, slices, cost and reliability, in tables and Mermaid."""
    passport, evaluation, model = facts["passport"], facts["evaluation"], facts["model"]
    comparison, of_task = facts["comparison"], task.of(model)
    largest = _largest(model, evaluation)
    lines = [
        f"## {MARKS[passport['verdict']]}: {model.name} `{passport['version']}`",
        "",
        f"**{conclusion.decision(of_task, passport, comparison)}**",
        "",
        f"{model.description} {evaluation['rows']:,} rows of {model.span('test')}, {of_task.level_title} "
        f"{of_task.shown(evaluation['level'])}; {figures.against(passport, comparison)}.",
        "",
        *_shift(of_task, comparison),
        "### Gates",
        "",
        *table(*_marked(figures.gates(passport))),
        "### Metrics",
        "",
        *table(*figures.metrics(of_task, evaluation, comparison)),
        *([figures.note(of_task, comparison), ""] if comparison["metrics"] else []),
        *(["### Classes", "", *table(*figures.classes(evaluation))] if "classes" in evaluation else []),
        *_several(model, facts.get("several")),
        *_slices(of_task, largest, comparison),
        "### Size and latency",
        "",
        *table(*figures.costs(model, facts["measured"], comparison)),
        "### Reliability",
        "",
        *_reliability(evaluation["charts"][0]),
    ]
    return "\n".join(lines)


def _several(model: config.Model, found: dict[str, Any] | None) -> list[str]:
    """Nothing where nobody asked for more windows than the model's own."""
    if found is None:
        return []
    sentence, *left_out = several.remarks(found)
    remarks = [line for remark in map(plain, left_out) for line in ("", remark)]  # they may quote an error
    return ["### Several windows", "", *table(*several.table(model, found)), sentence, *remarks, ""]


def _shift(of_task: task.Task, comparison: dict[str, Any]) -> list[str]:
    """Nothing without a champion."""
    if not comparison["shift"]:
        return []
    bins = _folded(f"{of_task.field.capitalize()} by bin", table(*figures.bins(of_task, comparison)))
    return ["### What callers will notice", "", *table(*figures.shift(of_task, comparison)), *bins]


def _marked(gates: figures.Table) -> figures.Table:
    head, rows = gates
    return head, [[name, MARKS[verdict], *cells] for name, verdict, *cells in rows]


def _folded(summary: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "</details>", ""]


def _reliability(chart: dict[str, Any]) -> list[str]:
    found = chart["series"][1]
    low, high = chart["limits"] or (min(0.0, *found["x"], *found["y"]), max(found["x"] + found["y"]))
    return [
        "```mermaid",
        "xychart-beta",
        '    title "Mean outcome of each bin; the line is what the model says"',
        f'    x-axis "{chart["axes"][0].partition(" (")[0]}" [{", ".join(_plain(x, 3) for x in found["x"])}]',
        f'    y-axis "{chart["axes"][1]}" {_plain(low, 6)} --> {_plain(high, 6)}',
        f"    bar {found['y']}",
        f"    line {found['x']}",
        "```",
        "",
    ]


def _largest(model: config.Model, evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for column in model.slices:
        of_column = [each for each in evaluation["slices"] if each["column"] == column]
        found += sorted(of_column, key=lambda each: -each["rows"])[:LARGEST]
    return found


def _slices(of_task: task.Task, found: list[dict[str, Any]], comparison: dict[str, Any]) -> list[str]:
    if not found:
        return []
    lines = [*_drawn(of_task, found, comparison), *table(*figures.slices(of_task, found, comparison))]
    summary = f"The {LARGEST} largest of each column; the HTML report has all."
    return ["### Slices", "", *_folded(summary, lines)]


def _drawn(of_task: task.Task, found: list[dict[str, Any]], comparison: dict[str, Any]) -> list[str]:
    """Candidate and champion side by side; nothing without a champion."""
    title = of_task.titles[of_task.main]
    champion = {(each["column"], each["slice"]): each["champion"] for each in comparison["slices"]}
    drawn = []
    for each in found:
        ours, theirs = each[of_task.main]["value"], champion.get((each["column"], each["slice"]))
        if ours is not None and theirs is not None:
            drawn.append((_label(f"{each['column']} {each['slice']}"), ours, theirs))
    if not drawn:
        return []
    both = [value for _, *pair in drawn for value in pair]
    low, high = (min(0.5, math.floor(10 * min(both)) / 10), 1) if max(both) <= 1 else (0, max(both))
    return [
        "```mermaid",
        "---",
        "config:",
        "  xyChart:",
        f"    height: {100 + 26 * len(drawn)}",
        "---",
        "xychart-beta horizontal",
        f'    title "{title} of each slice: bars are the candidate, the line is the champion"',
        f"    x-axis [{', '.join(name for name, _, _ in drawn)}]",
        f'    y-axis "{title}" {_plain(low, 6)} --> {_plain(high, 6)}',
        f"    bar {[ours for _, ours, _ in drawn]}",
        f"    line {[theirs for _, _, theirs in drawn]}",
        "```",
        "",
    ]


def _plain(value: float, digits: int) -> str:
    return figures.readable(f"{value:.{digits}g}", exact=True)  # an exponent is no number to Mermaid


def _label(text: str) -> str:
    """Text that ends neither its quotation nor the block."""
    return '"' + re.sub(r'["`\s]+', " ", text).strip() + '"'
