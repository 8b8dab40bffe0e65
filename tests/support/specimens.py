"""Trees of the engine in which the specimens of tests/specimens stand in for a team's models and data.

No test reads the models, data, releases, addresses or teams of the repository itself: a fork has others.
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import sys
from contextlib import chdir
from pathlib import Path
from unittest import mock

from repo.lib import command
from tests.support.process import signals_kept
from tests.support.repository import ROOT, commit, git

SPECIMENS = ROOT / "tests/specimens"
FRAMEWORKS = ROOT / "tests/frameworks"  # settings of a model in each, on the specimen's dataset
TEMPLATES = ROOT / "models/lib/templates"
NAME, DATASET_NAME = "specimen_delay", "specimen_trips"
MODEL, DATASET = Path("models", NAME), Path("data_schemas", DATASET_NAME)  # in every tree
KUBERNETES_NAME = NAME.replace("_", "-")
STORE = "s3://specimens/models"
REGISTRY = "registry.example.org/specimens"
REPOSITORY = "https://github.com/specimens/fork"
TEAM = "@specimens/platform"
PROMETHEUS = {
    "prometheus": "http://prometheus-operated.monitoring.svc:9090",
    "scraped-from": "monitoring",
    "job-label": "job",
    "hash-label": "rollouts_pod_template_hash",
    "prometheus-options": "- {op: add, path: /spec/metrics/0/provider/prometheus/timeout, value: 30}\n",
}
YOURS = ("deploy/releases/", "deploy/argocd/fork.yaml", ".github/CODEOWNERS", "tests/")


def engine() -> list[str]:
    """The files of the working tree that are the same in every fork, as a commit would hold them, tests left out."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", root=ROOT).split("\0")
    nouns = [path.parent for mark in ("models/*/model.yaml", "data_schemas/*/schema.py") for path in ROOT.glob(mark)]
    yours = (*YOURS, *(f"{path.relative_to(ROOT).as_posix()}/" for path in nouns))
    return [name for name in listed if name and not name.startswith(yours) and (ROOT / name).is_file()]


def lay_out(root: Path) -> Path:
    """The engine, one untrained specimen, its dataset without rows, and the addresses of nobody."""
    for name in engine():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    caches = shutil.ignore_patterns("__pycache__")
    for path in (MODEL, DATASET.parent):  # the other models come on demand
        shutil.copytree(SPECIMENS / path, root / path, dirs_exist_ok=True, ignore=caches)
    address(root, (ROOT / "deploy/argocd/fork.yaml").read_text())
    (root / ".github").mkdir(exist_ok=True)
    (root / ".github/CODEOWNERS").write_text(f"* {TEAM}\n")
    (root / "deploy/releases").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/releases/README.md", root / "deploy/releases")
    (root / "deploy/releases/aborted.yaml").write_text("[]\n")
    return root


def address(root: Path, fork: str) -> None:
    """Write fork.yaml with the specimens' settings, whatever the repository's are."""
    import yaml

    content = yaml.safe_load(fork)
    repository = content["data"]["repository"]
    owner_and_name = repository.removeprefix("https://github.com/")
    content["data"] |= {"repository": REPOSITORY, "registry": REGISTRY, "models-store": STORE, **PROMETHEUS}
    content["data"]["dispatch"] = content["data"]["dispatch"].replace(owner_and_name, "specimens/fork")
    (root / "deploy/argocd/fork.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def make_frameworks(root: Path, workshop: Path) -> None:
    """A repository in which a model of each framework ran, beside the specimen; nothing is drawn of them."""
    shutil.copytree(workshop, root, symlinks=True)
    import models.__main__
    from models.lib.report import charts

    sys.path.append(str(root))  # where they are imported from, to measure them
    for folder in sorted(FRAMEWORKS.iterdir()):
        shutil.copytree(folder, root / "models" / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (*TEMPLATES.glob("*.*"), *TEMPLATES.glob(f"{folder.name.removeprefix('specimen_')}/network.py")):
            shutil.copy(path, root / "models" / folder.name)
        with chdir(root), signals_kept(), mock.patch.object(charts, "draw", return_value={}):
            assert command.run("models", models.__main__.VERBS, ["run", folder.name]) == 0, folder.name
    commit(root)


def make_workshop(root: Path) -> None:
    """A repository in which the pipeline ran: data, DVC's cache and build products are there, the rest is committed."""
    lay_out(root)
    # Python holds these against the sources, so that the processes of every copy are spared the compilation.
    compileall.compile_dir(root, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    git("init", "--quiet", "--initial-branch=main", root=root)
    import data_schemas.__main__
    import models.__main__

    with chdir(root), signals_kept():  # in this process, which has imported or will import all that they need
        ingested = command.run("data_schemas", data_schemas.__main__.VERBS, ["ingest", DATASET_NAME])
        assert ingested == 0, "the specimen's data could not be ingested"
        assert command.run("models", models.__main__.VERBS, ["run", NAME]) == 0, "the specimen could not be made"
    commit(root)
