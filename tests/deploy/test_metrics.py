"""What the checks of queries take for served is on /metrics of a real, running service.

That every query names nothing else: the rules of deploy/checks/rules/evidence.py, which faults/evidence.yaml proves.
"""

import subprocess
import sys
import urllib.request
from contextlib import chdir
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.checks.rules import evidence
from deploy.lib import kustomization
from deploy.lib.passport import Served
from models.lib import config, passport
from serving import build, serve
from tests.conftest import Once
from tests.support.specimens import NAME

pytestmark = pytest.mark.xdist_group("metrics")  # one server answers them all
Exposed = dict[str, dict[str, set[str]]]  # metric -> label -> its values


@pytest.fixture(scope="session")
def exposed(once: Once, rehearsed: Path) -> Exposed:
    """/metrics after fifty requests to the service of a real model."""

    def ask(folder: Path) -> None:
        with chdir(rehearsed):
            bento = rehearsed / build.build(NAME)
        with serve.start(bento, serve.free_port(), folder) as server:
            server.wait_ready(60)
            smoke = [sys.executable, str(bento / "src/serving/runtime/smoke.py"), "--url", server.address]
            subprocess.run([*smoke, "--requests", "50"], check=True, capture_output=True)
            with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:  # noqa: S310 - our own
                (folder / "metrics").write_bytes(answer.read())

    found: Exposed = {}
    for family in text_string_to_metric_families((once("exposed", ask) / "metrics").read_text()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault(sample.name, {}).setdefault(label, set()).add(value)
    return found


def test_every_metric_and_label_that_a_query_may_name_is_there(exposed: Exposed) -> None:
    known = {name: labels for name, labels in evidence.exported().items() if name != "up"}  # which Prometheus makes
    # A task has outcomes of its own, and a log is off.
    own = {
        name: labels
        for name, labels in known.items()
        if name in exposed or not name.startswith(("ml_outcome_", "ml_log_"))
    }
    assert {name: set(exposed.get(name, {})) for name in own} == own
    assert "ml_outcome_bin_total" in own


def test_the_values_that_a_release_writes_into_its_queries_are_there(exposed: Exposed, rehearsed: Path) -> None:
    with chdir(rehearsed):
        model = config.load(NAME, check_columns=False)
        slow_ms, version = passport.slow_ms(model), passport.version(passport.content(model))
    served = Served(strategy="canary", slow_ms=slow_ms, latency_budget_ms=model.serving.latency_budget_ms)
    assert set(kustomization.bounds(served, None).values()) <= exposed["ml_request_duration_seconds_bucket"]["le"]
    assert exposed["ml_requests_total"]["version"] == {version}
