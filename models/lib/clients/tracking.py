"""MLflow, where MLFLOW_TRACKING_URI is set: a run for each verdict, and a version of its registry for each release.

Git stays the truth: what stands there is a copy, and nothing reads it. All of it happens in a process of its own, with
the client that `make mlflow` installed; whatever goes wrong is one line and changes no exit code.
"""

import contextlib
import hashlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from models.lib import champion, config
from repo.lib import process
from repo.lib.change import leaves
from repo.lib.files import read_yaml
from repo.lib.git import git
from repo.lib.refusal import described, without_password

URI = "MLFLOW_TRACKING_URI"
ALIASES = {"staging": "candidate", "production": "champion"}
ANSWER, WORK = 5, 60  # seconds: until a server answers; for each model, or for SQLite to make its tables
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a refused port costs four minutes
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def track(who: str, *words: str) -> None:
    """`run <model>`, or `releases` of the tree that is the current directory; prints what was logged, or why not."""
    if not os.environ.get(URI):
        return
    command, environment = [sys.executable, "-m", __name__, *words], process.apart("mlflow", **SETTINGS)
    done = subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines() or (["not logged to MLflow: it took too long."] if done.returncode else []):
        print(f"{who}: {line}")


def _main(verb: str, *words: str) -> None:
    """In the child, which the alarm ends."""
    released = (path.parent.name for path in Path("deploy/releases").glob("*/*/passport.yaml"))
    names, act = (words, _log_verdict) if verb == "run" else (sorted({*config.names(), *released}), _set_aliases)
    with _told():
        _reach(os.environ[URI])
        from mlflow import MlflowClient  # type: ignore[import-not-found]

        client = MlflowClient()
        for name in names:
            signal.alarm(WORK)
            with _told(f" ({name})"):  # and the others are still looked after
                act(client, name)


@contextlib.contextmanager
def _told(of: str = "") -> Iterator[None]:
    """Whatever error of MLflow, of its store or of the network is one line."""
    try:
        yield
    except Exception as error:
        fix = "; `make mlflow` installs the client" if isinstance(error, ModuleNotFoundError) else ""
        print(f"not logged to MLflow{of}: {described(error)[:200].rstrip('.')}{fix}.")


def _reach(uri: str) -> None:
    """Ask a server for any answer, without the client, whose import alone takes seconds."""
    if uri.startswith("http"):
        with contextlib.suppress(HTTPError):
            urlopen(f"{without_password(uri)}/health", timeout=ANSWER).close()  # noqa: S310 - http or https


def _log_verdict(client: Any, name: str) -> None:
    model = config.load(name, check_columns=False)
    passport = model.build / "passport.yaml"
    files = [passport, model.onnx, *(model.build / file for file in ("report.html", "evaluation.json"))]
    tags = {
        "passport": hashlib.sha256(passport.read_bytes()).hexdigest(),
        "mlflow.source.git.commit": git("rev-parse", "HEAD").decode().strip(),
    }
    shown = {"task", "dataset", "windows", "split", "features", "target", "training"}
    params = dict(leaves(model.model_dump(mode="json", include=shown, exclude_none=True)))
    number, new = _run(client, name, "passport", files, tags, params)
    print(f"logged to MLflow as run {number}" if new else f"MLflow has this verdict as run {number}")


def _run(
    client: Any, name: str, same: str, files: list[Path], tags: dict[str, str], params: dict[str, Any]
) -> tuple[str, bool]:
    """The run of a passport, the first of the files, and whether it is new: none has that value of the tag `same`."""
    from mlflow.entities import Metric, Param, RunTag  # type: ignore[import-not-found]

    record = read_yaml(files[0], "make it again")
    tags = tags | {key: record[key] for key in ("version", "verdict")} | {"data": record["dataset"]["name"]}
    tags |= {f"content.{part}": value for part, value in record["content"].items()}
    experiment, uri = client.get_experiment_by_name(name), os.environ[URI]
    beside = Path(uri.removeprefix("sqlite:///")).absolute().with_name("mlartifacts").as_uri()
    place = beside if uri.startswith("sqlite:///") else None  # a server knows its own
    where = experiment.experiment_id if experiment else client.create_experiment(name, place)
    wanted = f"tags.{same} = '{tags[same]}' and attributes.status = 'FINISHED'"
    if known := client.search_runs([where], wanted, max_results=1):
        return str(known[0].info.run_id), False
    number = str(client.create_run(where, run_name=record["version"]).info.run_id)
    figures = {key.removesuffix(".value"): value for key, value in leaves(record["metrics"]) if value is not None}
    metrics = [Metric(key, value, 0, 0) for key, value in figures.items() if math.isfinite(value)]
    listed = [Param(key, str(value)[:6000]) for key, value in params.items()][:100]  # MLflow takes no more
    client.log_batch(number, metrics, listed, [RunTag(key, str(value)) for key, value in tags.items()])
    for file in files:
        client.log_artifact(number, str(file))
    client.set_terminated(number)
    return number, True


def _set_aliases(client: Any, name: str) -> None:
    """As the releases of this tree say, whatever somebody set by hand."""
    (registered,) = client.search_registered_models(f"name = '{name}'") or [None]
    said = []
    for environment, alias in ALIASES.items():
        if passport := champion.standing(name, environment):
            registered = registered or client.create_registered_model(name)
            number = _version(client, name, passport)
            client.set_registered_model_alias(name, alias, number)
            said.append(f"{alias} is version {number}")
        elif registered and alias in registered.aliases:
            client.delete_registered_model_alias(name, alias)
            said.append(f"{alias} is none")
    if said:
        print(f"{name} in MLflow: {', '.join(said)}")


def _version(client: Any, name: str, passport: Path) -> str:
    """The registry's number of what a passport is about; it is registered where it was not."""
    record = read_yaml(passport, "restore it from Git")
    for known in client.search_model_versions(f"name = '{name}'"):
        if known.tags.get("version") == record["version"]:
            return str(known.version)
    image, onnx = record.get("image") or {}, record["content"]["onnx"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        file.write_bytes(champion.blob(config.load(name, check_columns=False), onnx)[0])
        tags = {"mlflow.source.git.commit": str(image.get("commit"))}
        number, _ = _run(client, name, "version", [passport, file], tags, {})
    tags = {"version": record["version"], "onnx": onnx, "image": str(image.get("digest"))}
    return str(client.create_model_version(name, client.get_run(number).info.artifact_uri, number, tags).version)


if __name__ == "__main__":
    _main(*sys.argv[1:])
