"""A repository with one toy model, its Bento and its server, made once for all serving tests."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Once
from tests.serving import bentomls, toy
from tests.support import trees


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No BentoML home in anybody's home folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("bentoml")
        patch.setenv("BENTOML_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def plain_repository(once: Once) -> Path:
    """The toy's repository before anything was built. Copy it before you change it."""
    return once("toy", toy.make_repository)


@pytest.fixture
def repository(plain_repository: Path, tmp_path: Path) -> Iterator[Path]:
    """A repository of its own with the toy model, as the current directory and on the import path."""
    with toy.inside(trees.copy(plain_repository, tmp_path / "toy")) as root:
        yield root


@pytest.fixture(scope="session")
def toy_repository(once: Once, plain_repository: Path, home: Path) -> Path:
    """With the toy's Bento, shared: nothing may change it."""

    def make(root: Path) -> None:
        done = toy.verb(trees.copy(plain_repository, root), "build", toy.NAME)
        assert done.code == 0, done.error
        assert list(home.iterdir()) == [], "the build touched a shared store"

    return once("toy-with-bento", make)


@pytest.fixture(scope="session")
def bento(toy_repository: Path) -> Path:
    """The toy's Bento, built by the verb."""
    (found,) = (toy_repository / toy.MODEL / "build" / "bento").iterdir()
    return found


@pytest.fixture(scope="session")
def contract(bento: Path) -> dict[str, Any]:
    """The toy's contract.json."""
    found: dict[str, Any] = json.loads((bento / "src" / "contract.json").read_text())
    assert found["onnx_sha256"] == hashlib.sha256(toy.graph()).hexdigest()
    return found


@pytest.fixture(scope="session")
def server(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running server of the toy's Bento; its tests are of one group, so that one worker starts it."""
    from serving import serve

    with serve.start(bento, serve.free_port(), tmp_path_factory.mktemp("home")) as found:
        found.wait_ready(60)
        yield found


@pytest.fixture(scope="session")
def tasks_repository(once: Once, plain_repository: Path) -> Path:
    """With what a Bento of each task holds, put together by the verb but without BentoML."""

    def make(root: Path) -> None:
        trees.copy(plain_repository, root)
        with pytest.MonkeyPatch.context() as patch:
            bentomls.install(root, patch)
            for name, *_ in toy.TASKS.values():
                done = toy.verb(root, "build", name)
                assert done.code == 0, done.error

    return once("toys-of-every-task", make)


@pytest.fixture(scope="session", params=toy.TASKS)
def served(request: pytest.FixtureRequest, tasks_repository: Path) -> Path:
    """contract.json and model.onnx of a toy; once for each task."""
    (found,) = (tasks_repository / "models" / toy.TASKS[request.param][0] / "build/bento").iterdir()
    return found / "src"


@pytest.fixture
def endpoint(bento: Path, contract: dict[str, Any]) -> Any:
    """The endpoint of the toy in this process, without BentoML behind it."""
    return in_process(bento / "src", contract)


@pytest.fixture
def endpoint_of_task(served: Path) -> Any:
    return in_process(served, json.loads((served / "contract.json").read_text()))


def in_process(folder: Path, contract: dict[str, Any]) -> Any:
    from serving.runtime.endpoint import Endpoint
    from serving.runtime.predictor import Predictor

    async def nobody(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    found = Endpoint(nobody, contract, dict)
    found.predictor = Predictor(folder / "model.onnx", contract)
    return found
