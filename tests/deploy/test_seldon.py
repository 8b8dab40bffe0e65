"""The strategy seldon: what its Job lets pass, by a real rclone, and what Argo CD makes of a Model, by real Lua."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import rollback
from deploy.checks import rendering
from deploy.checks.rendering import Rendering
from deploy.lib import decision
from deploy.lib.history import Entry
from tests.deploy.manifests import renders, specimen

HEALTH = Path("deploy/argocd/seldon.yaml")
SETTINGS = Path("deploy/strategies/seldon/config.pbtxt")
MODEL = b"a model"
DIGEST = hashlib.sha256(MODEL).hexdigest()


def health(**status: Any) -> tuple[str, str]:
    from lupa.lua51 import LuaRuntime  # Argo CD's Lua is 5.1

    (script,) = yaml.safe_load(HEALTH.read_text())["data"].values()
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from({"kind": "Model", **status}, recursive=True)
    found = lua.execute(script)
    return found.status, found.message


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        ("True", "ModelAvailable", "Healthy"),
        ("False", "ModelProgressing", "Progressing"),
        ("False", "ModelScaledDown", "Progressing"),
        ("False", "ModelFailed", "Degraded"),
        ("False", "ScheduleFailed", "Degraded"),
    ],
)
def test_argo_cd_reads_the_health_of_a_model_from_its_condition(status: str, state: str, expected: str) -> None:
    ready = {"type": "ModelReady", "status": status, "message": state, "reason": "no server"}
    other = {"type": "Ready", "status": "False", "message": "ModelFailed"}
    assert health(status={"conditions": [ready, other]}) == (expected, f"{state}: no server")
    del ready["message"], ready["reason"]
    assert health(status={"conditions": [ready]})[0] == ("Healthy" if status == "True" else "Progressing")


@pytest.mark.parametrize("status", [{}, {"status": {}}, {"status": {"conditions": []}}])
def test_a_model_that_seldon_has_not_seen_is_progressing(status: dict[str, Any]) -> None:
    assert health(**status) == ("Progressing", "Seldon has not reported it")


@pytest.fixture(scope="module")
def rendered() -> Rendering:
    of = specimen("production", "seldon")
    with rendering.copied() as tree:
        return rendering.parse(rendering.texts([of], tree)[0], of)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a model, in a store that is a folder here, under the name of the remote."""
    folder = tmp_path / "store/bucket/specimen" / DIGEST
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.onnx").write_bytes(MODEL)
    shutil.copy(SETTINGS, folder)
    return folder


def run(job: dict[str, Any], folder: Path, tmp_path: Path, uri: str) -> subprocess.CompletedProcess[str]:
    """The Job's container as a process; paths of its volumes lead here."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (tmp_path / "secret").mkdir()
    remote = {"type": "alias", "name": "s3", "parameters": {"remote": str(folder.parents[2]), "unused": "opensesame"}}
    (tmp_path / "secret/s3").write_text(json.dumps(remote))
    script, place = container["args"]
    assert place.endswith(f"/{rendering.ONNX}")
    places = {"/tmp/": f"{tmp_path}/", "/var/run/secrets/store": tmp_path / "secret"}  # noqa: S108 - the pod's
    for there, here in places.items():
        script = script.replace(there, str(here))
    environment = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
    line = [*container["command"], script, uri]
    return subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


@renders
@pytest.mark.skipif(shutil.which("rclone") is None, reason="no rclone: `apt-get install rclone`")
@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (None, "0 differences found"),
        (lambda folder: (folder / "1/model.onnx").write_bytes(b"b model"), "1/model.onnx: files differ"),
        (lambda folder: (folder / "1/model.onnx").unlink(), "1/model.onnx: file not in"),
        (lambda folder: (folder / "config.pbtxt").write_text('backend: "python"\n'), "config.pbtxt: files differ"),
        (lambda folder: (folder / "1/model.py").write_text("import os\n"), "1/model.py: sum not found"),
        (shutil.rmtree, "file not in"),
    ],
)
def test_the_job_passes_the_files_of_the_passport_alone(
    plant: Any, said: str, rendered: Rendering, store: Path, tmp_path: Path
) -> None:
    if plant:
        plant(store)
    (job,) = rendered.of("Job")
    done = run(job.content, store, tmp_path, f"s3://bucket/specimen/{DIGEST}")
    assert (done.returncode != 0, said in done.stderr) == (plant is not None, True), done.stderr
    assert "opensesame" not in done.stdout + done.stderr


@renders
def test_nothing_but_the_folder_is_another_models(rendered: Rendering) -> None:
    (model,), (job,) = rendered.of("Model"), rendered.of("Job")
    assert model.spec["storageUri"] == f"s3://specimens/models/seldon-specimen/{rendering.ONNX}"
    assert (model.spec["memory"], model.spec["replicas"]) == ("256Mi", 8)  # of resources.yaml
    (container,) = job.spec["template"]["spec"]["containers"]
    assert container["args"][1] == model.spec["storageUri"]
    assert container["image"].startswith("registry.example.org/specimens/rclone@sha256:")
    assert "PrometheusRule" not in {each.kind for each in rendered.objects}


@pytest.mark.parametrize(("strategy", "told"), [("seldon", "Seldon loads the ONNX file"), ("canary", "argo rollouts")])
def test_a_way_back_speaks_of_a_rollout_only_where_there_is_one(
    strategy: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of = specimen("production", strategy)
    rollback.print_summary(of, Entry("0" * 40, datetime.now(UTC), of), None, landed=True)
    said = capsys.readouterr().out
    text = decision.of_rollback(of, of, None, []).body
    assert told in said
    assert [("ollout" in said), ("ollout" in text)] == [strategy == "canary"] * 2
