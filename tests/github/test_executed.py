"""Workflows run here from pull request to rollback: their scripts, verbs, training and servers are the real ones."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.manifests import renders
from tests.github import scene as scenes
from tests.github.runner import Runner
from tests.github.scene import Scene
from tests.support.specimens import DATASET, KUBERNETES_NAME, NAME
from tests.support.trees import append, configure, edit

STAGING, PRODUCTION = (f"deploy/releases/{name}/{NAME}" for name in ("staging", "production"))
SECOND = "specimen_second"


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("scene"), renders]  # unrendered, no pull request is green


@pytest.fixture(scope="module")
def released(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A fork with two models, both in production."""
    scene = scenes.fork(tmp_path_factory.mktemp("scene"), workshop, SECOND)
    scene.hub.strangers(f"promote/{NAME}", f"rollback/production/{NAME}", "release/staging")
    scenes.release(scene, NAME, SECOND)
    return scene


@pytest.fixture
def branch(released: Scene) -> Callable[[str], Path]:
    """The author's clone on a new branch of main; nothing else is there."""

    def start(name: str) -> Path:
        released.git("fetch", "--quiet", "origin")
        released.git("checkout", "--quiet", "--force", "-B", name, "origin/main")
        return released.author

    return start


def red(run: Runner) -> set[str]:
    """The jobs that `required` names."""
    (said,) = re.findall(r"required: FAIL, for (.*); open", run.jobs["required"].log) or [""]
    return set(said.split(", ")) - {""}


def results(run: Runner) -> dict[str, str]:
    return {name: job.result for name, job in run.jobs.items()}


def told(run: Runner) -> str:
    """The ends of what the jobs said that failed."""
    return "\n".join(f"== {name}\n{job.log[-6000:]}" for name, job in run.jobs.items() if job.result == "failure")


def settings(name: str, value: float) -> Callable[[Path], None]:
    return lambda root: configure(root, {name: value})


def schema(root: Path) -> None:
    path = root / DATASET / "schema.py"
    text, count = re.subn(r"(distance: .*?)\b(\d{4})\b", r"\g<1>1000", path.read_text(), count=1, flags=re.DOTALL)
    assert count
    path.write_text(text)


def workflow(root: Path) -> None:
    for part in ("data_schemas", "models"):
        shutil.rmtree(root / "tests" / part)  # which no workflow can break
    edit(root / ".github/workflows/report.yml", "shell: bash", "shell: sh")


def manifest(root: Path) -> None:
    field = "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem"
    append(root / PRODUCTION / "resources.yaml", f"- {{op: replace, path: {field}, value: false}}\n")


BREAKS: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("schema", schema, "data", "distance"),
    ("gate", settings("gates.size_mb.at_most", 0.001), "model", "size_mb"),  # production missing it excuses no size
    ("contract", settings("serving.max_rows", 100), "model", "breaks: max_rows: 200 -> 100"),
    ("lock", settings("training.weight_decay", 0.002), "model", f"python -m models run {NAME}"),
    ("manifest", manifest, "manifests", f"{PRODUCTION}/resources.yaml: the patch"),
    ("workflow", workflow, "tests", "report.yml-shell"),
]


@pytest.mark.parametrize(("name", "breaks", "job", "says"), BREAKS, ids=[name for name, *_ in BREAKS])
def test_what_breaks_something_turns_required_red_and_names_the_job(
    released: Scene,
    branch: Callable[[str], Path],
    name: str,
    breaks: Callable[[Path], None],
    job: str,
    says: str,
) -> None:
    breaks(branch(f"broken-{name}"))
    released.push(f"broken-{name}")
    run = released.pull_request(f"broken-{name}", job)
    assert run.jobs["required"].result == "failure"
    assert red(run) == {job}, told(run)
    assert says in run.jobs[job].log, told(run)


def test_a_change_of_a_model_goes_from_pull_request_to_production_and_back(
    released: Scene, branch: Callable[[str], Path]
) -> None:
    scene, before = released, {name: released.passport(name) for name in ("staging", "production")}

    # The author changes a setting of training, runs the pipeline, and proposes what it made.
    root = branch("decay")
    configure(root, {"training.weight_decay": 0.0011})
    scene.verb("models", "run", NAME)
    scene.push("decay", "Decay weights faster")
    run = scene.pull_request("decay", "model", "manifests")
    assert run.jobs["required"].result == "success", told(run)
    plan = json.loads(run.jobs["plan"].outputs["plan"])
    assert [(model["name"], model["stages"][0]) for model in plan["models"]] == [(NAME, "train")]
    model = run.jobs["model"].log
    assert f"reproduce {NAME}: the very bytes that are committed" in model
    assert "ROC AUC against" in model, "the champion of production was compared with"
    assert "promote: " in model, "the rehearsal's verdict"
    assert SECOND not in model

    # Merging moves staging: the same bytes, gated again, never trained.
    commit = scene.merge("decay")
    run = scene.released()
    found = results(run)
    assert found.pop("track") == "skipped", "no MLflow is set up"
    assert set(found.values()) == {"success"}, told(run)
    assert json.loads(run.jobs["plan"].outputs["plan"])["models"] == [NAME]
    assert "python -m models train" not in run.jobs["gate"].log
    assert "pytest" not in run.jobs["image"].log, "code of the model ran where the image is pushed"
    staging = scene.passport("staging")
    assert staging["version"] != before["staging"]["version"]
    assert staging["image"]["commit"] == commit
    assert staging["champion"]["version"] == before["production"]["version"]
    changed = ("MODEL_CARD.md", "kustomization.yaml", "mlbom.json", "monitoring.yaml", "passport.yaml")
    assert scene.files("main") == {f"{STAGING}/{name}" for name in changed}
    reference = f"{staging['image']['name']}@{staging['image']['digest']}"
    passport = f"released/{NAME}/passport.json"
    attest = f"attest --yes --type https://models/passport/v1 --predicate {passport} {reference}"
    assert (scene.root / "cosign.calls").read_text() == f"sign --yes {reference}\n{attest}\n"
    attested = {f"model.onnx@sha256:{staging['content']['onnx']}"} | {
        f"{name}@sha256:{hashlib.sha256(scene.content(f'{STAGING}/{name}')).hexdigest()}"
        for name in ("MODEL_CARD.md", "mlbom.json")
    }
    assert {reference, *attested} <= set(scene.hub.read()["attested"])
    known = scene.show(f"{STAGING}/MODEL_CARD.md")
    assert "| distance | integer | mi | at least 50, at most 6000 |" in known, "the contract came along"
    assert "carrier UA" in known, "the evaluation came along"
    assert scene.passport("production") == before["production"]
    assert staging["image"]["proof"] == "attestation"
    again = results(scene.released())
    assert again == {"plan": "success", **dict.fromkeys(("gate", "image", "sign", "staging", "track"), "skipped")}

    # The cluster reports that staging is healthy; the proposal is production's release and nothing else.
    healthy = {"model": KUBERNETES_NAME, "namespace": "models-staging", "image": reference}
    run = scene.run("promote", "repository_dispatch", {"client_payload": healthy})
    assert results(run) == {"propose": "success"}, told(run)
    assert scene.files(f"promote/{NAME}") == {f"{PRODUCTION}/{name}" for name in changed}
    assert "its rollout in staging is complete and healthy" in scene.hub.own()["body"]
    assert "The image is signed by" in scene.hub.own()["body"]
    assert scene.hub.dispatched() == [f"promote/{NAME}"]
    run = scene.pull_request(f"promote/{NAME}", "manifests")
    assert run.jobs["required"].result == "success", told(run)
    scene.merge(f"promote/{NAME}")
    assert scene.passport("production") == staging

    # In production it is aborted: the proposal restores the release before, and its image is never taken again.
    aborted = {"model": KUBERNETES_NAME, "namespace": "models-production", "image": reference}
    run = scene.run("rollback", "repository_dispatch", {"client_payload": aborted})
    assert results(run) == {"propose": "success"}, told(run)
    scene.merge(f"rollback/production/{NAME}")
    assert scene.passport("production") == before["production"]
    assert staging["image"]["digest"] in scene.show("deploy/releases/aborted.yaml")
    stale = scene.run("rollback", "repository_dispatch", {"client_payload": aborted})
    assert "nothing to roll back" in stale.jobs["propose"].log
    run = scene.run("promote", "workflow_dispatch", {"inputs": {"model": NAME}})
    assert results(run) == {"propose": "failure"}
    assert "is on the list of aborted digests" in run.jobs["propose"].log
    assert results(scene.released())["image"] == "skipped"
    scene.hub.demand_untouched()
