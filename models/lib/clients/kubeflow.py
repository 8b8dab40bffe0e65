"""Kubeflow, by a kfp in a process of its own: it cannot stand beside the environment's packages."""

import json
import os
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

import yaml

from data_schemas.lib import pointer
from models.lib import config, engine, packages, worktree
from repo.lib import process
from repo.lib.files import write
from repo.lib.git import git
from repo.lib.refusal import Refusal, described, without_password

ENDPOINT, IMAGE = "KF_PIPELINES_ENDPOINT", "KUBEFLOW_IMAGE"  # the first is kfp's own
# In a fresh container: repository, commit, what is not committed, model, stage.
SCRIPT = (
    'set -eu; git clone --quiet "$1" tree; cd tree; git checkout --quiet "$2"; '
    'printf %s "$3" | git apply --allow-empty; exec python -m models run "$4" --stage "$5"'
)
COMMAND = ["bash", "-c", SCRIPT, "bash"]


def compile_to(model: config.Model, image: str, target: Path) -> None:
    """Two YAML documents: kfp's pipeline, and what is Kubernetes' own of it (timeouts, nodes)."""
    stages = yaml.safe_load(engine.pipeline(model))["stages"]
    outs = ((out, name) for name, stage in stages.items() for out in stage["outs"])
    makes = {out if isinstance(out, str) else next(iter(out)): name for out, name in outs}
    after = {name: sorted({makes[dep] for dep in stage["deps"] if dep in makes}) for name, stage in stages.items()}
    _ask("compile", {"model": model.name, "image": image, "stages": after, **model.kubeflow.model_dump()}, target)


def write_train_job(model: config.Model, image: str, target: Path) -> None:
    """Of the commit that is checked out."""
    pods = model.kubeflow
    limits = {"cpu": pods.cpu, "memory": pods.memory} | ({"nvidia.com/gpu": pods.gpus} if pods.gpus else {})
    values: dict[str, Any] = {"image": image, "limits": limits, "workers": pods.workers, "seconds": pods.minutes * 60}
    values |= {"name": f"{model.name.replace('_', '-')}-", "command": [*COMMAND, *_source(), "", model.name, "export"]}
    template = Template(Path(__file__).with_name("trainjob.yaml").read_text())
    write(target, template.substitute({key: json.dumps(value) for key, value in values.items()}))


def run(name: str) -> None:
    """Make every stage there, of the commit that is checked out and what differs from it here; waits for the end."""
    model, image = config.load(name, check_columns=False), os.environ.get(IMAGE)
    if not image:
        raise Refusal(f"{ENDPOINT} is set and {IMAGE} is not; set it to the image whose Python has the environment.")
    worktree.refuse_to_lose()
    worktree.dvc("push", str(pointer.path(model.dataset)))
    compile_to(model, image, target := model.build / "kubeflow.yaml")
    patch = git("diff", "--no-ext-diff", "--no-color", "HEAD").decode()
    parameters = dict(zip(("repository", "commit", "patch"), (*_source(), patch), strict=True))
    _ask("submit", {"model": name, "parameters": parameters, "minutes": model.kubeflow.minutes}, target)


def _source() -> list[str]:
    words = ("remote", "get-url", "origin"), ("rev-parse", "HEAD")
    return [without_password(git(*each).decode().strip()) for each in words]  # what is compiled is read by many


def _ask(verb: str, plan: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (place := Path(sys.prefix, "kubeflow")).is_dir():
        packages._install(Path("requirements/kubeflow.txt"), place)
    command = [sys.executable, "-m", "models.lib.clients.kubeflow", verb, str(target)]
    done = subprocess.run(command, input=json.dumps(plan), env=process.apart("kubeflow"), text=True, check=False)
    if done.returncode:
        raise Refusal(f"`{verb}` of the pipeline of {plan['model']} failed (see above); fix that and run again.")


def _compile(plan: dict[str, Any], target: str) -> None:
    from kfp import compiler, dsl, kubernetes  # type: ignore[import-not-found]

    def component(stage: str) -> Any:
        def step(repository: str, commit: str, patch: str):  # type: ignore[no-untyped-def]
            arguments = [repository, commit, patch, plan["model"], stage]
            return dsl.ContainerSpec(image=plan["image"], command=COMMAND, args=arguments)

        step.__name__ = stage
        return dsl.container_component(step)

    @dsl.pipeline(name=plan["model"].replace("_", "-"))  # type: ignore[untyped-decorator]
    def pipeline(repository: str, commit: str, patch: str = "") -> None:
        tasks: dict[str, Any] = {}
        for stage, before in plan["stages"].items():
            task = tasks[stage] = component(stage)(repository=repository, commit=commit, patch=patch)
            task.after(*(tasks[each] for each in before)).set_caching_options(False)  # DVC's run cache is that
            task.set_cpu_limit(plan["cpu"]).set_memory_limit(plan["memory"])  # and so requests, as Kubernetes has it
            task.set_retry(plan["retries"], backoff_duration="60s")
            kubernetes.set_timeout(task, plan["minutes"] * 60)
            if stage == "train":
                if plan["gpus"]:
                    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(plan["gpus"])
                for key, value in plan["nodes"].items():
                    kubernetes.add_node_selector(task, key, value)

    compiler.Compiler().compile(pipeline, target)


def _submit(plan: dict[str, Any], target: str) -> None:
    import kfp

    client, name = kfp.Client(), plan["model"]  # its address and credentials are those of kfp's own variables
    words = {"run_name": name, "experiment_name": name, "enable_caching": False}
    run = client.create_run_from_pipeline_package(target, plan["parameters"], **words)
    ended = client.wait_for_run_completion(run.run_id, timeout=plan["minutes"] * 60)
    if ended.state != "SUCCEEDED":
        raise Refusal(f"the run {run.run_id} ended as {ended.state}; look at its logs there.")


if __name__ == "__main__":
    try:
        {"compile": _compile, "submit": _submit}[sys.argv[1]](json.load(sys.stdin), sys.argv[2])
    except Exception as error:  # of kfp, or of the network
        print(f"kubeflow: {described(error)}", file=sys.stderr)
        sys.exit(1)
