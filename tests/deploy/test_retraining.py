"""What asks to be trained again: by a real Prometheus, once per cause, and never by the want of an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from deploy.lib import retraining
from models.lib.settings import Retraining
from tests.deploy.tree import Tree, passed, refused
from tests.github.hub import Hub
from tests.support import gh
from tests.support.prometheus import filled, needs_promtool
from tests.support.repository import ROOT

ASKED = ("due", "--for", "retraining")
WEEK = 'window="7d"'
SERIES: dict[str, dict[str, dict[str, float]]] = {  # of version 1, unless they say another
    "calm": {"ml_requests_total": {"": 1}, "ml:coverage": {WEEK: 0.5}},
    "unruled": {"ml_requests_total": {"": 1}},
    "drifting": {
        "ml_requests_total": {"": 1},
        "ml:coverage": {WEEK: 1},
        "ml:retrain": {'cause="drift",feature="dest"': 1.32, 'cause="prediction",feature="(answer)"': 2},
        "ml:excess": {f'{WEEK},feature="dest"': 0.41, 'window="1d",feature="dest"': 9, f'{WEEK},feature="(answer)"': 1},
    },
    "gone": {"ml:retrain": {'cause="drift",feature="dest"': 1.5}},  # nobody scrapes it any more
    "replaced": {
        "ml_requests_total": {"": 1},
        "ml:coverage": {WEEK: 1},
        "ml:retrain": {'version="0",cause="drift",feature="dest"': 3},
    },
    "worse": {
        "ml_requests_total": {"": 1},
        "ml:coverage": {WEEK: 1},
        "ml:retrain": {'cause="quality",feature=""': 1.4},
        "ml:quality": {'metric="roc_auc"': 0.641, 'metric="brier"': 0.2},
        "ml:quality_value": {'metric="roc_auc"': 0.7023, 'metric="brier"': 0.1},
        "ml:quality_main": {'metric="roc_auc"': 1},
        "ml:quality_labels": {"": 1234},
    },
}
DRIFT = "7-day drift of (answer) 1 above 0.5; 7-day drift of dest 0.41 above 0.311"
QUALITY = "main metric 0.641 by 1234 labels of 7 days, 0.7023 at its release: 1.4 times as far as it may be"


def samples(now: float) -> str:
    """Five minutes old in production; what the calm model asks in staging, or asked an hour ago, is nobody's matter."""
    lines = []
    for model, metrics in SERIES.items():
        for metric, series in metrics.items():
            for labels, value in series.items():
                version = "" if "version=" in labels else ',version="1"'
                own = f'namespace="models-production",model="{model}"{version}{labels and ","}{labels}'
                lines.append((metric, f"{metric}{{{own}}} {value} {now - 300:.0f}\n"))
    lines.append(
        ("ml:retrain", f'ml:retrain{{namespace="models-staging",model="calm",version="1"}} 9 {now - 300:.0f}\n')
    )
    lines.append(
        ("ml:retrain", f'ml:retrain{{namespace="models-production",model="calm",version="1"}} 9 {now - 4000:.0f}\n')
    )
    for namespace, age in (("staging", 300), ("production", 4000)):
        own = f'namespace="models-{namespace}",model="calm",version="1"'
        lines.append(("ml:retrain", f"ml:retrain{{{own}}} 9 {now - age:.0f}\n"))
    return "".join(line for _, line in sorted(lines))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with filled(samples(time.time()), tmp_path_factory.mktemp("asked") / "prometheus") as address:
        yield address


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    for name in ("URL", "TOKEN", "TENANT"):
        monkeypatch.delenv(f"PROMETHEUS_{name}", raising=False)
    return gh.install(tmp_path, monkeypatch)


@pytest.fixture
def fleet(tree: Tree, hub: Hub) -> Tree:  # noqa: ARG001 - there is a GitHub to ask
    """A model for each of SERIES, all but one in production."""
    write("models/unreleased/model.yaml", {"dataset": "rows"})
    for name in SERIES:
        write(f"models/{name}/model.yaml", {"dataset": "rows"})
        write(f"deploy/releases/production/{name}/passport.yaml", {"version": "1"})
    return tree


@pytest.fixture
def watched(fleet: Tree, address: str, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """By a Prometheus that has SERIES."""
    monkeypatch.setenv("PROMETHEUS_URL", f"{address}/")
    return fleet


def write(path: str, content: Any) -> None:
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text(yaml.safe_dump(content))


def plan(tree: Tree, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(passed(tree.deploy(*ASKED, *words)).out)
    return found


@needs_promtool
def test_a_model_is_due_by_its_numbers_and_the_others_say_why_not(watched: Tree, hub: Hub) -> None:
    found = plan(watched)
    assert found["models"] == ["drifting", "worse"]
    assert found["because"] == {"drifting": DRIFT, "worse": QUALITY}
    for name, why in {
        **{"calm": "nothing asks for it", "replaced": "nothing asks for it", "gone": "no series of it"},
        **{"unruled": "recorded nothing of it"},
        **{"unreleased": "production has no release", "specimen_delay": "production has no release"},
    }.items():
        assert why in found["skipped"].pop(name)
    assert found["skipped"] == {}
    assert "events" not in hub.read(), "nothing is started unless asked for"


@needs_promtool
@pytest.mark.parametrize(
    ("state", "days", "settings", "due"),
    [
        ("open", 0, {}, False),
        ("closed", 6.9, {}, False),
        ("closed", 7.1, {}, True),
        ("merged", 3, {"again_after": 2}, True),
        ("merged", 3, {"again_after": 4}, False),
    ],
)
def test_a_cause_starts_one_retraining(
    watched: Tree, hub: Hub, state: str, days: float, settings: dict[str, int], due: bool
) -> None:
    Path("models/drifting/model.yaml").write_text(yaml.safe_dump({"dataset": "rows", "retraining": settings}))
    closed = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    hub.strangers("retrain/drifting", "retrain/worse")
    hub.propose("retrain/drifting", state="closed", closed="2020-01-01T00:00:00Z")
    hub.propose("retrain/drifting", state=state, closed=closed)
    hub.propose("retrain/worse")
    found = plan(watched, "--dispatch")
    started = [{"event_type": "retrain", "client_payload": {"model": "drifting", "because": DRIFT}}]
    assert (found["models"], hub.read().get("events", [])) == ((["drifting"], started) if due else ([], []))
    assert due or f"pull/6 {'is open' if state == 'open' else 'was closed'}" in found["skipped"]["drifting"]
    assert "pull/7 is open" in found["skipped"]["worse"]
    hub.demand_untouched()


def test_the_days_of_a_model_that_names_none_are_those_of_its_settings() -> None:
    assert Retraining().again_after == retraining.AGAIN_AFTER


@contextmanager
def answering(status: int, body: str, to: str = "") -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers everything so: its address, and the headers of each request."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({key.lower(): value for key, value in self.headers.items()})
            self.send_response(status)
            if to:
                self.send_header("Location", to)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


EMPTY = '{"status": "success", "data": {"resultType": "vector", "result": []}}'


def test_a_token_goes_to_the_prometheus_and_to_no_other_server(fleet: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", "secret")
    monkeypatch.setenv("PROMETHEUS_TENANT", "team")
    with answering(200, EMPTY) as (other, asked), answering(302, "", other) as (address, first):
        monkeypatch.setenv("PROMETHEUS_URL", address)
        assert plan(fleet)["models"] == []
    assert {(each["authorization"], each["x-scope-orgid"]) for each in first} == {("Bearer secret", "team")}
    assert asked
    assert not any({"authorization", "x-scope-orgid"} & each.keys() for each in asked)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, "secret", "status 401"),
        (200, "<html>secret", "not as a Prometheus does"),
        (200, "{}", "not as a Prometheus"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    fleet: Tree, monkeypatch: pytest.MonkeyPatch, status: int, body: str, told: str
) -> None:
    with answering(status, body) as (address, _):
        monkeypatch.setenv("PROMETHEUS_URL", address)
        answer = fleet.deploy(*ASKED)
    refused(answer, told, "127.0.0.1")
    assert (answer.out, "secret" in answer.error) == ("", False)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "PROMETHEUS_URL is not set"),
        ("file:///etc/passwd", "PROMETHEUS_URL is no address"),
        ("http://user:secret@host", "PROMETHEUS_URL is no address"),
        ("http://host:secret@", "PROMETHEUS_URL is no address"),
        ("http://127.0.0.1:1", "127.0.0.1 does not answer"),
    ],
)
def test_an_address_without_a_prometheus_is_refused(
    fleet: Tree, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", address)
    answer = fleet.deploy(*ASKED)
    refused(answer, told)
    assert "secret@" not in answer.error


def test_it_needs_nothing_but_yaml(tmp_path: Path) -> None:
    """A job that plans has installed no more: it gets as far as the question."""
    (tmp_path / "yaml").symlink_to(Path(yaml.__file__).parent)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    environment["PYTHONPATH"] = str(tmp_path)
    words = [sys.executable, "-S", "-m", "deploy", *ASKED]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "PROMETHEUS_URL is not set" in done.stderr, done.stderr
