"""MLflow, where MLFLOW_TRACKING_URI is set: a run for each verdict, and a version of its registry for each release.

Git stays the truth: what stands there is a copy, and nothing reads it. All of it happens in a process of its own, with
the client that `make mlflow` installed; whatever goes wrong is one line and changes no exit code.
"""

import contextlib
import hashlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from models.lib import apart, champion, config
from repo.lib.files import read_yaml
from repo.lib.git import git
from repo.lib.refusal import described

URI = "MLFLOW_TRACKING_URI"
ALIASES = {"staging": "candidate", "production": "champion"}
ANSWER, WORK = 5, 60  # seconds: until a server answers; for each model, or for SQLite to make its tables
PASSWORD = re.compile(r"//[^/\s]*@")  # and name, in an address
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a refused port costs four minutes
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def track(who: str, *words: str) -> None:
    """`run <model>`, or `releases` of the tree that is the current directory; prints what was logged, or why not."""
    if not (uri := os.environ.get(URI)):
        return
    if why := _unreachable(uri):
        print(f"{who}: not logged to MLflow: {why}.")
        return
    command = [sys.executable, "-m", "models.lib.tracking", *words]
    environment = apart.environment("mlflow", **SETTINGS)
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        late = f"it took longer than {WORK} seconds" if done.returncode == -signal.SIGALRM else "it ended early"
        lines = [f"not logged to MLflow: {(lines or [late])[-1]}."]
    for line in lines:
        print(f"{who}: {line}")


def _unreachable(uri: str) -> str | None:
    """Why a server gives no answer, of whatever kind; asked without the client, whose import alone takes seconds."""
    address = PASSWORD.sub("//", uri)
    if not uri.startswith("http"):
        return None
    try:
        urlopen(f"{address}/health", timeout=ANSWER).close()  # noqa: S310 - http or https
    except HTTPError:
        return None
    except (OSError, HTTPException, ValueError) as error:
        return f"{address} does not answer ({error})"
    return None


def _main(verb: str, *words: str) -> int:
    """In the child, which the alarm ends."""
    try:
        from mlflow import MlflowClient  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        print(f"the package {error.name} is missing; `make mlflow`")
        return 1
    try:
        signal.alarm(WORK)
        client = MlflowClient()
        if verb == "run":
            _log_verdict(client, *words)
            return 0
        released = (path.parent.name for path in Path("deploy/releases").glob("*/*/passport.yaml"))
        for name in sorted({*config.names(), *released}):
            signal.alarm(WORK)
            _set_aliases(client, name)
    except Exception as error:  # of MLflow, of whatever store or network it uses
        print(PASSWORD.sub("//", described(error))[:200].rstrip("."))
        return 1
    return 0


def _log_verdict(client: Any, name: str) -> None:
    model = config.load(name, check_columns=False)
    settings = model.model_dump(mode="json", include={"task", "dataset", "windows", "split", "features", "target"})
    params = dict(_flat(settings | {"training": model.training}))
    files = [model.onnx, *(model.build / file for file in ("passport.yaml", "report.html", "evaluation.json"))]
    tags = {"uncommitted": "yes" if git("status", "--porcelain").strip() else "no"}
    commit = git("rev-parse", "HEAD").decode().strip()
    passport = model.build / "passport.yaml"
    tags |= {"passport": hashlib.sha256(passport.read_bytes()).hexdigest()}
    number, new = _run(client, name, passport, commit, files, params, tags, "passport")
    print(f"logged to MLflow as run {number}" if new else f"MLflow has this verdict as run {number}")


def _run(
    client: Any,
    name: str,
    passport: Path,
    commit: str,
    files: list[Path],
    params: dict[str, str],
    tags: dict[str, str],
    same: str,
) -> tuple[str, bool]:
    """The run of a passport, and whether it is new: there is none whose tag `same` has the same value."""
    from mlflow.entities import Metric, Param, RunTag  # type: ignore[import-not-found]

    record = read_yaml(passport, "make it again")
    tags = tags | {key: str(record[key]) for key in ("version", "verdict")}
    experiment = client.get_experiment_by_name(name)
    where = experiment.experiment_id if experiment else client.create_experiment(name, _artifacts())
    wanted = f"tags.{same} = '{tags[same]}' and attributes.status = 'FINISHED'"
    if known := client.search_runs([where], wanted, max_results=1):
        return str(known[0].info.run_id), False
    number = str(client.create_run(where, run_name=record["version"]).info.run_id)
    tags |= {f"content.{part}": value for part, value in record["content"].items()}
    tags |= {"mlflow.source.git.commit": commit, "data": record["dataset"]["name"]}
    figures = {
        f"{metric}.{part}".removesuffix(".value"): value
        for metric, found in record["metrics"].items()
        for part, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    client.log_batch(
        number,
        [Metric(key, float(value), 0, 0) for key, value in figures.items()],
        [Param(key, value[:6000]) for key, value in params.items()][:100],  # MLflow takes no more
        [RunTag(key, value) for key, value in tags.items()],
    )
    for file in files:
        client.log_artifact(number, str(file))
    client.set_terminated(number)
    return number, True


def _artifacts() -> str | None:
    """Beside a SQLite file; a server knows its own place."""
    uri = os.environ[URI]
    place = Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts"
    return place.as_uri() if uri.startswith("sqlite:///") else None


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
    tags = {"version": record["version"], "onnx": record["content"]["onnx"]}
    for known in client.search_model_versions(f"name = '{name}'"):
        if known.tags.get("version") == tags["version"]:
            return str(known.version)
    image = record.get("image") or {}
    with _onnx(name, tags["onnx"]) as file:
        number, _ = _run(client, name, passport, str(image.get("commit")), [passport, file], {}, {}, "version")
    source = client.get_run(number).info.artifact_uri
    return str(client.create_model_version(name, source, number, tags | {"image": str(image.get("digest"))}).version)


@contextlib.contextmanager
def _onnx(name: str, sha256: str) -> Iterator[Path]:
    """The file of these bytes, from Git's history or DVC."""
    content, _ = champion.blob(config.load(name, check_columns=False), sha256)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        file.write_bytes(content)
        yield file


def _flat(settings: Any, above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
