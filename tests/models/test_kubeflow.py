"""Kubeflow: what is compiled holds kfp's schema, and its components, each in a clone, make what a run makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from deploy.checks.schemas import strict
from models.lib.clients import kubeflow
from repo.lib.refusal import Refusal
from tests.models.scene import Verb
from tests.support import apart, trees
from tests.support.process import first_on_path, run
from tests.support.repository import commit, git
from tests.support.specimens import DATASET, MODEL, NAME

IMAGE = f"registry.example.org/train@sha256:{'0' * 64}"
PIPELINE, JOB = MODEL / "build/kubeflow.yaml", MODEL / "build/trainjob.yaml"
LOAD = """
import sys
from google.protobuf import json_format
from kfp import components
from kfp.kubernetes import kubernetes_executor_config_pb2 as of_kubernetes
for path in sys.argv[1:]:
    try:
        loaded = components.load_component_from_file(path)
    except Exception as error:
        print(error)
        continue
    for executor in loaded.platform_spec.platforms["kubernetes"].deployment_spec.executors.values():
        json_format.ParseDict(json_format.MessageToDict(executor), of_kubernetes.KubernetesExecutorConfig())
    print(sorted(loaded.pipeline_spec.root.dag.tasks))
"""


@pytest.fixture
def clone(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an origin whose main is committed, with a DVC remote that is a folder of neither."""
    origin, here = trees.copy(shop, tmp_path / "origin"), tmp_path / "here"
    others = {f"stage{number}": {"cmd": "true", "outs": [f"out{number}"]} for number in range(12)}
    (origin / "others").mkdir()  # DVC goes through a large graph in another way
    (origin / "others/dvc.yaml").write_text(yaml.safe_dump({"stages": others}))
    config = origin / ".dvc/config"
    config.write_text(config.read_text().replace("url = remote", f"url = {tmp_path}/remote"))
    commit(origin)
    trees.copy(origin, here)
    git("remote", "add", "origin", str(origin), root=here)
    monkeypatch.chdir(here)
    return here


class Cluster(ThreadingHTTPServer):
    """As much of the API of Kubeflow Pipelines as its client asks for; components run as plain processes, in order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.folder, self.ran, self.state = folder, list[str](), "SUCCEEDED"

    def execute(self, body: dict[str, Any]) -> None:
        spec, given = body["pipeline_spec"]["pipeline_spec"], body["runtime_config"]["parameters"]
        tasks = dict(spec["root"]["dag"]["tasks"])
        while tasks and self.state == "SUCCEEDED":
            name = next(each for each in tasks if set(tasks[each].get("dependentTasks", [])).isdisjoint(tasks))
            del tasks[name]
            container = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
            words = [*container["command"], *container["args"]]
            for key, value in given.items():
                words = [word.replace(f"{{{{$.inputs.parameters['{key}']}}}}", value) for word in words]
            place = self.folder / name
            place.mkdir()
            path = first_on_path(Path(sys.executable).absolute().parent)
            done = subprocess.run(words, cwd=place, env={**os.environ, "PATH": path}, check=False)
            self.ran.append(name)
            self.state = "SUCCEEDED" if done.returncode == 0 else "FAILED"


class Answers(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        answers: dict[str, dict[str, Any]] = {
            "healthz": {"multi_user": False},
            "run": {"run_id": "run", "state": self.server.state},
        }
        self.answer(answers.get(self.path.rpartition("/")[2], {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/runs"):
            self.server.execute(body)
        self.answer({"run_id": "run", "experiment_id": "experiment"})

    def answer(self, content: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Not on standard error."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    folder = tmp_path / "pods"
    folder.mkdir()
    with Cluster(folder) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        monkeypatch.setenv(kubeflow.ENDPOINT, f"http://127.0.0.1:{found.server_port}")
        monkeypatch.setenv(kubeflow.IMAGE, IMAGE)
        yield found
        found.shutdown()


@pytest.mark.slow
def test_what_is_compiled_is_the_same_twice_and_kfp_reads_it(tree: Path, verb: Verb) -> None:
    apart.need("kubeflow")
    settings = {"cpu": "3", "memory": "5Gi", "gpus": 2, "nodes": {"pool": "gpu"}, "retries": 4, "minutes": 7}
    trees.configure(tree, {"kubeflow": settings})
    texts = []
    for _ in range(2):
        answer = verb("compile", NAME, "--image", IMAGE)
        assert (answer.code, answer.out) == (0, f"compile {NAME}: {PIPELINE}\n"), answer.error
        texts.append(PIPELINE.read_bytes())
        PIPELINE.unlink()
    assert texts[0] == texts[1]
    PIPELINE.write_bytes(texts[0])
    pipeline, platforms = yaml.safe_load_all(texts[0])
    tasks, stages = pipeline["root"]["dag"]["tasks"], yaml.safe_load((MODEL / "dvc.yaml").read_text())["stages"]
    assert tasks.keys() == stages.keys()
    assert (tasks["evaluate"]["dependentTasks"], tasks["train"]["dependentTasks"]) == (["export"], ["validate"])
    assert {task["retryPolicy"]["maxRetryCount"] for task in tasks.values()} == {4}
    train, export = (
        pipeline["deploymentSpec"]["executors"][f"exec-{each}"]["container"] for each in ("train", "export")
    )
    common = {"resourceCpuLimit": "3", "resourceMemoryLimit": "5Gi"}
    assert common.items() <= export["resources"].items()
    assert "accelerator" not in export["resources"]
    assert train["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    pods = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {pod["activeDeadlineSeconds"] for pod in pods.values()} == {"420"}
    assert pods["exec-train"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert "nodeSelector" not in pods["exec-export"]
    broken = PIPELINE.with_name("broken.yaml")
    broken.write_text(PIPELINE.read_text().replace("  dag:\n", "  dog:\n"))
    sound, _, refused = apart.ask("kubeflow", LOAD, str(PIPELINE), str(broken)).partition("\n")
    assert sound == str(sorted(stages))
    assert 'no field named "dog"' in refused


@pytest.mark.slow
def test_what_the_components_make_is_what_a_run_makes_and_the_run_after_them_executes_no_stage(
    clone: Path, cluster: Cluster, tmp_path: Path
) -> None:
    apart.need("kubeflow")
    answer = run("models", "retrain", NAME, "--write", str(tmp_path / "proposed"), root=clone)
    assert answer.code == 0, answer.error
    assert sorted(cluster.ran) == sorted(yaml.safe_load((MODEL / "dvc.yaml").read_text())["stages"])
    done = answer.out.partition(f"$ python -m models run {NAME} --pull\n")[2]
    assert f"run {NAME}: PASS" in done
    for word in ("hold the contract", f"train {NAME}: ", f"export {NAME}: ", f"evaluate {NAME}: "):
        assert word not in done
    patch = str(tmp_path / "proposed" / NAME / "change.patch")
    git("apply", "--binary", patch)
    made = {path: (clone / MODEL / path).read_bytes() for path in ("model.onnx", "dvc.lock")}
    settings = [str(MODEL / "model.yaml"), str(DATASET / "data.dvc")]
    git("stash", "--quiet")
    git("apply", "--binary", *(f"--include={path}" for path in settings), patch)
    plain = run("models", "run", NAME, root=clone)
    assert plain.code == 0, plain.error
    assert f"train {NAME}: " in plain.out
    assert (clone / MODEL / "model.onnx").read_bytes() == made["model.onnx"]
    here, there = (
        text.decode().partition("\n") for text in ((clone / MODEL / "dvc.lock").read_bytes(), made["dvc.lock"])
    )
    assert here[2] == there[2]
    assert (here[0][:14], there[0]) == ("# trained on x", "# trained on another machine, by DVC's run cache")


@pytest.mark.slow
@pytest.mark.usefixtures("clone")
def test_a_run_that_fails_there_is_refused_and_nothing_is_trained_in_its_place(
    cluster: Cluster,
    verb: Verb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    apart.need("kubeflow")
    cluster.state = "FAILED"
    with pytest.raises(Refusal, match=f"`submit` of the pipeline of {NAME} failed"):
        kubeflow.run(NAME)
    assert "the run run ended as FAILED" in capfd.readouterr().err
    trees.append(MODEL / "network.py")
    for place in (Path(".dvc/cache"), tmp_path / "remote", MODEL / "build"):  # the rows came from their source
        shutil.rmtree(place)
    answer = verb("run", NAME, "--pull")
    assert answer.code == 2
    assert f"{MODEL}/weights would be made again" in answer.error
    assert "train specimen_delay" not in answer.out
    answer = verb("run", NAME, "--stage", "nothing")
    assert (answer.code, answer.error) == (2, f"models run: {MODEL}/dvc.yaml has no stage 'nothing'; name one of it.\n")
    monkeypatch.delenv(kubeflow.IMAGE)
    with pytest.raises(Refusal, match="KF_PIPELINES_ENDPOINT is set and KUBEFLOW_IMAGE is not"):
        kubeflow.run(NAME)


def test_a_train_job_holds_its_schema_and_runs_the_same_command(clone: Path, verb: Verb) -> None:
    schema = json.loads(Path(__file__).with_name("trainjob_v1alpha1.json").read_text())
    trees.configure(clone, {"kubeflow": {"gpus": 1, "workers": 2}})
    answer = verb("compile", NAME, "--image", IMAGE, "--train-job")
    assert (answer.code, answer.out) == (0, f"compile {NAME}: {JOB}\n"), answer.error
    job, validator = yaml.safe_load(JOB.read_text()), Draft202012Validator(strict(schema))
    assert [*validator.iter_errors(job)] == []
    trainer = job["spec"]["trainer"]
    assert trainer["command"] == [
        *("bash", "-c", kubeflow.SCRIPT, "bash", git("remote", "get-url", "origin"), git("rev-parse", "HEAD"), ""),
        *(NAME, "export"),
    ]
    assert (trainer["numNodes"], trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"]) == (2, 1)
    trainer["numNode"] = trainer.pop("numNodes")
    (fault,) = validator.iter_errors(job)
    assert "'numNode' was unexpected" in fault.message
