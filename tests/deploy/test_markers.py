"""Values of personal columns and secrets are planted wherever they can come in, and looked for in all that verbs write.

The data itself is left out: the pinned table, where it comes from, and the tables that were handed to a verb.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import io
import json
import logging
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests

from data_schemas import ingest
from data_schemas.__main__ import VERBS as DATA
from data_schemas.lib import datasets
from deploy.__main__ import VERBS as DEPLOY
from deploy.lib import prometheus
from models import evaluate, export, gates, measure, profile, report, train
from models.__main__ import VERBS as MODELS
from models.lib import config, draft, drafted_split, drift, plugin
from models.lib.clients import kubeflow
from models.lib.report import charts
from repo.lib import origin, pull_request
from repo.lib.git import git as git_of
from repo.lib.refusal import Refusal
from serving import serve
from serving.__main__ import VERBS as SERVING
from serving.runtime import errors, log
from serving.runtime.endpoint import Endpoint
from serving.runtime.feedback import Feedback, FeedbackError
from serving.runtime.inference import TAKEN
from serving.runtime.request import models
from tests.deploy.markers import (
    ADDRESS,
    ASKED,
    AT,
    BROKEN,
    CHANNELS,
    DATASET,
    ERRORS,
    KEY,
    MODEL,
    NAME,
    PASSWORD,
    PERSONAL,
    ROWS,
    SCHEMA,
    SECRETS,
    Found,
    broken,
    make,
    rows,
)
from tests.serving import bentomls, toy
from tests.serving.conftest import in_process
from tests.support import passports, specimens, trees
from tests.support.process import signals_kept
from tests.support.repository import commit, git


def everything(found: Found, monkeypatch: pytest.MonkeyPatch, marked: str = "person,born,account,income") -> None:
    """Every verb that reads rows, and the service under good and bad requests."""
    ready, data_verb = rows(), partial(found.verb, "data_schemas", DATA)
    monkeypatch.setattr(ingest, "record", lambda _: None)  # DVC's cache is the data
    broken(ready, 300).write_parquet(AT / "rows.parquet")
    data_verb("ingest", DATASET, code=1)
    with found.printed("a source that fails"), monkeypatch.context() as patch:
        patch.setattr(datasets.module(DATASET, "source"), "table", lambda: pl.Series([ERRORS["source"]]).cast(pl.Int64))
        ingest.main(argparse.Namespace(dataset=DATASET, pinned=False, accept=False))
    broken(ready, 3).write_parquet(AT / "rows.parquet")
    data_verb("ingest", DATASET)
    data_verb("validate", DATASET)
    handed = broken(ready.head(20), 3).with_columns(born=pl.lit(BROKEN["born"]), account=pl.lit(BROKEN["person"]))
    handed.write_csv("rows.csv")
    broken(ready.head(20), 3).write_csv("headless.csv", include_header=False)
    for name in ("rows.csv", "headless.csv"):
        data_verb("validate", DATASET, "--table", name, code=1)
    data_verb("new", f"{DATASET}_drafted", "--from", "rows.csv", "--personal", marked)
    every_stage_of_a_model(found, monkeypatch)
    with pytest.MonkeyPatch.context() as patch:
        bentomls.install(Path.cwd().parent, patch)
        found.verb("serving", SERVING, "build", NAME)
    release(found)
    service(found, next((MODEL / "build/bento").iterdir()) / "src", monkeypatch)


def release(found: Found) -> None:
    """Everything that is signed and released of the built model, and the page of what runs where."""
    (MODEL / "build/image").write_text(image := f"{specimens.REGISTRY}/{NAME.replace('_', '-')}@sha256:{64 * 'a'}")
    git("init", "--quiet", "--initial-branch=main")
    commit()
    found.verb("deploy", DEPLOY, "card", NAME, "--write", "released")
    found.verb("deploy", DEPLOY, "promote", NAME, "--to", "staging", "--image", image)
    found.verb("deploy", DEPLOY, "status", "--html", "page/index.html")


def every_stage_of_a_model(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    options = argparse.Namespace(model=NAME)
    monkeypatch.setattr(measure, "BATCHES", {"one_row": (1, 3), "hundred_rows": (100, 2)})
    monkeypatch.setattr(measure, "ROUNDS", 1)
    monkeypatch.setattr(charts, "draw", lambda *_: {})

    class Failing:
        @staticmethod
        def fit(*_: Any) -> None:
            raise KeyError(ERRORS["network"])

    for stage in (profile, train, export, evaluate, measure, gates, report):
        if stage is measure:
            (MODEL / "dvc.lock").write_text(passports.lock(NAME))
        with found.printed(f"printed by {stage.__name__}"):
            assert stage.main(options) == 0
    with found.printed("a network that fails"), monkeypatch.context() as patch:
        patch.setattr(plugin, "network", lambda _: Failing)
        train.main(options)
    found.verb("models", MODELS, "drift", NAME, "--current", str(AT / "rows.parquet"), "--window", "7d")
    Path("outcomes.csv").write_text(f"prediction_id,outcome\na,{ASKED['text']}\n")
    found.verb("models", MODELS, "review", NAME, "--labels", "outcomes.csv", "--log", ".", code=2)


def service(found: Found, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers and what they leave behind: good ones, every way to be refused, outcomes, a model that crashes."""
    Path("log").mkdir()
    (Path.cwd().parent / "keys").mkdir()
    (Path.cwd().parent / "keys/current").write_text(KEY)
    monkeypatch.setenv("FEEDBACK_KEYS", str(Path.cwd().parent / "keys"))
    monkeypatch.setenv("REQUEST_LOG", "log")
    monkeypatch.setattr(log, "SECONDS", 0.0)
    contract = json.loads((folder / "contract.json").read_text())
    found.say("the OpenAPI page", json.dumps([each.model_json_schema() for each in models(contract)]))
    endpoint = in_process(folder, contract)
    row = {each["name"]: each["example"] for each in contract["features"]}
    good = row | {"account": int(ASKED["account"]), "income": float(ASKED["income"])}
    bad: list[dict[str, Any]] = [
        {"account": int(ASKED["broken"])},
        {"account": ASKED["text"]},
        {"income": ASKED["text"]},
        {"region": "x"},
    ]

    def ask(body: Any, path: str = "/predict", query: str = "") -> Any:
        status, content = asyncio.run(toy.ask(endpoint, json.dumps(body).encode(), path=path, query=query))
        found.say("answers", (status, content))
        return content

    logger = logging.StreamHandler(logged := io.StringIO())
    logging.getLogger("bentoml.serving").addHandler(logger)
    with found.printed("the log of the service"):
        ids = ask({"rows": [good]}, query="prediction_ids=true")["prediction_ids"]
        assert "outputs" in ask({"inputs": tensors(contract, good)}, f"/v2/models/{NAME}/infer")
        ask({"inputs": tensors(contract, good), "id": [ASKED["text"]]}, f"/v2/models/{NAME}/infer")
        for each in bad:
            ask({"rows": [good | each]})
            ask({"inputs": tensors(contract, good | each)}, f"/v2/models/{NAME}/infer")
        ask({"rows": [good | bad[0]]}, query=f"prediction_ids={ASKED['text']}")
        ask([ASKED["text"]])
        for outcome in (int(ASKED["outcome"]), ASKED["text"], 1):
            ask({"feedback": [{"prediction_id": ids[0], "outcome": outcome}]}, "/feedback")
        ask({"feedback": [{"prediction_id": ASKED["text"], "outcome": 1}]}, "/feedback")
        until = time.monotonic() + 20
        while re.search(rb"ml_log_written_total\{.*\} 0", endpoint.telemetry.exposition()):
            assert time.monotonic() < until
            time.sleep(0.01)
        endpoint.predictor.values = crash
        ask({"rows": [good]})
    logging.getLogger("bentoml.serving").removeHandler(logger)
    found.say("the log of the service", logged.getvalue())
    assert "inference failed with ValueError" in logged.getvalue() or endpoint._values.__name__ == "told"
    found.say("/metrics", endpoint.telemetry.exposition())


def tensors(contract: dict[str, Any], row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row in the words of the Open Inference Protocol."""
    kinds = {each["name"]: TAKEN[each["type"]][0] for each in contract["features"]}
    return [{"name": name, "datatype": kinds[name], "shape": [1], "data": [value]} for name, value in row.items()]


def crash(*_: Any) -> None:
    raise ValueError(ERRORS["model"])


@pytest.fixture
def found(capfd: pytest.CaptureFixture[str]) -> Found:
    return Found(capfd)


Start = Callable[..., None]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Make the tree the current directory, with secrets in the environment."""

    def start(features: list[str], slices: dict[str, str]) -> None:
        make(tmp_path / "tree", features, slices)
        monkeypatch.chdir(tmp_path / "tree")
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(str(tmp_path / "tree"))
        for name in [name for name in sys.modules if name.startswith(f"data_schemas.{DATASET}")]:
            monkeypatch.delitem(sys.modules, name)

    return start


READ = ["region", "visits", "account", "income"]


def test_no_verb_writes_what_is_personal_or_secret(start: Start, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    start(READ, {"region": "categories"})
    with signals_kept():
        everything(found, monkeypatch)
    assert found.leaks([*PERSONAL, *SECRETS.values(), KEY]) == {}
    assert Path(f"{AT}_drafted/.gitignore").read_text() == "/table.csv\n"


@pytest.mark.slow
def test_no_real_bento_server_or_page_holds_them_either(
    start: Start, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(READ, {"region": "categories"})
    with signals_kept():
        everything(found, monkeypatch)
        shutil.rmtree(MODEL / "build/bento")
        found.verb("serving", SERVING, "build", NAME)
    (bento,) = (MODEL / "build/bento").iterdir()
    row: dict[str, Any] = {
        "region": "north",
        "visits": 1,
        "account": int(ASKED["account"]),
        "income": float(ASKED["income"]),
    }
    with serve.start(bento, serve.free_port(), Path("home").absolute()) as server:
        server.wait_ready()
        for change in ({}, {"account": int(ASKED["broken"])}, {"income": ASKED["text"]}):
            answer = requests.post(f"{server.address}/predict", json={"rows": [row | change]}, timeout=10)
            found.say("answers", (answer.status_code, answer.text))
        for path in ("docs.json", "metrics", "schema.json", "v2"):
            found.say(path, requests.get(f"{server.address}/{path}", timeout=10).text)
    assert "(200, " in str(found)
    assert found.leaks([*PERSONAL, *SECRETS.values(), KEY]) == {}


def test_without_the_protection_every_marker_is_found(
    start: Start, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the search sees each place that could leak: nothing is personal here, and errors of the service tell all."""

    async def told(endpoint: Any, rows: Any) -> Any:
        try:
            return await endpoint._turns.values(rows)
        except ValueError as error:
            raise errors.RefusedError("inference", "", str(error)) from None

    def refused(_: Any, body: bytes) -> Any:
        raise FeedbackError(400, "", body.decode())

    monkeypatch.setattr(datasets, "personal", lambda _: set())
    monkeypatch.setattr(datasets, "_refuse_values", lambda *_: None)
    monkeypatch.setattr(Endpoint, "_values", told)
    monkeypatch.setattr(Endpoint, "_explained", lambda _, body: errors.RefusedError("invalid", "", body.decode()))
    monkeypatch.setattr(Feedback, "take", refused)
    start([*READ, "person"], {"account": "categories"})
    (AT / "schema.py").write_text(SCHEMA.replace('"key": True', f'"example": "{ROWS["person"]}"'))
    with signals_kept():
        everything(found, monkeypatch, "")
    leaks = found.leaks(PERSONAL)
    assert {re.sub(r"bento/\w+|requests-.*", "*", name) for name in leaks} == CHANNELS
    assert set().union(*leaks.values()) == set(PERSONAL)


def test_what_is_packed_is_searched(found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in a text, in base64 as a header has it, in gzip, in a zip and in a table."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text(f"user:{KEY}@host")
    Path("b.txt").write_bytes(base64.b64encode(KEY.encode()))
    Path("c.gz").write_bytes(gzip.compress(KEY.encode()))
    with zipfile.ZipFile("d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", KEY)
    pl.DataFrame({"x": [KEY]}).write_parquet("e.parquet")
    found.say("printed", KEY)
    assert {*found.leaks([KEY])} == {"a.txt", "b.txt", "c.gz", "d.zip", "e.parquet", "printed"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"features": [*READ, "person"]}, "features: 'person' is personal"),
        ({"slices": {"account": "categories"}}, "slices: 'account' is personal"),
        ({"target": {"column": "account", "above": 0}, "features": READ[:2]}, "target.column: 'account' is personal"),
        ({"split.by": "column", "split.column": "account", "split.key": None}, "split.column: 'account' is personal"),
    ],
)
def test_a_model_that_would_show_values_is_refused(
    start: Start, found: Found, settings: dict[str, Any], named: str
) -> None:
    start(READ, {})
    trees.configure(Path(), {"split.shares": None, **settings} if "split.by" in settings else settings, MODEL)
    with signals_kept():
        found.verb("models", MODELS, "profile", NAME, code=2)
    assert named in str(found)


def test_a_draft_learns_from_nothing_personal_and_no_birthday_is_the_time_of_a_row(start: Start) -> None:
    start(READ, {})
    (AT / "data").mkdir()
    rows().write_parquet(AT / "data/all.parquet")
    columns = draft.columns(DATASET, rows())
    taken, left = draft.features(columns, "late", [])
    assert taken == ["region", "visits"]
    assert {name for name, why in left.items() if why == "personal"} == {"born", "account", "income"}
    assert drafted_split.choose(DATASET, columns, "late", "day")[0]["split"]["column"] == "day"
    assert drift.time_column(config.load(NAME), rows()) == "day"


@pytest.mark.parametrize(
    ("usual", "shown", "named"),
    [
        ('str_matches="^person-"', 'isin=["a", "b"]', "isin"),
        ('str_matches="^person-"', 'eq="a"', "equal_to"),
        ('"key": True', '"example": "a"', "example"),
    ],
)
def test_a_schema_that_shows_values_of_a_personal_column_is_refused(
    start: Start, usual: str, shown: str, named: str
) -> None:
    start(READ, {})
    (AT / "schema.py").write_text(SCHEMA.replace(usual, shown))
    with pytest.raises(Refusal, match=f"person is personal, and whoever calls a model reads its {named}; delete it"):
        datasets.schema(DATASET)


def fetch() -> None:
    with origin.tree("main"):
        pass


def no_repository() -> None:
    git("remote", "set-url", "origin", ADDRESS.removesuffix(":1/x"))
    pull_request.repository()


def test_no_sentence_and_no_file_holds_the_password_of_an_address(
    start: Start, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(READ, {})
    git("init", "--quiet")
    git("remote", "add", "origin", ADDRESS)
    commit()
    monkeypatch.setenv("PROMETHEUS_URL", ADDRESS)
    kubeflow.write_train_job(config.load(NAME), "image", Path("job.yaml"))
    for act in (fetch, lambda: git_of("ls-remote", ADDRESS), no_repository, lambda: prometheus.query("up")):
        with pytest.raises(Refusal, match=r"127\.0\.0\.1|PROMETHEUS_URL") as refusal:
            act()
        found.say("refused", refusal.value)
    assert "https://127.0.0.1:1/x" in Path("job.yaml").read_text()
    assert set(found.leaks([PASSWORD, *SECRETS.values()])) == {".git/config"}
