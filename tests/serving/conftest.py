"""A repository with one toy model, its Bento and its server, made once for all serving tests."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import toy


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No BentoML home in anybody's home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(tmp_path_factory.mktemp("bentoml")))
        yield


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own with the toy model, as the current directory and on the import path."""
    toy.make_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("data_schemas.toys")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.fixture(scope="session")
def toy_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `repository`, shared: nothing may change it but builds."""
    folder = tmp_path_factory.mktemp("repository")
    toy.make_repository(folder)
    return folder


@pytest.fixture(scope="session")
def bento(toy_repository: Path) -> Path:
    """The toy's Bento, built by the verb."""
    done = toy.verb(toy_repository, "build", "toy")
    assert done.returncode == 0, done.stderr
    (found,) = (toy_repository / "models" / "toy" / "build" / "bento").iterdir()
    return found


@pytest.fixture(scope="session")
def contract(bento: Path) -> dict[str, Any]:
    """The toy's contract.json."""
    found: dict[str, Any] = json.loads((bento / "src" / "contract.json").read_text())
    assert found["onnx_sha256"] == hashlib.sha256(toy.graph()).hexdigest()
    return found


@pytest.fixture(scope="session")
def server(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running server of the toy's Bento."""
    from serving import serve

    with serve.start(bento, serve.free_port(), tmp_path_factory.mktemp("home")) as found:
        found.wait_ready(60)
        yield found


@pytest.fixture
def endpoint(bento: Path, contract: dict[str, Any]) -> Any:
    """The endpoint of the toy in this process, without BentoML behind it."""
    from serving.endpoint import Endpoint
    from serving.predictor import Predictor

    async def nobody(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    found = Endpoint(nobody, contract, dict)
    found.predictor = Predictor(bento / "src" / "model.onnx", contract)
    return found
