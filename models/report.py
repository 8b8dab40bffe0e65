"""Write the report of a model: one self-contained HTML file, and Markdown that GitHub draws in a pull request.

python -m models report flight_delay
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_schemas.files import read_json, read_yaml, write
from models import config, evaluate, measure
from models.passport import KEYS

HERE = Path(__file__).parent
MARKS = {"pass": "✅ pass", "fail": "❌ **fail**", "off": "⚪ off"}
TITLES = {
    "roc_auc": "ROC AUC",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
}
LARGEST = 8  # slices of a column in Markdown; the HTML lists all


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model, check_columns=False)
    mend = f"python -m models run {model.name}"
    facts = {
        "model": model,
        "passport": read_yaml(model.build / "passport.yaml", f"make it with `{mend}`", KEYS),
        "evaluation": read_json(model.build / "evaluation.json", mend, evaluate.KEYS),
        "measured": read_json(model.build / "measured.json", mend, measure.KEYS),
        "titles": TITLES,
    }
    write(model.build / "report.md", markdown(facts))
    write(model.build / "report.html", html(facts))
    print(f"report {model.name}: {model.build / 'report.html'} and {model.build / 'report.md'}")
    return 0


def html(facts: dict[str, Any]) -> str:
    """The template with its charts inline: nothing is loaded from anywhere."""
    import jinja2

    from models import charts

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.jinja").render(facts, charts=charts.draw(facts["evaluation"]))


def markdown(facts: dict[str, Any]) -> str:
    """Verdict, metrics, gates, reliability and slices, in tables and Mermaid."""
    passport, evaluation, model = facts["passport"], facts["evaluation"], facts["model"]
    champion = passport["champion"]
    against = f"champion `{champion['version']}`" if champion else "no champion yet (first release)"
    lines = [
        f"## {MARKS[passport['verdict']]}: {model.name} `{passport['version']}`",
        "",
        f"{model.description} {evaluation['rows']:,} rows of {model.windows.test}, "
        f"{evaluation['positive_rate']:.1%} positive; {against}.",
        "",
        *_table(
            ["metric", "value", "95 % interval"],
            [
                [title, f"{figure['value']:.4f}", f"{figure['low']:.4f} to {figure['high']:.4f}"]
                for title, figure in ((title, evaluation["metrics"][name]) for name, title in TITLES.items())
            ],
        ),
        "### Gates",
        "",
        *_table(
            ["gate", "limit", "value", "verdict", ""],
            [
                [gate["name"], gate["limit"], gate["value"], MARKS[gate["verdict"]], gate["reason"] or ""]
                for gate in passport["gates"]
            ],
        ),
        "### Reliability",
        "",
        *_reliability(evaluation),
        "### Slices",
        "",
        f"The {LARGEST} largest of each column; the HTML report has all.",
        "",
        *_slices(model, evaluation),
    ]
    return "\n".join(lines)


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


def _slices(model: config.Model, evaluation: dict[str, Any]) -> list[str]:
    rows = []
    for column in model.slices:
        of_column = [each for each in evaluation["slices"] if each["column"] == column]
        for each in sorted(of_column, key=lambda found: -found["rows"])[:LARGEST]:
            auc = each["roc_auc"]
            interval = "one outcome only" if auc["value"] is None else f"{auc['low']:.3f} to {auc['high']:.3f}"
            value = "" if auc["value"] is None else f"{auc['value']:.3f}"
            rows.append([column, each["slice"], f"{each['rows']:,}", f"{each['positive_rate']:.1%}", value, interval])
    return _table(["column", "slice", "rows", "positive", "ROC AUC", "95 % interval"], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table; a pipe or a line break in a cell would end it."""
    clean = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *clean]] + [""]
