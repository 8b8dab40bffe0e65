"""MLflow by its own client: a run for each verdict, a version for each release, and aliases that follow main."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.__main__ import VERBS
from models.lib import champion
from models.lib.clients import tracking
from repo.lib import command
from serving.serve import free_port
from tests.support import apart, trees
from tests.support.process import signals_kept
from tests.support.repository import ROOT, commit, git
from tests.support.specimens import MODEL, NAME

SERVER = ROOT / "tests/build/mlflow"
READ = """
import json, sys
from mlflow import MlflowClient
client, name = MlflowClient(), sys.argv[1]
if sys.argv[2:]:
    client.set_registered_model_alias(name, sys.argv[2], sys.argv[3])
where = client.get_experiment_by_name(name).experiment_id
runs = client.search_runs([where], order_by=["attributes.start_time"])
models = client.search_registered_models(f"name = '{name}'")
print(json.dumps({
    "runs": [{"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags,
              "files": [file.path for file in client.list_artifacts(run.info.run_id)]} for run in runs],
    "versions": {str(each.version): each.tags["version"] for each in client.search_model_versions(f"name = '{name}'")},
    "aliases": {key: str(value) for key, value in models[0].aliases.items()} if models else {},
    "onnx": client.download_artifacts(runs[0].info.run_id, "model.onnx"),
}))
"""


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/mlflow.db"


def answers(address: str) -> bool:
    try:
        tracking._reach(address)
    except OSError:
        return False
    return True


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """MLflow's own, on a port of this machine."""
    if not SERVER.is_dir():
        pytest.skip("optional: MLflow's server by `make mlflow-server`")
    port = free_port()
    words = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "files")]
    line = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        *words,
    ]
    environment = {**os.environ, "PYTHONPATH": str(SERVER), "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(line, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 240
            while not answers(address):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def release(environment: str, **changes: Any) -> None:
    """As a promotion would, with another passport."""
    path = champion.passport_path(NAME, environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = yaml.safe_load((MODEL / "build/passport.yaml").read_text()) | changes
    path.write_text(yaml.safe_dump(record | {"image": {"name": "x", "digest": "sha256:1", "commit": "1" * 40}}))


def land() -> None:
    commit()
    git("push", "--quiet", "origin", "main")


@pytest.mark.slow
@pytest.mark.parametrize("store", [sqlite, server])
def test_what_is_logged_is_read_back_and_an_alias_that_a_hand_moved_is_set_again(
    store: Any, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    apart.need("mlflow")
    monkeypatch.chdir(trees.copy(workshop, tmp_path / "here"))
    git("clone", "--quiet", "--bare", "--template=", ".", str(tmp_path / "origin"))
    git("remote", "add", "origin", str(tmp_path / "origin"))

    def track() -> str:
        capsys.readouterr()
        assert command.run("deploy", VERBS, ["track"]) == 0
        return capsys.readouterr().out

    def read(*moved: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(apart.ask("mlflow", READ, NAME, *moved))
        return found

    with store(tmp_path) as uri, signals_kept():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        for told in ("logged to MLflow as run ", "MLflow has this verdict as run "):
            tracking.track("run", "run", NAME)
            assert capsys.readouterr().out.startswith(f"run: {told}")
        record, head = yaml.safe_load((MODEL / "build/passport.yaml").read_text()), git("rev-parse", "HEAD")
        release("staging")
        release("production", version="0123456789ab")  # of which no run was logged
        land()
        git("rm", "-r", "--quiet", str(champion.passport_path(NAME, "staging").parent))  # the tree says nothing
        assert f"track: {NAME} in MLflow: candidate is version 1, champion is version 2\n" in track()
        found = read("champion", "1")
        assert found["versions"] == {"1": record["version"], "2": "0123456789ab"}
        assert found["aliases"] == {"candidate": "1", "champion": "1"}
        logged, other = found["runs"]
        assert logged["params"]["training.seed"] == "7"
        assert logged["params"]["windows.test.last"] == "2013-08"
        assert {logged["metrics"][key] for key in ("roc_auc", "roc_auc.low", "roc_auc.high")} == {
            *record["metrics"]["roc_auc"].values()
        }
        expected = {f"content.{part}": value for part, value in record["content"].items()}
        expected |= {"version": record["version"], "mlflow.source.git.commit": head}
        assert expected.items() <= logged["tags"].items()
        assert set(logged["files"]) == {"evaluation.json", "model.onnx", "passport.yaml", "report.html"}
        assert Path(found["onnx"]).read_bytes() == (MODEL / "model.onnx").read_bytes()
        assert set(other["files"]) == {"model.onnx", "passport.yaml"}
        land()
        assert "candidate is none, champion is version 2" in track()
        assert read()["aliases"] == {"champion": "2"}


def test_a_server_that_refuses_is_one_line_within_five_seconds(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workshop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://name:secret@127.0.0.1:{free_port()}")
    start = time.monotonic()
    tracking.track("run x", "run", NAME)
    assert time.monotonic() - start < 5
    line = capsys.readouterr().out
    assert line.startswith("run x: not logged to MLflow: URLError: <urlopen error ")
    assert ("refused" in line, "secret" in line, line.count("\n")) == (True, False, 1)


def test_a_server_that_says_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracking._main("run", NAME)
    assert capsys.readouterr().out == "not logged to MLflow: TimeoutError: timed out.\n"


@pytest.mark.slow
def test_what_goes_wrong_in_the_client_is_one_line(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workshop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "elsewhere://name:secret@host")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    tracking.track("run x", "run", NAME)
    line = (
        "run x: not logged to MLflow: ModuleNotFoundError: No module named 'mlflow'; `make mlflow` installs the client."
    )
    assert capsys.readouterr().out == f"{line}\n"
    monkeypatch.undo()
    apart.need("mlflow")
    monkeypatch.chdir(workshop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "elsewhere://name:secret@host")
    tracking.track("run x", "run", NAME)
    line = capsys.readouterr().out
    assert line.startswith("run x: not logged to MLflow: UnsupportedModelRegistryStoreURIException")
    assert (line.count("\n"), "secret" in line) == (1, False)
