"""Kubeflow: a model's stages as components of a pipeline, its training as one TrainJob, and a run of the pipeline.

kfp cannot stand beside the environment's packages: it is installed apart, on first use, and works in a process of its
own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from data_schemas.lib import pointer
from models.lib import apart, config, engine, packages, worktree
from repo.lib.git import git
from repo.lib.refusal import Refusal, described

ENDPOINT = "KF_PIPELINES_ENDPOINT"  # kfp's own variable
IMAGE = "KUBEFLOW_IMAGE"
# In a fresh container: the commit, what is not committed, the stage.
SCRIPT = (
    'set -eu; git clone --quiet "$1" tree; cd tree; git checkout --quiet "$2"; '
    'printf %s "$3" | git apply --allow-empty; exec python -m models run "$4" --stage "$5"'
)
TRAIN = "train"


def stages(model: config.Model) -> dict[str, list[str]]:
    """Stage -> those whose outputs it reads, by dvc.yaml."""
    declared = yaml.safe_load(engine.pipeline(model))["stages"]
    makes = {out: stage for stage, each in declared.items() for outs in each["outs"] for out in _paths(outs)}
    return {stage: sorted({makes[dep] for dep in each["deps"] if dep in makes}) for stage, each in declared.items()}


def _paths(out: str | dict[str, Any]) -> list[str]:
    return [out] if isinstance(out, str) else [*out]


def compile_to(model: config.Model, image: str, target: Path) -> None:
    """Two YAML documents: kfp's pipeline, and what is Kubernetes' own of it (timeouts, nodes)."""
    _ask(
        "compile", {"model": model.name, "image": image, "stages": stages(model), **model.kubeflow.model_dump()}, target
    )


def train_job(model: config.Model, image: str) -> dict[str, Any]:
    """The stages up to model.onnx in one pod, or in `workers`, each on a node; of the commit that is checked out."""
    pods = model.kubeflow
    limits = {"cpu": pods.cpu, "memory": pods.memory} | ({"nvidia.com/gpu": pods.gpus} if pods.gpus else {})
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"generateName": f"{model.name.replace('_', '-')}-"},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "activeDeadlineSeconds": pods.minutes * 60,
            "trainer": {
                "image": image,
                "command": ["bash", "-c", SCRIPT, "bash"],
                "args": [*_source(), "", model.name, "export"],
                "numNodes": pods.workers,
                "resourcesPerNode": {"requests": limits, "limits": limits},
            },
        },
    }


def run(name: str) -> None:
    """Make every stage there, of the commit that is checked out and what differs from it here; waits for the end."""
    model, image = config.load(name, check_columns=False), os.environ.get(IMAGE)
    if not image:
        raise Refusal(f"{ENDPOINT} is set and {IMAGE} is not; set it to the image whose Python has the environment.")
    worktree.refuse_to_lose()
    worktree.dvc("push", str(pointer.path(model.dataset)))
    target = model.build / "kubeflow.yaml"
    compile_to(model, image, target)
    repository, commit = _source()
    patch = git("diff", "--no-ext-diff", "--no-color", "HEAD").decode()
    parameters = {"repository": repository, "commit": commit, "patch": patch}
    seconds = len(stages(model)) * model.kubeflow.minutes * 60
    _ask("submit", {"model": name, "parameters": parameters, "seconds": seconds}, target)


def _source() -> list[str]:
    return [git(*words).decode().strip() for words in (("remote", "get-url", "origin"), ("rev-parse", "HEAD"))]


def _ask(verb: str, plan: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (place := Path(sys.prefix, "kubeflow")).is_dir():
        packages.install(Path("requirements/kubeflow.txt"), place)
    command = [sys.executable, "-m", "models.lib.kubeflow", verb, str(target)]
    done = subprocess.run(command, input=json.dumps(plan), env=apart.environment("kubeflow"), text=True, check=False)
    if done.returncode:
        raise Refusal(f"`{verb}` of the pipeline of {plan['model']} failed (see above); fix that and run again.")


def _compile(plan: dict[str, Any], target: str) -> None:
    from kfp import compiler, dsl, kubernetes  # type: ignore[import-not-found]

    def component(stage: str) -> Any:
        def step(repository: str, commit: str, patch: str):  # type: ignore[no-untyped-def]
            arguments = [repository, commit, patch, plan["model"], stage]
            return dsl.ContainerSpec(image=plan["image"], command=["bash", "-c", SCRIPT, "bash"], args=arguments)

        step.__name__ = stage
        return dsl.container_component(step)

    @dsl.pipeline(name=plan["model"].replace("_", "-"))  # type: ignore[untyped-decorator]
    def pipeline(repository: str, commit: str, patch: str = "") -> None:
        tasks: dict[str, Any] = {}
        for stage, before in plan["stages"].items():
            task = tasks[stage] = component(stage)(repository=repository, commit=commit, patch=patch)
            task.after(*(tasks[each] for each in before)).set_caching_options(False)  # DVC's run cache is that
            task.set_cpu_request(plan["cpu"]).set_cpu_limit(plan["cpu"])
            task.set_memory_request(plan["memory"]).set_memory_limit(plan["memory"])
            task.set_retry(plan["retries"], backoff_duration="60s")
            kubernetes.set_timeout(task, plan["minutes"] * 60)
            if stage == TRAIN:
                if plan["gpus"]:
                    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(plan["gpus"])
                for key, value in plan["nodes"].items():
                    kubernetes.add_node_selector(task, key, value)

    compiler.Compiler().compile(pipeline, target)


def _submit(plan: dict[str, Any], target: str) -> None:
    import kfp

    client = kfp.Client()  # its address and credentials are those of kfp's own variables
    run = client.create_run_from_pipeline_package(
        target, plan["parameters"], run_name=plan["model"], experiment_name=plan["model"], enable_caching=False
    )
    ended = client.wait_for_run_completion(run.run_id, timeout=plan["seconds"])
    print(f"Kubeflow's run {run.run_id} of {plan['model']}: {ended.state}")
    if ended.state != "SUCCEEDED":
        raise Refusal(f"the run {run.run_id} ended as {ended.state}; look at its logs there.")


if __name__ == "__main__":
    try:
        {"compile": _compile, "submit": _submit}[sys.argv[1]](json.load(sys.stdin), sys.argv[2])
    except Exception as error:  # of kfp, or of the network
        print(f"kubeflow: {described(error)}", file=sys.stderr)
        sys.exit(1)
