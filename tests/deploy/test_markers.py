"""Values of personal columns and secrets are planted wherever they can come in, and looked for in all that verbs write.

The data itself is left out: the pinned table, where it comes from, and the tables that were handed to a verb.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import datetime
import gzip
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from data_schemas import ingest
from data_schemas.__main__ import VERBS as DATA
from data_schemas.lib import datasets
from models import evaluate, export, gates, measure, profile, report, train
from models.__main__ import VERBS as MODELS
from models.lib import plugin
from models.lib.report import charts
from models.lib.tasks.task import settings
from repo.lib import command
from repo.lib.refusal import Refusal
from serving.__main__ import VERBS as SERVING
from serving.runtime import errors, log
from serving.runtime.endpoint import Endpoint
from serving.runtime.feedback import Feedback, FeedbackError
from serving.runtime.request import models
from tests.serving import bentomls, toy
from tests.serving.conftest import in_process
from tests.support import passports, specimens
from tests.support.process import signals_kept

DATASET, NAME = "specimen_people", "specimen_visits"
AT, MODEL = Path("data_schemas", DATASET), Path("models", NAME)
SCHEMA = """
import pandera.polars as pa
import polars as pl

QUARANTINE = 0.02

class People(pa.DataFrameModel):
    day: pl.Date
    person: str = pa.Field(str_matches="^person-", description="Name", metadata={"personal": True, "key": True})
    born: pl.Date = pa.Field(ge=pl.date(1900, 1, 1), metadata={"personal": True})
    account: int = pa.Field(in_range=(1, 999_999_999), description="Account", metadata={"personal": True})
    income: float = pa.Field(in_range=(0, 1_000_000), nullable=True, metadata={"personal": True})
    region: str = pa.Field(isin=["north", "south"])
    visits: int = pa.Field(in_range=(0, 50))
    late: int = pa.Field(in_range=(0, 1))

    class Config:
        strict = True
        ordered = True

    @pa.dataframe_check(title="person, account", description="a person has one row")
    @classmethod
    def one_row(cls, data):
        return data.lazyframe.select(pl.struct(["person", "account"]).is_unique())
"""
SOURCE = """
from pathlib import Path
import polars as pl

def table():
    return pl.read_parquet(Path("data_schemas/specimen_people/rows.parquet"))
"""
# What is planted, by the column and where it comes in.
ROWS = {"person": "person-0000-rows", "born": "1931-07-23", "account": "918273645", "income": "73519.25"}
BROKEN = {"person": "0001-no-person", "born": "1815-12-10", "account": "5918273647", "income": "8846372.5"}
ASKED = {"account": "827364519", "income": "64738.5", "broken": "7364518291", "text": "person-asked", "outcome": "4471093827"}
ERRORS = {"source": "person-of-the-source", "network": "person-of-the-network", "model": "person-of-the-model"}
PERSONAL = [value for each in (ROWS, BROKEN, ASKED, ERRORS) for value in each.values()]
VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "GH_TOKEN", "GITHUB_TOKEN", "ATTESTATION_TOKEN",
             "PROMETHEUS_TOKEN", "PROMETHEUS_TENANT", "REGISTRY_PASSWORD", "AWS_SECRET_ACCESS_KEY", "KF_PIPELINES_TOKEN",
             "COSIGN_PASSWORD", "UV_INDEX_PASSWORD")  # fmt: skip
SECRETS = {name: f"secret-of-{name.lower()}" for name in VARIABLES}
KEY, PASSWORD = "key-of-the-feedback-0123456789abcdef", "pass-of-an-address"
HANDED = ("rows.parquet", "rows.csv", "headless.csv", "outcomes.csv", "table.csv")  # and what `new` copies of one


def rows() -> pl.DataFrame:
    """600 persons; values of the planted ones are frequent, so that whoever lists frequent ones lists them."""
    number = pl.int_range(600, eager=True)
    return pl.DataFrame(
        {
            "day": [datetime.date(2024, 1 + each % 12, 1 + each % 28) for each in number],
            "person": [ROWS["person"], *(f"person-{each:04}" for each in number[1:])],
            "born": [datetime.date.fromisoformat(ROWS["born"])] * 600,
            "account": [int(ROWS["account"]) if each % 7 == 0 else 990_000_000 + each % 7 for each in number],
            "income": [float(ROWS["income"]) if each % 5 == 0 else 100_000.0 * (1 + each % 5) for each in number],
            "region": [["north", "south"][each % 2] for each in number],
            "visits": number % 40,
            "late": (number % 40 + number * 7 % 31 > 35).cast(pl.Int64),
        }
    )


def broken(table: pl.DataFrame, many: int) -> pl.DataFrame:
    """Rows of which the last ones break every rule of a personal column."""
    ill = pl.int_range(pl.len()) >= pl.len() - many
    given = {"person": BROKEN["person"], "born": datetime.date.fromisoformat(BROKEN["born"])}
    given |= {"account": int(BROKEN["account"]), "income": float(BROKEN["income"])}
    return table.with_columns(pl.when(ill).then(pl.lit(value)).otherwise(name).alias(name) for name, value in given.items())


def make(root: Path, features: list[str], slices: dict[str, str]) -> None:
    """A tree of the engine with the dataset and an untrained model of it, as current directory."""
    specimens.lay_out(root)
    (root / AT).mkdir()
    (root / AT / "schema.py").write_text(SCHEMA)
    (root / AT / "source.py").write_text(SOURCE)
    (root / MODEL).mkdir()
    for name in ("network.py", "resources.yaml", "model.yaml"):
        (root / MODEL / name).write_bytes((specimens.SPECIMENS / specimens.MODEL / name).read_bytes())
    content = yaml.safe_load((root / MODEL / "model.yaml").read_text())
    wanted = [name for name, field in settings("binary").model_fields["gates"].annotation.model_fields.items()  # type: ignore[union-attr]
              if field.is_required()]  # fmt: skip
    content |= {
        "dataset": DATASET, "target": {"column": "late", "above": 0}, "features": features, "slices": slices,
        "split": {"by": "hash", "key": ["person"], "shares": {"train": 0.6, "valid": 0.2, "test": 0.2}},
        "gates": {name: {"off": "a specimen has no gates"} for name in (*wanted, "plausible")},
    }  # fmt: skip
    content["serving"]["log"] = {"share": 1.0}
    (root / MODEL / "model.yaml").write_text(yaml.safe_dump({key: content[key] for key in content if key != "windows"}))


class Found:
    """What was printed or answered, by the name of a channel; files of the current directory are looked into at the end."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd, self._said = capfd, dict[str, str]()

    def say(self, channel: str, text: Any) -> None:
        self._said[channel] = self._said.get(channel, "") + str(text)

    def verb(self, stage: str, table: Any, *words: str, code: int = 0) -> None:
        self._capfd.readouterr()
        assert command.run(stage, table, words) == code, self._capfd.readouterr()
        self.say(f"printed by {stage} {words[0]}", "".join(self._capfd.readouterr()))

    @contextlib.contextmanager
    def printed(self, channel: str) -> Any:
        self._capfd.readouterr()
        try:
            yield
        except Refusal as refusal:
            self.say(channel, refusal)
        self.say(channel, "".join(self._capfd.readouterr()))

    def leaks(self, markers: list[str]) -> dict[str, set[str]]:
        """Channel or path -> the markers that are in it."""
        contents = {channel: [text.encode()] for channel, text in self._said.items()}
        contents |= {path.as_posix(): unpacked(path) for path in Path().rglob("*") if path.is_file() and not data(path)}
        found = {name: {each for each in markers if any(form in part for part in parts for form in forms(each))}
                 for name, parts in contents.items()}  # fmt: skip
        return {name: each for name, each in found.items() if each}


def forms(marker: str) -> list[bytes]:
    return [marker.encode(), base64.b64encode(marker.encode())[:-4]]


def data(path: Path) -> bool:
    return path.name in HANDED or (path.parts[0] == "data_schemas" and path.parts[2:3] == ("data",))


def unpacked(path: Path) -> list[bytes]:
    """The bytes of a file and, of one that is packed, what is in it."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        with contextlib.suppress(EOFError):
            return [b"".join(iter(lambda file=gzip.open(path): file.read1(), b""))]
    if path.suffix == ".parquet":
        return [pl.read_parquet(path).write_json().encode()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [archive.read(name) for name in archive.namelist()]
    return [content]


def everything(found: Found, monkeypatch: pytest.MonkeyPatch, marked: str = "person,born,account,income") -> None:
    """Every verb that reads rows, and the service under good and bad requests."""
    ready, data_verb = rows(), lambda *words, code=0: found.verb("data_schemas", DATA, *words, code=code)
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
    service(found, next((MODEL / "build/bento").iterdir()) / "src", monkeypatch)


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
    for name in ("keys", "log"):
        Path(name).mkdir()
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
    bad = [{"account": int(ASKED["broken"])}, {"account": ASKED["text"]}, {"income": ASKED["text"]}, {"region": "x"}]

    def ask(body: Any, path: str = "/predict", query: str = "") -> Any:
        status, content = asyncio.run(toy.ask(endpoint, json.dumps(body).encode(), path=path, query=query))
        found.say("answers", (status, content))
        return content

    with found.printed("the log of the service"):
        ids = ask({"rows": [good]}, query="prediction_ids=true")["prediction_ids"]
        for each in bad:
            ask({"rows": [good | each]})
        ask({"rows": [good | bad[0]]}, query=f"prediction_ids={ASKED['text']}")
        ask([ASKED["text"]])
        for outcome in (int(ASKED["outcome"]), ASKED["text"], 1):
            ask({"feedback": [{"prediction_id": ids[0], "outcome": outcome}]}, "/feedback")
        ask({"feedback": [{"prediction_id": ASKED["text"], "outcome": 1}]}, "/feedback")
        until = time.monotonic() + 20
        while b"ml_log_written_total{" not in (counted := endpoint.telemetry.exposition()) or not any(Path("log").iterdir()):
            assert time.monotonic() < until
            time.sleep(0.01)
        endpoint.predictor.values = crash
        ask({"rows": [good]})
    found.say("/metrics", counted + endpoint.telemetry.exposition())


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
    import pprint
    pprint.pprint(leaks)
    assert set().union(*leaks.values()) == set(PERSONAL)
