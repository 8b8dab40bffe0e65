"""The report: one page that loads nothing, and Markdown that a pull request renders."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from models import report
from models.lib import compare, config, judges
from models.lib.report import charts, conclusion, figures
from models.lib.tasks import task
from repo.lib.files import read_json, write_json
from tests.models.planted import verdict
from tests.models.scene import OPTIONS
from tests.models.tiny import Tiny, file
from tests.support import comparisons, trees
from tests.support.specimens import MODEL

Write = Callable[[], tuple[str, str]]  # HTML and Markdown
HOSTILE = """<script>alert("x")</script><img src=//e.example/x> & 'quoted' | pipe"""


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def shipped(built: Path) -> tuple[str, str]:
    """HTML and Markdown as the pipeline wrote them."""
    return (built / "report.html").read_text(), (built / "report.md").read_text()


@pytest.fixture
def write(tree: Path) -> Write:
    """Run the verb on the tree; HTML and Markdown."""

    def run() -> tuple[str, str]:
        assert report.main(OPTIONS) == 0
        return (tree / MODEL / "build/report.html").read_text(), (tree / MODEL / "build/report.md").read_text()

    return run


def change(tree: Path, edit: Callable[[Any], None]) -> None:
    """Edit the tree's passport."""
    path = tree / MODEL / "build/passport.yaml"
    record = yaml.safe_load(path.read_text())
    edit(record)
    path.write_text(yaml.safe_dump(record, sort_keys=False))


def test_the_page_loads_nothing_and_runs_nothing(shipped: tuple[str, str]) -> None:
    text = shipped[0]
    page = Page(text)
    assert {"script", "link", "iframe", "img", "image", "object", "embed", "base"}.isdisjoint(page.tags)
    links = [
        (name, value) for name, value in page.attributes if name.split(":")[-1] in ("src", "href", "data", "action")
    ]
    assert [link for link in links if not link[1].startswith("#")] == []
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in text
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", text))


def test_the_page_has_five_charts_and_every_gate_metric_and_slice(
    shipped: tuple[str, str], built: Path, model: config.Model
) -> None:
    page, markdown = shipped
    evaluation, words = read_json(built / "evaluation.json", ""), Page(page).words
    assert Page(page).tags.count("svg") == 5
    shown = {"Reliability", "ROC curve", "Scores by outcome", "ROC AUC by slice", "ONNX file", "pass"}
    shown |= {"What each feature is worth", *model.features}
    assert shown | {*task.of(model).titles.values(), *model.gate_names} <= set(words)
    for text in (" ".join(words), markdown):
        assert yaml.safe_load((built / "passport.yaml").read_text())["version"] in text
        assert f"{evaluation['rows']:,} rows of {model.span('test')}" in text
        for figure in evaluation["metrics"].values():
            assert f"{figure['value']:.4f}" in text
            assert f"{figure['low']:.4f} to {figure['high']:.4f}" in text
    assert f"{evaluation['reliability'][3]['rows']:,}" in words
    assert "Features that matter, by how much worse ROC AUC is once they are shuffled" in markdown
    drawn = [each for each in evaluation["slices"] if each["roc_auc"]["value"] is not None]
    assert {f"{each['column']} {each['slice']} ({each['rows']:,})" for each in drawn} <= set(words)
    assert page.count('<td class="long">') == 2 * len(evaluation["slices"])


def test_both_say_the_decision_first_then_what_callers_notice_gates_metrics_slices_and_cost(
    tree: Path, write: Write
) -> None:
    against(tree)
    page, markdown = write()
    message = "Better than production by 0.0100 ROC AUC (0.0020 to 0.0180), worse in log-loss; all"
    assert markdown.startswith("## ✅ pass: specimen_delay `")
    assert f'<p class="decision pass">{message}' in page
    assert markdown.splitlines()[2].startswith(f"**{message}")
    titles = [
        "What callers will notice",
        "Gates",
        "Metrics",
        "Slices",
        "Features",
        "Size, latency and cost",
        "Reliability",
    ]
    assert re.findall("^### (.*)$", markdown, re.MULTILINE) == titles
    words = Page(page).words
    places = [
        words.index(message) for message in ("What callers will notice", "Gates", "Metrics", "Size, latency and cost")
    ]
    assert places == sorted(places)


def gate(name: str, value: str, limit: str, verdict: str = "fail", reason: str | None = None) -> dict[str, Any]:
    return {"name": name, "limit": limit, "value": value, "verdict": verdict, "reason": reason}


CALIBRATION, FINE = gate("calibration_error", "0.102", "at most 0.06"), gate("brier", "0.1", "at most 0.2", "pass")
WORST, SAME = "0.6 (at the worse ends)", "ROC AUC at least 0.65"
BETTER = "Better than production by 0.0040 ROC AUC (0.0010 to 0.0070)"
LISTED = "calibration_error 0.102, limit 0.06"
MANY = f"{BETTER}; blocked by {'; '.join(f'gate_{place} 0.102, limit 0.06' for place in range(3))}; 2 more."
SHIFT = "30.0% of labels change", "at most 25% of labels change"
DECISIONS: list[tuple[Any, list[dict[str, Any]], str]] = [  # bounds of the difference, gates, the sentence
    (
        (),
        [gate("champion", WORST, SAME), gate("baseline", WORST, SAME)],
        f"First release, with nothing to compare it with; blocked by baseline: {WORST} (limit: {SAME}).",
    ),
    ((0.001, 0.007), [FINE, FINE], f"{BETTER}; all 2 gates pass."),
    (
        (-0.009, -0.001),
        [FINE, gate("size_mb", "-", "-", "off", "large disks")],
        "Worse than production by 0.0040 ROC AUC (0.0010 to 0.0090); 1 of 2 gates pass, off: size_mb.",
    ),
    (
        (0.001, 0.007),
        [gate("champion", "-0.009", "at least -0.005")],
        f"{BETTER}; blocked by champion: difference -0.009 at worst, limit -0.005.",
    ),
    (
        (-0.001, 0.009),
        [FINE, CALIBRATION | {"verdict": judges.BELOW}],
        "Neither better nor worse than production by ROC AUC (+0.0040, -0.0010 to +0.0090); all 2 gates pass, 1 of "
        f"them below the limit as production is ({LISTED}).",
    ),
    (
        (None, None),
        [CALIBRATION, gate("shift", *SHIFT), gate("parity", "none", "evidence", reason="no data: a figure\nis null.")],
        f"Not compared with production (the test window has one outcome only); blocked by {LISTED}; shift: {SHIFT[0]} "
        f"(limit: {SHIFT[1]}); parity: no data: a figure is null.",
    ),
    ((0.001, 0.007), [CALIBRATION | {"name": f"gate_{place}"} for place in range(5)], MANY),
]


@pytest.mark.parametrize(("bounds", "gates_of_it", "message"), DECISIONS)
def test_the_decision_is_one_sentence_of_every_case(
    model: config.Model, bounds: Any, gates_of_it: list[dict[str, Any]], message: str
) -> None:
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    low, high = bounds or (0, 0)
    found = {"value": None if low is None else 0.004 if high > 0.005 else -0.004, "low": low, "high": high}
    differences = dict.fromkeys(task.of(model).titles, nothing) | {"roc_auc": found}
    comparison = compare.NONE | {
        "metrics": {name: {"champion": 0.1, "difference": each} for name, each in differences.items()} if bounds else {}
    }
    passport = {"champion": {"onnx": "a"} if bounds else None, "content": {"onnx": "b"}, "gates": gates_of_it}
    assert conclusion.decision(task.of(model), passport, comparison) == message
    after = message.removesuffix(".").split("; ", 1)[1].removeprefix("blocked by ")
    failed = any(each["verdict"] == "fail" for each in gates_of_it)
    assert conclusion.outcome(passport) == f"{'FAIL' if failed else 'PASS'}: {after}"


def test_a_comparison_that_was_impossible_and_production_s_own_model_are_said(model: config.Model) -> None:
    passport = {"champion": {"onnx": "a"}, "content": {"onnx": "b"}, "gates": [FINE]}
    comparison = compare.NONE | {"fault": "the model cannot be loaded; export it again."}
    message = "Not compared with production (the model cannot be loaded; export it again); all 1 gates pass."
    assert conclusion.decision(task.of(model), passport, comparison) == message
    passport["content"] = {"onnx": "a"}
    assert conclusion.decision(task.of(model), passport, comparison).startswith("The same model.onnx as production's; ")


@pytest.mark.parametrize(
    ("text", "shown", "exact"),
    [
        ("1.192e-07, at most 1e-05", "below 0.000001, at most 0.00001", "0.0000001192, at most 0.00001"),
        ("1.235e+05", "123500", "123500"),
        ("0.0762 ms for 1 row, 0.0042 ms for 100", "0.08 ms for 1 row, below 0.01 ms for 100", None),
        ("p99 at most 2 ms; 54 of 54 passed; -0.0049", "p99 at most 2 ms; 54 of 54 passed; -0.0049", None),
    ],
)
def test_figures_have_neither_exponents_nor_noise(text: str, shown: str, exact: str | None) -> None:
    assert figures.readable(text) == shown
    assert figures.readable(text, exact=True) == (exact or text)


def test_on_a_first_release_no_two_rows_or_columns_of_a_table_are_equal(shipped: tuple[str, str]) -> None:
    for lines in re.findall(r"(?m)(?:^\|.*\n)+", shipped[1]):
        head, _, *body = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines.splitlines()]
        columns = [tuple(cells) for cells in zip(*body, strict=True) if {"".join(cells).strip()} != {""}]
        assert len(set(columns)) == len(columns), head
        found = [tuple(cells[1:]) for cells in body]
        assert len(set(found)) == len(found), head


def against(tree: Path, **changes: Any) -> dict[str, Any]:
    """A champion in the tree, compared on every metric and slice: better, worse and neither."""
    build = tree / MODEL / "build"
    comparison = comparisons.make(read_json(build / "evaluation.json", "")) | changes
    change(tree, lambda record: record.update(champion=comparison["champion"]))
    write_json(build / "comparison.json", comparison)
    return comparison


def rows(text: str) -> dict[str, list[str]]:
    """First cell of each row of the Markdown tables -> the others."""
    lines = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in lines}


def test_both_compare_every_metric_with_the_champion(tree: Path, write: Write, model: config.Model) -> None:
    against(tree)
    page, markdown = write()
    words, found = [word.strip() for word in Page(page).words], rows(markdown)
    message = ["better", "worse", "no evidence of a difference", "better"]  # lower is better, but of ROC AUC
    for title, word in zip(task.of(model).titles.values(), message, strict=True):
        assert (found[title][2], found[title][4]) == ("0.1234", word)
        place = words.index(title)
        assert word in words[place : place + 14]
    assert found["ROC AUC"][3] == "+0.0100 (+0.0020 to +0.0180)"
    assert found["calibration error"][3] == "-0.0100 (-0.0020 to -0.0180)"
    assert "+0.0100 (+0.0020 to +0.0180)" in words
    for text in (page, markdown):
        assert figures.NOTE in text
        assert "(champion 1.234 MB)" in text


@pytest.mark.usefixtures("drawn")
def test_both_compare_every_slice_that_they_show(tree: Path, write: Write, model: config.Model) -> None:
    found = against(tree)["slices"]
    page, markdown = write()
    shown, largest = markdown[markdown.index("### Slices") :], 0
    for column in model.slices:
        slices = read_json(tree / MODEL / "build/evaluation.json", "")["slices"]
        of_column = sorted((each for each in slices if each["column"] == column), key=lambda each: -each["rows"])
        largest += min(len(of_column), report.LARGEST)
        assert f"| {column} | {of_column[0]['slice']} | {of_column[0]['rows']:,} |" in shown
    assert shown.count(" | 0.432 | +0.0100 (+0.0020 to +0.0180) | better |\n") == largest
    assert Page(page).words.count("0.432") == len(found)
    assert "champion" in Page(page[page.index("ROC AUC by slice") :]).words  # of the chart


def test_markdown_draws_the_slices_of_both_with_mermaid(tree: Path, write: Write) -> None:
    evaluation = read_json(tree / MODEL / "build/evaluation.json", "")
    first = max((each for each in evaluation["slices"] if each["column"] == "carrier"), key=lambda each: each["rows"])
    first["slice"] = 'U"A`\n```\n'
    empty = next(each for each in evaluation["slices"] if each["column"] == "origin")
    empty["roc_auc"] = {"value": None, "low": None, "high": None}
    write_json(tree / MODEL / "build/evaluation.json", evaluation)
    against(tree)
    markdown = write()[1]
    block = markdown.split("```mermaid\n")[1].split("\n```\n")[0]
    assert "\nxychart-beta horizontal\n" in block
    labels, bar, line = (
        re.findall(rf"^    {name} \[(.*)\]$", block, re.MULTILINE)[0] for name in ("x-axis", "bar", "line")
    )
    names = re.findall(r'"([^"]+)"', labels)
    assert names[0] == "carrier U A"
    assert len(names) == len(bar.split(", ")) == len(line.split(", ")) == block.count("0.4321")
    assert f"origin {empty['slice']}" not in names
    assert bar.startswith(str(first["roc_auc"]["value"]))
    assert '    y-axis "ROC AUC" 0.4 --> 1' in block


def test_both_name_the_champion_and_without_one_nothing_is_compared(tree: Path, write: Write) -> None:
    against(tree)
    page, markdown = write()
    assert "Champion, which production runs: <code>0123456789ab</code>" in page
    assert "champion `0123456789ab`" in markdown
    against(tree, metrics={}, slices=[], fault="the model cannot be loaded; export it again.")
    page, markdown = write()
    assert "champion `0123456789ab`, with which it could not be compared (the model cannot be loaded;" in markdown
    assert "They could not be compared: the model cannot be loaded; export it again." in page
    against(tree)
    change(tree, lambda record: record.update(champion=None))  # and what stands there is of another verdict
    page, markdown = write()
    assert "No champion yet" in page
    assert "no champion yet (first release)" in markdown
    assert markdown.count("```mermaid") == 1
    for text in (page, markdown):
        assert "difference" not in text.replace("largest difference", "")
    assert [cells for cells in rows(markdown).values() if "" in cells[:3]] == []


def test_both_say_what_callers_will_notice(tree: Path, write: Write) -> None:
    against(tree)
    for text in write():
        for words in ("What callers will notice", "12.3%", "30.0%", "noon late", "20.0% of 900 labels change"):
            assert words in text
    against(tree, shift=None)
    assert all("What callers will notice" not in text for text in write())


def test_both_say_what_production_would_refuse(shipped: tuple[str, str], tree: Path, write: Write) -> None:
    assert not any("production refuses" in text for text in shipped)
    change(tree, lambda record: record["governance"]["dataset"].update(licence=""))
    for text in write():
        assert "Empty, and production refuses that" in text
        assert "Config.metadata.licence" in text


def test_a_verdict_of_fail_a_limit_that_was_excused_and_rows_that_were_left_out_are_loud(
    tree: Path, write: Write
) -> None:
    assert "quarantine" not in write()[0]
    change(tree, lambda record: record["gates"][0].update(verdict=judges.BELOW))
    change(tree, lambda record: record["dataset"].update(quarantined=1234) or record.update(verdict="fail"))
    page, markdown = write()
    assert markdown.startswith("## ❌ **fail**: specimen_delay `")
    assert f"⚠️ **{judges.BELOW}**" in markdown
    for tag, text in (("verdict fail", "fail"), ("below", judges.BELOW)):
        assert f'<span class="tag {tag}">{text}</span>' in page
    assert "1,234 rows of the dataset&#39;s source" in page.replace("'", "&#39;")


@pytest.mark.parametrize(
    ("name", "champion", "low", "high", "word"),
    [
        ("roc_auc", 0.7, 0.001, 0.002, "better"),
        ("roc_auc", 0.7, -0.002, -0.001, "worse"),
        ("roc_auc", 0.7, -0.001, 0.001, "no evidence of a difference"),
        ("roc_auc", 0.7, 0.00001, 0.1, "no evidence of a difference"),  # shown as 0
        ("log_loss", 0.000007, 0.000001, 0.000002, "worse"),  # has more decimals
        ("brier", 0.1, -0.002, -0.001, "better"),
        ("brier", None, None, None, ""),
    ],
)
def test_better_and_worse_are_said_only_on_evidence(
    model: config.Model, name: str, champion: Any, low: Any, high: Any, word: str
) -> None:
    found = {"champion": champion, "difference": {"value": low, "low": low, "high": high}}
    assert figures.word(task.of(model), name, found) == word


def test_size_and_latency_stand_beside_their_limits(tree: Path, write: Write, model: config.Model) -> None:
    measured = read_json(tree / MODEL / "build/measured.json", "")
    page, markdown = write()
    found, words = rows(markdown), Page(page).words
    assert found["ONNX file"] == [f"{measured['size_mb']:g} MB", f"at most {model.gates.size_mb.at_most:g} MB"]
    for batch, name in (("1 row", "one_row"), ("100 rows", "hundred_rows")):
        limit, times = getattr(model.gates.latency, f"{name}_ms"), measured["latency"][name]
        shown = [figures.milliseconds(times[key]) for key in ("p50_ms", "p99_ms")]
        cells = [f"p50 {shown[0]}, p99 {shown[1]}", f"p99 at most {limit:g} ms"]
        assert found[f"processor time of a call, {batch}"] == cells
        assert set(cells) <= set(words)
    trees.configure(tree, {"gates.size_mb": {"off": "the disk is large"}})
    assert rows(write()[1])["ONNX file"][1] == "gate is off"


def test_cost_is_the_cpu_of_the_model_and_what_its_pods_hold_with_a_price_as_money(tree: Path, write: Write) -> None:
    measured = tree / MODEL / "build/measured.json"
    known = read_json(measured, "")
    for name, milliseconds in (("one_row", 3.6), ("hundred_rows", 36.0)):  # of a thousand: a thousandth of an hour
        known["latency"][name]["p50_ms"] = milliseconds
    write_json(measured, known)
    calls, pods = "1,000 rows, {} in a call", "4 replicas that hold 250m CPU each, 30 days"
    found = rows(write()[1])
    assert [found[calls.format(1)][0], found[calls.format(100)][0]] == ["0.001 CPU hours", "0.0001 CPU hours"]
    assert found[pods] == ["720 CPU hours", "no `price` in model.yaml"]
    trees.configure(tree, {"price": {"cpu_hour": 0.5, "currency": "EUR"}})
    found = rows(write()[1])
    assert found[calls.format(1)] == [
        "0.001 CPU hours, 0.0005 EUR",
        "the model's CPU alone, without the service's",
    ]
    assert found[pods] == ["720 CPU hours, 360 EUR", "at 0.5 EUR an hour"]
    (tree / MODEL / "resources.yaml").write_text("- {path: /spec/replicas, value: many}\n")
    assert pods not in rows(write()[1])


@pytest.mark.usefixtures("drawn")
def test_whatever_a_team_writes_is_text_on_the_page(tree: Path, write: Write) -> None:
    settings = yaml.safe_load((tree / MODEL / "model.yaml").read_text())
    (tree / MODEL / "model.yaml").write_text(yaml.safe_dump(settings | {"description": HOSTILE}))
    change(tree, lambda record: record["gates"][0].update(reason=HOSTILE, value=HOSTILE, limit=HOSTILE))
    evaluation = read_json(tree / MODEL / "build/evaluation.json", "")
    evaluation["slices"][0]["slice"] = HOSTILE
    write_json(tree / MODEL / "build/evaluation.json", evaluation)
    text, markdown = write()
    page = Page(text)
    assert "| pipe".replace("|", r"\|") in markdown
    assert {"script", "img"}.isdisjoint(page.tags)
    assert sum(HOSTILE in words for words in page.words) >= 5  # description, three cells and a slice's row
    assert any(f" {HOSTILE[: charts.LONGEST - 1]}… (" in words for words in page.words)  # its label


FOREIGN = {  # to a task: words of the others
    "binary": "rmse|mae|r²|macro|recall|precision|confusion|prediction|class",
    "multiclass": "rmse|mae|r²|roc|brier|positive|negative|threshold|calibration|prediction",
    "regression": "roc|brier|positive|negative|log-loss|calibration|probabilit|label|class|recall|score",
}


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("word", FOREIGN)
def test_a_report_of_every_task_speaks_of_its_own_figures_only(tinies: Tiny, word: str) -> None:
    evidence = tinies.against(word, file(word, y=0.0))
    verdicts = [asdict(verdict(evidence, name)) for name in evidence.model.gate_names if name != "behaviour"]
    champion = {"version": "0123456789ab", "onnx": ""}
    content: dict[str, Any] = {"verdict": "fail", "version": "a" * 12, "content": {"onnx": "b"}, "champion": champion}
    facts = {
        "model": evidence.model.model_copy(update={"name": "tiny"}),
        "passport": content | {"gates": verdicts, "dataset": {"quarantined": 0}},
        "evaluation": evidence.evaluation,
        "measured": evidence.measured,
        "comparison": compare.NONE | {"champion": champion} | evidence.comparison,
    }
    markdown, page = report.markdown(facts), " ".join(Page(report.html(facts)).words)
    for text in (markdown.replace(f"tiny_{word}", "tiny"), page[page.index("Gates") :].replace(f"tiny_{word}", "tiny")):
        assert re.findall(rf"(?i)\b(?:{FOREIGN[word]})\w*", text.replace("feature alone", "")) == []
        assert "What callers will notice" in markdown
        assert all(title in text for title in evidence.task.titles.values())
        assert ("Classes" in text, "Confusion" in page) == (word == "multiclass",) * 2
    figures_of = rows(markdown)
    if word == "multiclass":
        recall = evidence.evaluation["classes"][1]["recall"]
        assert figures_of["mid"][:2] == ["244", f"{recall['value']:.3f}"]
        assert sum(map(sum, evidence.evaluation["charts"][1]["cells"])) == 600
    if word == "regression":  # whose outcomes are about 40,000
        assert figures_of["RMSE"][:4] == ["3,884.8", "3,689.2 to 4,093.0", "4,793.2", "-908.4 (-1,097.7 to -714.5)"]
        assert not re.findall(r"\de[+-]\d", markdown)
        assert "RMSE against 0123456789ab: -908.4, on the same rows" in markdown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.93089, "0.9309"), (-12.3456, "-12.346"), (41234.5, "41,234"), (4.4e-6, "0.000004400")]
)
def test_a_figure_has_fewer_decimals_the_larger_it_is_and_more_where_it_is_small(value: float, shown: str) -> None:
    assert figures.number(value, 4) == shown


def test_markdown_draws_reliability_with_mermaid(built: Path, shipped: tuple[str, str]) -> None:
    block = re.search(r"^```mermaid\n(.*?)^```$", shipped[1], re.MULTILINE | re.DOTALL)
    assert block is not None
    assert block[1].startswith("xychart-beta\n")
    bins = [each for each in read_json(built / "evaluation.json", "")["reliability"] if each["rows"]]
    for name, key in (("bar", "outcome"), ("line", "score")):
        assert f"{name} [{', '.join(format(each[key], 'g') for each in bins)}]" in block[1]


@pytest.mark.usefixtures("drawn")
def test_the_same_figures_give_the_same_bytes(shipped: tuple[str, str], write: Write) -> None:
    """The pipeline's were written by another process in another directory, where a person set Matplotlib otherwise."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "other", "font.size": 30, "svg.fonttype": "path"}):
        assert write() == shipped
