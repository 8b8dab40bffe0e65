"""A dataset with personal columns and a model of it, the values that are planted there, and the search for them."""

from __future__ import annotations

import base64
import contextlib
import datetime
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from models.lib.tasks.task import settings
from repo.lib import command
from repo.lib.refusal import Refusal
from tests.support import specimens

DATASET, NAME = "specimen_people", "specimen_visits"
AT, MODEL = Path("data_schemas", DATASET), Path("models", NAME)
SCHEMA = """
import pandera.polars as pa
import polars as pl

QUARANTINE = 0.02

class People(pa.DataFrameModel):
    born: pl.Date = pa.Field(ge=pl.date(1900, 1, 1), metadata={"personal": True})
    day: pl.Date
    person: str = pa.Field(str_matches="^person-", description="Name", metadata={"personal": True, "key": True})
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
ASKED = {
    "account": "827364519",
    "income": "64738.5",
    "broken": "7364518291",
    "text": "person-asked",
    "outcome": "4471093827",
}
ERRORS = {"source": "person-of-the-source", "network": "person-of-the-network", "model": "person-of-the-model"}
PERSONAL = [value for each in (ROWS, BROKEN, ASKED, ERRORS) for value in each.values()]
VARIABLES = [f"{who}_TOKEN" for who in ("MLFLOW_TRACKING", "GH", "GITHUB", "ATTESTATION", "PROMETHEUS", "KF_PIPELINES")]
VARIABLES += ["PROMETHEUS_TENANT", "AWS_SECRET_ACCESS_KEY"]
VARIABLES += [f"{who}_PASSWORD" for who in ("MLFLOW_TRACKING", "REGISTRY", "COSIGN", "UV_INDEX")]
SECRETS = {name: f"secret-of-{name.lower()}" for name in VARIABLES}
KEY, PASSWORD = "key-of-the-feedback-0123456789abcdef", "pass-of-an-address"
ADDRESS = f"https://somebody:{PASSWORD}@127.0.0.1:1/x"  # nobody answers there
HANDED = ("rows.parquet", "rows.csv", "headless.csv", "outcomes.csv", "table.csv")  # and what `new` copies of one


BUILD = f"{MODEL}/build"
CHANNELS = {  # in which a marker is once nothing is personal
    *("a network that fails", "a source that fails", "answers", "the OpenAPI page", "log/*"),
    *(f"printed by data_schemas {verb}" for verb in ("ingest", "validate")),
    f"{AT}/build/quarantine.parquet",
    *(f"{AT}/build/validation-{name}.json" for name in ("headless", "rows")),
    *(f"{AT}/schema.py", f"{AT}_drafted/schema.py", f"{MODEL}/model.onnx", f"{MODEL}/weights/model.json"),
    *(f"{BUILD}/{name}" for name in ("profile.json", "contract.json", "evaluation.json", "report.html", "report.md")),
    *(f"{BUILD}/drift/{name}" for name in ("drift.json", "report.html")),
    *(f"released/{name}" for name in ("MODEL_CARD.md", "contract.json", "evaluation.json", "model.onnx")),
    f"deploy/releases/staging/{NAME}/MODEL_CARD.md",
    *(f"{BUILD}/*/src/{name}" for name in ("contract.json", "model.onnx")),
}


def rows() -> pl.DataFrame:
    """600 persons; values of the planted ones are frequent, so that whoever lists frequent ones lists them."""
    number = pl.int_range(600, eager=True)
    return pl.DataFrame(
        {
            "born": [datetime.date.fromisoformat(ROWS["born"])] * 600,
            "day": [datetime.date(2024, 1 + each % 12, 1 + each % 28) for each in number],
            "person": [ROWS["person"], *(f"person-{each:04}" for each in number[1:])],
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
    return table.with_columns(
        pl.when(ill).then(pl.lit(value)).otherwise(name).alias(name) for name, value in given.items()
    )


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
    """What was printed or answered, by the name of a channel; files of the current directory are read at the end."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd, self._said = capfd, dict[str, str]()

    def __str__(self) -> str:
        return "\n".join(self._said.values())

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
    """What a person gave, and bytecode of it."""
    given = path.name in HANDED or path.parts[:1] + path.parts[2:3] == ("data_schemas", "data")
    return given or path.suffix == ".pyc"


def unpacked(path: Path) -> list[bytes]:
    """The bytes of a file and, of one that is packed, what is in it."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        return [zlib.decompressobj(31).decompress(content)]  # also of one that has no end yet
    if path.suffix == ".parquet":
        return [pl.read_parquet(path).write_json().encode()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [archive.read(name) for name in archive.namelist()]
    return [content]
