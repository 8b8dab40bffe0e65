"""Write the report of a model: one self-contained HTML file, and Markdown that GitHub draws in a pull request."""

import argparse
import math
import re
from pathlib import Path
from typing import Any

from models import evaluate, measure
from models.lib import compare, config, governance, several
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
        "empty": governance.gaps(model.name, model.dataset, passport.get("governance", {})),
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
    of_task, record = task.of(facts["model"]), facts.get("several")
    shown = {
        "task": of_task,
        "figures": figures,
        "decision": conclusion.decision(of_task, facts["passport"], facts["comparison"]),
        "windows": several.table(facts["model"], record),
        "remarks": several.remarks(record),
        "empty": facts.get("empty"),
        "charts": charts.draw(of_task, facts["evaluation"], facts["comparison"]),
    }
    return environment.get_template("report.html.jinja").render(facts, **shown)


def markdown(facts: dict[str, Any]) -> str:
    """The decision, what callers will notice, gates, metrics, slices, cost and reliability, in tables and Mermaid."""
    passport, evaluation, model = facts["passport"], facts["evaluation"], facts["model"]
    comparison, of_task = facts["comparison"], task.of(model)
    head, gates = figures.gates(passport)
    lines = [
        f"## {MARKS[passport['verdict']]}: {model.name} `{passport['version']}`",
        "",
        f"**{conclusion.decision(of_task, passport, comparison)}**",
        "",
        f"{model.description} {evaluation['rows']:,} rows of {model.span('test')}, {of_task.level_title} "
        f"{of_task.shown(evaluation['level'])}; {figures.against(passport, comparison)}.",
        "",
        *_empty(facts.get("empty")),
        *_shift(of_task, comparison),
        "### Gates",
        "",
        *table(head, [[name, MARKS[verdict], *cells] for name, verdict, *cells in gates]),
        "### Metrics",
        "",
        *table(*figures.metrics(of_task, evaluation, comparison)),
        *([figures.note(of_task, comparison), ""] if comparison["metrics"] else []),
        *(["### Classes", "", *table(*figures.classes(evaluation))] if "classes" in evaluation else []),
        *_several(model, facts.get("several")),
        *_slices(of_task, evaluation, comparison),
        *["### Features", "", plain(figures.features(of_task, evaluation)), ""],
        "### Size, latency and cost",
        "",
        *table(*figures.costs(model, facts["measured"], comparison)),
        "### Reliability",
        "",
        *_reliability(evaluation["charts"][0]),
    ]
    return "\n".join(lines)


def _empty(found: list[str] | None) -> list[str]:
    return [f"⚠️ Empty, and production refuses that: {plain('; '.join(found))}.", ""] if found else []


def _several(model: config.Model, found: dict[str, Any] | None) -> list[str]:
    if found is None:  # nobody asked for more windows than the model's own
        return []
    sentence, *left_out = several.remarks(found)
    remarks = [line for remark in map(plain, left_out) for line in ("", remark)]  # they may quote an error
    return ["### Several windows", "", *table(*several.table(model, found)), sentence, *remarks, ""]


def _shift(of_task: task.Task, comparison: dict[str, Any]) -> list[str]:
    if not comparison["shift"]:  # there is no champion
        return []
    bins = _folded(f"{of_task.field.capitalize()} by bin", table(*figures.bins(of_task, comparison)))
    return ["### What callers will notice", "", *table(*figures.shift(of_task, comparison)), *bins]


def _folded(summary: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "</details>", ""]


def _reliability(chart: dict[str, Any]) -> list[str]:
    found = chart["series"][1]
    low, high = chart["limits"] or (min(0.0, *found["x"], *found["y"]), max(found["x"] + found["y"]))
    return [
        "```mermaid",
        "xychart-beta",
        '    title "Mean outcome of each bin; the line is what the model says"',
        f'    x-axis "{chart["axes"][0].partition(" (")[0]}" {_plain(found["x"], 3)}',
        f'    y-axis "{chart["axes"][1]}" {_plain(low)} --> {_plain(high)}',
        f"    bar {_plain(found['y'])}",
        f"    line {_plain(found['x'])}",
        "```",
        "",
    ]


def _slices(of_task: task.Task, evaluation: dict[str, Any], comparison: dict[str, Any]) -> list[str]:
    found: list[dict[str, Any]] = []
    for column in of_task.model.slices:
        of_column = [each for each in evaluation["slices"] if each["column"] == column]
        found += sorted(of_column, key=lambda each: -each["rows"])[:LARGEST]
    if not found:
        return []
    lines = [*_drawn(of_task, found, comparison), *table(*figures.slices(of_task, found, comparison))]
    summary = f"The {LARGEST} largest of each column; the HTML report has all."
    return ["### Slices", "", *_folded(summary, lines)]


def _drawn(of_task: task.Task, found: list[dict[str, Any]], comparison: dict[str, Any]) -> list[str]:
    """Candidate and champion side by side; nothing without a champion."""
    title = of_task.titles[of_task.main]
    champion = {(each["column"], each["slice"]): each["champion"] for each in comparison["slices"]}
    places = [(each["column"], each["slice"], each[of_task.main]["value"]) for each in found]
    both = [(_label(f"{at} {name}"), ours, champion.get((at, name))) for at, name, ours in places]
    drawn = [each for each in both if None not in each]
    if not drawn:
        return []
    names, ours, theirs = map(list, zip(*drawn, strict=True))
    low, high = min(ours + theirs), max(ours + theirs)
    low, high = (min(0.5, math.floor(10 * low) / 10), 1) if of_task.bounds[1] else (0, high)
    return [
        "```mermaid",
        "---",
        "config:",
        "  xyChart:",
        f"    height: {100 + 26 * len(drawn)}",
        "---",
        "xychart-beta horizontal",
        f'    title "{title} of each slice: bars are the candidate, the line is the champion"',
        f"    x-axis [{', '.join(names)}]",
        f'    y-axis "{title}" {_plain(low)} --> {_plain(high)}',
        f"    bar {_plain(ours)}",
        f"    line {_plain(theirs)}",
        "```",
        "",
    ]


def _plain(value: Any, digits: int = 6) -> str:
    """A number, or a list of them, without exponents, which are no numbers to Mermaid."""
    if isinstance(value, list):
        return f"[{', '.join(_plain(each, digits) for each in value)}]"
    return figures.readable(f"{value:.{digits}g}", exact=True)


def _label(text: str) -> str:
    """Text that ends neither its quotation nor the block."""
    return '"' + re.sub(r'["`\s]+', " ", text).strip() + '"'
