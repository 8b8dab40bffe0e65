"""Every metric and label that a query of the cluster names is on /metrics of the real, running service."""

import dataclasses
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.checks import promql, rendering
from deploy.checks.rendering import Rendering
from deploy.checks.rules.runs import runs
from deploy.lib import kustomization, release
from models.lib import config, passport
from serving import build, serve
from tests.conftest import Once
from tests.deploy.manifests import renders, specimen
from tests.support.specimens import NAME

pytestmark = pytest.mark.xdist_group("metrics")  # one server answers them all
OPERATOR = {"job", "namespace", "pod", "container", "endpoint", "instance"}  # labels by which a PodMonitor scrapes
PROMETHEUS = {"up": OPERATOR}  # series that Prometheus makes itself of every scrape
Exposed = dict[str, dict[str, set[str]]]  # metric -> label -> its values


@pytest.fixture(scope="session")
def metrics(once: Once, rehearsed: Path) -> str:
    """The text of /metrics after fifty requests to the service of a real model."""

    def ask(folder: Path) -> None:
        with chdir(rehearsed):
            bento = rehearsed / build.build(NAME)
        with serve.start(bento, serve.free_port(), folder) as server:
            server.wait_ready(60)
            smoke = [sys.executable, str(bento / "src/serving/runtime/smoke.py"), "--url", server.address]
            subprocess.run([*smoke, "--requests", "50"], check=True, capture_output=True)
            with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:  # noqa: S310 - our own
                (folder / "metrics").write_bytes(answer.read())

    return (once("exposed", ask) / "metrics").read_text()


@pytest.fixture(scope="module")
def exposed(metrics: str) -> Exposed:
    found: Exposed = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


@pytest.fixture(scope="module")
def rendered(rehearsed: Path) -> list[Rendering]:
    """A release of the real model by every strategy in production, with its own bound of a slow request."""
    with chdir(rehearsed):
        model = config.load(NAME, check_columns=False)
        slow, own = model.serving.slow_ms, passport.version(passport.content(model))
    found = []
    with rendering.copied() as tree:
        for strategy in rendering.strategies():
            of = specimen("production", strategy)
            record = yaml.safe_load(of.files["passport.yaml"]) | {"serving": {"strategy": strategy, "slow_ms": slow}}
            written, compared = yaml.safe_dump(record).encode(), strategy in release.COMPARED
            promise = rendering.PROMISE.model_copy(update={"champion": own}) if compared else None
            made = kustomization.compose("production", NAME, written, of.files["resources.yaml"], promise)
            found.append(rendering.parse(rendering.texts([made], tree)[0], made))
    return found


def queries(rendered: list[Rendering]) -> Iterator[tuple[str, str]]:
    """Where, and the query."""
    for of in rendered:
        for run in runs(of):
            for template, metric in run.metrics():
                yield f"{of.strategy}, {template.name}", metric.query


def scraped(exposed: Exposed, rendered: list[Rendering]) -> Exposed:
    """`exposed`, as Prometheus stores it: with the labels that the PodMonitor adds, and its own series."""
    monitors = [monitor for of in rendered for monitor in of.of("PodMonitor")]
    pods = {re.sub(r"\W", "_", name) for monitor in monitors for name in monitor.spec["podTargetLabels"]}
    assert pods
    added: dict[str, set[str]] = {name: set() for name in OPERATOR | pods}
    own: Exposed = {name: {label: set() for label in labels | pods} for name, labels in PROMETHEUS.items()}
    return {**{name: {**added, **labels} for name, labels in exposed.items()}, **own}


def unknown(where: str, query: str, known: Exposed) -> list[str]:
    """What of a query Prometheus would never find; an empty set of values takes any."""
    read, found = promql.parse(query, where), []
    for series in read.series:
        if series.metric not in known:
            found.append(f"{where}: no metric {series.metric}")
            continue
        for label, (sign, value) in series.labels.items():
            values = known[series.metric].get(label)
            if values is None:
                found.append(f"{where}: {series.metric} has no label {label}")
            elif values and sign == "=" and value not in values:
                found.append(f"{where}: {series.metric} never has {label}={value!r}")
    labels = {label for series in read.series for label in known.get(series.metric, {})}
    return found + [f"{where}: no label {label} to group by" for label in sorted(read.labels - labels)]


@renders
def test_every_metric_and_label_of_every_query_is_there(exposed: Exposed, rendered: list[Rendering]) -> None:
    known = scraped(exposed, rendered)
    asked = list(queries(rendered))
    assert [fault for where, query in asked for fault in unknown(where, query, known)] == []
    assert {where for where, _ in asked} >= {"canary, specimen-delay-errors", "bluegreen, specimen-delay-success"}


@renders
@pytest.mark.parametrize(
    ("template", "old", "new", "named"),
    [
        ("errors", "ml_requests_total", "ml_request_total", "no metric ml_request_total"),
        ("latency", "ml_request_duration_seconds_bucket", "ml_request_bucket", "no metric ml_request_bucket"),
        ("errors", "rollouts_pod_template_hash", "pod_template_hash", "ml_errors_total has no label pod_template_hash"),
        ("latency", 'le="0.', 'le="7.', "ml_request_duration_seconds_bucket never has le='7."),
        ("score-shift", "by (bin)", "by (score)", "no label score to group by"),
    ],
)  # fmt: skip
def test_a_name_that_never_appears_is_named(
    template: str, old: str, new: str, named: str, exposed: Exposed, rendered: list[Rendering]
) -> None:
    where = f"canary, specimen-delay-{template}"
    query = next(query for place, query in queries(rendered) if place == where)
    assert old in query
    found = unknown(where, query.replace(old, new), scraped(exposed, rendered))
    assert [fault for fault in found if fault.startswith(f"{where}: {named}")]


@renders
def test_pods_whose_hash_is_not_copied_have_no_such_label(exposed: Exposed, rendered: list[Rendering]) -> None:
    """The labels that are taken for granted follow from the rendered PodMonitor."""
    changed = []
    for of in rendered:
        text = json.dumps([each.content for each in of.objects]).replace('"rollouts-pod-template-hash"', '"other"')
        pairs = zip(of.objects, json.loads(text), strict=True)
        objects = tuple(dataclasses.replace(each, content=new) for each, new in pairs)
        changed.append(dataclasses.replace(of, objects=objects))
    known = scraped(exposed, changed)
    found = {fault for where, query in queries(rendered) for fault in unknown(where, query, known)}
    assert "canary, specimen-delay-downtime: up has no label rollouts_pod_template_hash" in found
