"""The dashboards, which no Grafana has drawn: each query parses, names what there is, and finds it in a Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.checks import promql
from deploy.lib import dashboards, monitoring
from deploy.lib.passport import parse_passport
from deploy.rehearsal import past
from deploy.rehearsal.past import STEP, Past
from repo.lib.refusal import Refusal
from serving import serve
from tests.deploy.tree import Tree, passed
from tests.support.prometheus import needs_promtool
from tests.support.repository import ROOT
from tests.support.specimens import MODEL, NAME

FILES = sorted((ROOT / dashboards.FOLDER).glob("*.json"))
RULES = yaml.safe_load((ROOT / monitoring.RULES).read_text())["spec"]["groups"]
LAST = 1_750_000_500 // STEP * STEP
FIRST = LAST - 7 * 24 * 3600 - 3600
POD = 'namespace="models-production",job="job",pod="specimen-delay-7d8b9c5f4-x2k4f"'
FEATURE = "origin"
OF_OTHERS = {"ALERTS", "analysis_run_metric_phase"}  # of Prometheus and Argo Rollouts
SCHEMA = ROOT.parent / "shared/schemas/grafana/Dashboard.schema.json"
# What the schema's Grafana, a newer one, does not know: of the builders' own, and of Prometheus' annotations.
NEWER = {"variable": ("auto", "auto_count", "auto_min"), "note": ("expr", "titleFormat")}
Board = dict[str, Any]


def board(path: Path) -> Board:
    found: Board = json.loads(path.read_text())
    return found


def panels(content: Board) -> list[Board]:
    return [each for each in content["panels"] if each["type"] != "row"]


def queries(content: Board) -> list[str]:
    """All that it asks Prometheus, with a value for each variable."""
    asked = [target["expr"] for panel in panels(content) for target in panel["targets"]]
    asked += [note["expr"] for note in content["annotations"].get("list", [])]
    for variable in content["templating"]["list"]:
        if found := re.fullmatch(r"label_values\((.*), (\w+)\)", str(variable.get("query"))):
            asked.append(f"count by ({found[2]}) ({found[1]})")
    return asked


def filled(query: str) -> str:
    """With the values of a test."""
    values = {
        "$__rate_interval": "30m",
        "$namespace": "models-production",
        "$model": NAME,
        "$rollout": "specimen-delay",
    }
    for name, value in (values | {"$feature": FEATURE}).items():
        query = query.replace(name, value)
    return query


def names(query: str) -> set[str]:
    return {series.metric for series in promql.parse(filled(query), query).series}


def faults(content: Board, known: set[str]) -> Iterator[str]:
    for panel in panels(content):
        if not panel["fieldConfig"]["defaults"].get("unit") or not panel.get("description"):
            yield f"{panel['title']}: unit and description are not both there"
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        if any(source != {"type": "prometheus", "uid": "${datasource}"} for source in sources):
            yield f"{panel['title']}: another datasource than the chosen one"
        if not panel["targets"]:
            yield f"{panel['title']}: asks nothing"
    declared = {f"${each['name']}" for each in content["templating"]["list"]} | {"$__rate_interval"}
    for query in queries(content):
        yield from (f"{name} is no variable" for name in set(re.findall(r"\$\w+", query)) - declared)
        try:
            yield from (f"{name} is no metric" for name in names(query) - known)
        except Refusal as refusal:
            yield str(refusal)


@pytest.fixture(scope="module")
def scraped(rehearsed: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """/metrics of the real service, once it has answered, refused, and heard outcomes."""
    folder = tmp_path_factory.mktemp("service")
    (built,) = (rehearsed / MODEL / "build/bento").iterdir()
    bento = Path(shutil.copytree(built, folder / "bento"))
    contract = json.loads((bento / "src/contract.json").read_text())
    more = {"dropped": ["former"], "log": {"share": 1.0, "days": 1}}
    (bento / "src/contract.json").write_text(json.dumps(contract | more))
    (folder / "current").write_text("0123456789abcdef" * 4)
    body = json.dumps({"rows": [{each["name"]: each["example"] for each in contract["features"]}]}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEEDBACK_KEYS", str(folder))
        with serve.start(bento, serve.free_port(), folder / "home") as server:
            server.wait_ready()

            def ask(path: str, body: bytes | None = None) -> bytes:
                with urllib.request.urlopen(f"{server.address}/{path}", body) as response:  # noqa: S310
                    return bytes(response.read())

            for outcome in (0, 1):
                (identity,) = json.loads(ask("predict?prediction_ids=true", body))["prediction_ids"]
                told = {"feedback": [{"prediction_id": identity, "outcome": outcome}]}
                ask("feedback", json.dumps(told).encode())
            with pytest.raises(urllib.error.HTTPError):
                ask("predict", b'{"rows": [{}]}')
            return ask("metrics").decode()


def samples(text: str) -> Iterator[str]:
    """A week of the service's series, the counters of which rise by the same each quarter of an hour, and of others."""
    series = [line.rpartition(" ") for line in text.splitlines() if line.startswith("ml_")]
    for step, at in enumerate(range(FIRST, LAST + 1, STEP)):
        for name, _, value in series:
            rising = not name.startswith(("ml_model_info", "ml_start_time_seconds"))
            yield f"{name[:-1]},{POD}}} {float(value) * (step if rising else 1)} {at}\n"
    info = next(name for name, _, _ in series if name.startswith("ml_model_info"))
    renewed = re.sub('version="[^"]*"', 'version="next"', info)
    yield f"{renewed[:-1]},{POD}}} 1 {LAST}\n"
    yield f'ALERTS{{alertname="ModelInputDrift",alertstate="firing",model="{NAME}",severity="info"}} 1 {LAST}\n'
    run = 'exported_namespace="models-production",name="specimen-delay-7d8b9c5f4-2",metric="score-shift"'
    yield f'analysis_run_metric_phase{{{run},phase="Successful"}} 1 {LAST}\n'


@pytest.fixture(scope="module")
def week(rehearsed: Path, scraped: str, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """With all that the rules make of it, by the constants of the release."""
    folder = tmp_path_factory.mktemp("week")
    path = rehearsed / MODEL / "build/passport.yaml"
    passport = parse_passport(path.read_bytes(), path)
    assert passport.reference is not None
    constants = monitoring.group("production", passport, passport.reference)
    counted, judged = Past([constants, RULES[0]], folder / "counted"), Past(RULES[1:], folder / "judged")
    (folder / "samples").write_text("".join([*samples(scraped), "# EOF\n"]))
    counted.add(folder / "samples")
    counted.judge(FIRST, LAST)
    shutil.copytree(folder / "counted/store", folder / "judged/store", dirs_exist_ok=True)
    judged.judge(LAST, LAST)
    return judged


@pytest.mark.slow
@needs_promtool
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_finds_series_where_the_service_is_watched(path: Path, week: Past) -> None:
    with week.running() as address:
        empty = [each for each in queries(board(path)) if not past.query(address, filled(each), LAST, LAST)]
    assert empty == []


@pytest.mark.slow
def test_every_metric_of_the_service_is_shown_or_a_rule_reads_it(scraped: str) -> None:
    asked = [query for path in FILES for query in queries(board(path))]
    asked += [rule["expr"] for group in RULES for rule in group["rules"]]
    read = {name for query in asked for name in names(query)}
    there = set(re.findall(r"^(ml_\w+)\{", scraped, re.MULTILINE))
    assert there - read - {"ml_request_duration_seconds_sum"} == set()


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Metrics that the service, a release's constants and the rules have, as their sources name them."""
    sources = [*(ROOT / "serving/runtime").glob("*.py"), ROOT / "deploy/lib/monitoring.py"]
    named = {name for path in sources for name in re.findall(r'"(ml[_:]\w+)"', path.read_text())}
    parts = {f"ml_request_duration_seconds_{part}" for part in ("bucket", "count")}
    return (
        named | parts | OF_OTHERS | {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_what_there_is_and_explains_it(path: Path, known: set[str]) -> None:
    assert list(faults(board(path), known)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ml_requests_total", "ml_request_total", "ml_request_total is no metric"),
        ("${datasource}", "other", "another datasource"),
        ('"unit": "reqps"', '"unit": ""', "unit and description"),
        ("Requests not answered with 200.", "", "unit and description"),
        ("sum by (version)", "sum by version", "is not PromQL"),
        ("$feature", "$features", "$features is no variable"),
    ],
)
def test_a_planted_fault_is_found(old: str, new: str, told: str, known: set[str]) -> None:
    text = (ROOT / dashboards.FOLDER / "one-model.json").read_text()
    assert old in text
    assert any(told in each for each in faults(json.loads(text.replace(old, new)), known))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_panel_has_a_number_and_a_place_of_its_own(path: Path) -> None:
    every = board(path)["panels"]
    assert len({each["id"] for each in every}) == len(every)
    places = [each["gridPos"] for each in every]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert (len(cells), max(x for x, _ in cells)) == (len(set(cells)), 23)


@pytest.mark.skipif(not SCHEMA.is_file(), reason="optional: there is no schema of Grafana's beside the repository")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_keeps_grafanas_schema(path: Path) -> None:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    content = board(path)
    for key in NEWER["variable"]:
        for variable in content["templating"]["list"]:
            variable.pop(key, None)
    for note in content.get("annotations", {}).get("list", []):
        for key in NEWER["note"]:
            note.pop(key)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)] == []
    content["panels"][1]["datasorce"] = {}
    assert list(validator.iter_errors(content))


def test_the_files_are_what_their_description_makes(tree: Tree) -> None:
    """And `--check` says where they are not, which writes nothing."""
    shutil.copytree(ROOT / "deploy/monitoring", "deploy/monitoring")
    assert passed(tree.deploy("dashboards", "--check")).out == ""
    edited = dashboards.FOLDER / "all-models.json"
    edited.write_text(edited.read_text().replace("Traffic", "Load"))
    answer = tree.deploy("dashboards", "--check")
    assert (answer.code, "all-models.json is not current" in answer.out) == (1, True)
    assert "all-models.json was written" in passed(tree.deploy("dashboards")).out
    assert edited.read_bytes() == (ROOT / edited).read_bytes()
