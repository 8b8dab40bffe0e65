"""Write the report of a model: one self-contained HTML file, and Markdown that GitHub draws in a pull request."""

import argparse
import math
import re
from pathlib import Path
from typing import Any

from models import evaluate, measure
from models.gates import BELOW
from models.lib import compare, config
from models.lib.passport import KEYS
from models.lib.report import conclusion, figures
from repo.lib.files import read_json, read_yaml, write
from repo.lib.markdown import table

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
    evaluation, comparison = facts["evaluation"], facts["comparison"]
    shown = {
        "decision": conclusion.decision(facts["passport"], comparison),
        "titles": figures.TITLES,
        "metrics": figures.metrics(evaluation, comparison),
        "shift": figures.shift(comparison),
        "scores": figures.scores(comparison),
        "gates": figures.gates(facts["passport"])[1],
        "costs": figures.costs(facts["model"], facts["measured"], comparison),
        "compared": [row[6:] for row in figures.slices(evaluation["slices"], comparison)[1]],
        "note": figures.NOTE if comparison["metrics"] else "",
        "charts": charts.draw(evaluation, comparison),
    }
    return environment.get_template("report.html.jinja").render(facts, **shown)


def markdown(facts: dict[str, Any]) -> str:
    """The decision, what callers will notice, gates, metrics, slices, cost and reliability, in tables and Mermaid."""
    passport, evaluation, model = facts["passport"], facts["evaluation"], facts["model"]
    comparison = facts["comparison"]
    largest = _largest(model, evaluation)
    lines = [
        f"## {MARKS[passport['verdict']]}: {model.name} `{passport['version']}`",
        "",
        f"**{conclusion.decision(passport, comparison)}**",
        "",
        f"{model.description} {evaluation['rows']:,} rows of {model.windows.test}, "
        f"{evaluation['positive_rate']:.1%} positive; {figures.against(passport, comparison)}.",
        "",
        *_shift(comparison),
        "### Gates",
        "",
        *table(*_marked(figures.gates(passport))),
        "### Metrics",
        "",
        *table(*figures.metrics(evaluation, comparison)),
        *([figures.NOTE, ""] if comparison["metrics"] else []),
        "### Slices",
        "",
        *_folded(
            f"The {LARGEST} largest of each column; the HTML report has all.",
            [*_slices(largest, comparison), *table(*figures.slices(largest, comparison))],
        ),
        "### Size and latency",
        "",
        *table(*figures.costs(model, facts["measured"], comparison)),
        "### Reliability",
        "",
        *_reliability(evaluation),
    ]
    return "\n".join(lines)


def _shift(comparison: dict[str, Any]) -> list[str]:
    """Nothing without a champion."""
    if not comparison["shift"]:
        return []
    scores = _folded("Scores by tenth", table(*figures.scores(comparison)))
    return ["### What callers will notice", "", *table(*figures.shift(comparison)), *scores]


def _marked(gates: figures.Table) -> figures.Table:
    head, rows = gates
    return head, [[name, MARKS[verdict], *cells] for name, verdict, *cells in rows]


def _folded(summary: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "</details>", ""]


def _reliability(evaluation: dict[str, Any]) -> list[str]:
    bins = [each for each in evaluation["reliability"] if each["rows"]]
    axis = ", ".join(f'"{each["score"]:.2f}"' for each in bins)
    return [
        "```mermaid",
        "xychart-beta",
        '    title "Mean outcome of each score bin; the line is perfect calibration"',
        f'    x-axis "mean score" [{axis}]',
        '    y-axis "share positive" 0 --> 1',
        f"    bar {[each['outcome'] for each in bins]}",
        f"    line {[each['score'] for each in bins]}",
        "```",
        "",
    ]


def _largest(model: config.Model, evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for column in model.slices:
        of_column = [each for each in evaluation["slices"] if each["column"] == column]
        found += sorted(of_column, key=lambda each: -each["rows"])[:LARGEST]
    return found


def _slices(found: list[dict[str, Any]], comparison: dict[str, Any]) -> list[str]:
    """Candidate and champion side by side; nothing without a champion."""
    champion = {(each["column"], each["slice"]): each["champion"] for each in comparison["slices"]}
    drawn = []
    for each in found:
        ours, theirs = each["roc_auc"]["value"], champion.get((each["column"], each["slice"]))
        if ours is not None and theirs is not None:
            drawn.append((_label(f"{each['column']} {each['slice']}"), ours, theirs))
    if not drawn:
        return []
    lowest = min(min(ours, theirs) for _, ours, theirs in drawn)
    return [
        "```mermaid",
        "---",
        "config:",
        "  xyChart:",
        f"    height: {100 + 26 * len(drawn)}",
        "---",
        "xychart-beta horizontal",
        '    title "ROC AUC of each slice: bars are the candidate, the line is the champion"',
        f"    x-axis [{', '.join(name for name, _, _ in drawn)}]",
        f'    y-axis "ROC AUC" {min(0.5, math.floor(10 * lowest) / 10):g} --> 1',
        f"    bar {[ours for _, ours, _ in drawn]}",
        f"    line {[theirs for _, _, theirs in drawn]}",
        "```",
        "",
    ]


def _label(text: str) -> str:
    """Text that ends neither its quotation nor the block."""
    return '"' + re.sub(r'["`\s]+', " ", text).strip() + '"'
