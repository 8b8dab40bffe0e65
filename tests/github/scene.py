"""A fork with an origin, in which workflows are run: their scripts are real, a job's folder is a fresh clone.

What `uses:` names and what GitHub's servers do stands in: the action that sets up (a clone, this environment and DVC's
cache), artifacts (a folder), the registry and its builder (a script that answers with digests), and `gh`. The fork's
model is the specimen of the session's workshop, so that no job trains or renders what another one has.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml

from deploy.__main__ import VERBS
from repo.lib import command
from repo.required import ASKED
from tests.deploy.manifests import schema_folder
from tests.github import workflows
from tests.github.hub import REPOSITORY, Hub
from tests.github.runner import Job, Runner
from tests.support import repository, specimens, trees
from tests.support.passports import judge
from tests.support.process import signals_kept
from tests.support.repository import ROOT

BIN = Path(sys.executable).parent  # of this environment
SERVING = {"strategy": "canary", "slow_ms": 0.6}
NOTHING = (
    *("docker/login-action@", "anchore/sbom-action@", "sigstore/cosign-installer@"),
    "$/.github/actions/credentials",
)
# Of tests/, what jobs run or check; the rest would take minutes, or run this again.
TESTS = (
    *("conftest.py", "support", "specimens", "test_readme.py", "github"),
    *("data_schemas/test_every_dataset.py", "models/test_every_model.py"),
)


class Scene:
    """`root` holds origin (bare), author (a person's clone) and a folder for each job; `commits` land on origin."""

    def __init__(self, root: Path, workshop: Path) -> None:
        self.root, self.origin, self.author = root, root / "origin", root / "author"
        self.cache = workshop / ".dvc/cache"  # of main, which every job gets
        self.compiled = {path.relative_to(workshop): path for path in workshop.rglob("*.pyc")}
        self.runs = itertools.count(1)
        self.tools = root / "tools"
        self.tools.mkdir()
        self.hub = Hub(root / "hub")
        for name in ("docker", "cosign"):
            workflows.put(self.tools, name)
        self.environment = {
            **self.hub.environment,
            "PATH": os.pathsep.join([str(self.tools), str(self.hub.folder), str(BIN), os.environ["PATH"]]),
            "SCENE": str(root),
            "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
            "SCHEMAS": str(schema_folder()),
            "STRICT": "",
        }

    def git(self, *words: str, at: Path | None = None) -> str:
        return repository.git(*words, root=at or self.author)

    def verb(self, *words: str) -> None:
        """A verb that the author runs, which must succeed."""
        environment = os.environ | self.environment
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.author,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def attest(self, inputs: dict[str, str], job: Path) -> None:
        """As the action has it: subjects are given in one way, and what goes into the registry is about one image."""
        if "predicate-path" in inputs:
            assert json.loads((job / inputs["predicate-path"]).read_text())["verdict"] == "pass"
        subjects = [f"{inputs['subject-name']}@{inputs['subject-digest']}"] if "subject-name" in inputs else []
        if "subject-checksums" in inputs:
            assert not subjects
            assert "push-to-registry" not in inputs
            for line in (job / inputs["subject-checksums"]).read_text().splitlines():
                digest, _, name = line.partition("  ")
                subjects.append(f"{name}@sha256:{digest}")
        for each in subjects:
            self.hub.attest(each)

    def push(self, branch: str = "main", message: str = "change") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", "origin", f"HEAD:{branch}")
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str) -> str:
        """As merging its pull request does; the author has it then."""
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "-B", "main", "origin/main")
        self.git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", f"origin/{branch}")
        self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def show(self, path: str, branch: str = "main") -> str:
        return self.git("show", f"{branch}:{path}", at=self.origin)

    def content(self, path: str) -> bytes:
        """The very bytes of main."""
        words = ["git", "show", f"main:{path}"]
        return subprocess.run(words, cwd=self.origin, capture_output=True, check=True).stdout

    def passport(self, environment: str, model: str = specimens.NAME, branch: str = "main") -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load(self.show(f"deploy/releases/{environment}/{model}/passport.yaml", branch))
        return read

    def files(self, branch: str) -> set[str]:
        """What its last commit changed."""
        return set(self.git("diff", "--name-only", f"{branch}~1", branch, at=self.origin).split())

    def pull_request(self, branch: str, *jobs: str) -> Runner:
        """ci.yml on what merging the branch gives, a commit of GitHub's whose first parent is main as it is now.

        Of the jobs between `plan` and `required` these are run, by default all; the others count as passed.
        """
        tree = self.git("merge-tree", "--write-tree", "main", branch, at=self.origin)
        parents = ["-p", "main", "-p", branch, "-m", f"Merge {branch}"]
        merged = self.git("commit-tree", tree, *parents, at=self.origin)
        self.git("update-ref", "refs/pull/1/merge", merged, at=self.origin)
        # That of the last push, which main may have left behind long ago.
        stale = self.git("rev-list", "--max-parents=0", "main", at=self.origin).splitlines()[0]
        head = {"repo": {"full_name": REPOSITORY}, "sha": self.git("rev-parse", branch, at=self.origin)}
        event = {"pull_request": {"number": 1, "base": {"sha": stale}, "head": head}}
        passed = {name: Job("success") for name in ASKED if jobs and name not in jobs}
        return self.run("ci", "pull_request", event, "refs/pull/1/merge", jobs=passed)

    def released(self) -> Runner:
        """release.yml after ci.yml succeeded for the newest commit of main."""
        sha = self.git("rev-parse", "main", at=self.origin)
        self.hub.ran("ci.yml", sha)
        about = {"event": "push", "conclusion": "success", "head_repository": {"full_name": REPOSITORY}}
        return self.run("release", "workflow_run", {"workflow_run": about | {"head_sha": sha}})

    def run(
        self,
        name: str,
        event_name: str,
        event: dict[str, Any],
        branch: str = "main",
        **options: Any,
    ) -> Runner:
        """A workflow on the newest commit of a branch, to its end."""
        sha = self.git("rev-parse", branch, at=self.origin)
        place = self.root / f"{next(self.runs)}-{name}"

        def setup(_: dict[str, str], folder: Path) -> None:
            clone = ["git", "clone", "--quiet", "--no-checkout", "--template=", str(self.origin), str(folder)]
            subprocess.run(clone, check=True)
            self.git("checkout", "--quiet", "--detach", sha, at=folder)
            for path, compiled in self.compiled.items():
                if (folder / path).parents[1].is_dir():
                    (folder / path).parent.mkdir(exist_ok=True)
                    (folder / path).hardlink_to(compiled)
            (folder / ".venv").symlink_to(BIN.parent)
            shutil.copytree(self.cache, folder / ".dvc/cache", copy_function=os.link)
            for lock in ("development", "uv"):
                os.utime(folder / f"requirements/{lock}.txt", (0, 0))  # older than the environment

        def folder(label: str) -> Path:
            (place / label).mkdir(parents=True)
            return place / label

        uses = {
            "$/.github/actions/setup": setup,
            "actions/upload-artifact@": lambda inputs, job: upload(inputs, job, place / "artifacts"),
            "actions/download-artifact@": lambda inputs, job: download(inputs, job, place / "artifacts"),
            "actions/attest@": self.attest,
            **dict.fromkeys(NOTHING, lambda *_: None),
        }
        github = {
            "event_name": event_name,
            "event": {"repository": {"private": False}, **event},
            "ref": branch if branch.startswith("refs/") else f"refs/heads/{branch}",
            "sha": sha,
            "actor": "someone",
            "repository": REPOSITORY,
            "token": "",
        }
        file = workflows.read(ROOT / f".github/workflows/{name}.yml")
        runner = Runner(file, folder, uses, github, place / "temporary", environment=self.environment, **options)
        runner.run()
        return runner


def upload(inputs: dict[str, str], job: Path, artifacts: Path) -> None:
    """What the paths match, by their place below the folder that all paths have in common, up to their wildcards."""
    found = [path for line in inputs["path"].split() for path in sorted(job.glob(line))]
    files = [each for path in found for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]
    if not files:
        if inputs.get("if-no-files-found") == "error":
            raise OSError("no files were found")
        return
    roots = [job / re.split(r"/?[^/]*[*?]", line)[0] for line in inputs["path"].split()]
    common = Path(os.path.commonpath([root.parent if root.is_file() else root for root in roots]))
    for path in files:
        target = artifacts / inputs["name"] / path.relative_to(common)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def download(inputs: dict[str, str], job: Path, artifacts: Path) -> None:
    """One by its name, which has to be there; or all that match a pattern, each in a folder unless they are merged."""
    if "name" in inputs:
        shutil.copytree(artifacts / inputs["name"], job / inputs["path"], dirs_exist_ok=True)
        return
    merged = inputs.get("merge-multiple") == "true"
    for found in sorted(artifacts.glob(inputs["pattern"])):
        target = job / inputs["path"] if merged else job / inputs["path"] / found.name
        shutil.copytree(found, target, dirs_exist_ok=True)


def copy_model(root: Path, name: str) -> None:
    """The specimen under another name, as `models run` would leave it: nothing of it has to be made again."""
    source, target = root / specimens.MODEL, root / "models" / name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("build", "__pycache__"))
    for path in ("dvc.yaml", "dvc.lock"):
        (target / path).write_text((target / path).read_text().replace(specimens.NAME, name))


def judged(root: Path, name: str) -> None:
    """Leave the passport of a passing run; the gates are not asked."""
    with chdir(root):
        window = {"first": "2013-08", "last": "2013-08"}
        judge(name, dataset={"name": specimens.DATASET_NAME, "window": window, "rows": 200}, serving=SERVING)


def fork(root: Path, workshop: Path, *models: str) -> Scene:
    """The workshop with the tests that jobs run, and these copies of the specimen; each is on main."""
    scene = Scene(root, workshop)
    trees.copy(workshop, scene.author)
    for name in models:
        copy_model(scene.author, name)
    for name in TESTS:
        source, target = ROOT / "tests" / name, scene.author / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unwanted = shutil.ignore_patterns("__pycache__", "node_modules", "scene.py", "test_[!w]*")
        shutil.copytree(source, target, ignore=unwanted) if source.is_dir() else shutil.copy(source, target)
    (scene.author / "README.md").write_text("# Our models\n")  # the template's names its example
    # This fork rehearses as the rehearsal's own tests do: a third of the time, by as many requests.
    for setting, quick in (
        ("steps: float = 30.0", "steps: float = 9.0"),
        ("rate: float = 150.0", "rate: float = 300.0"),
    ):
        trees.edit(scene.author / "deploy/rehearsal/record.py", setting, quick)
    scene.git("init", "--quiet", "--bare", "--initial-branch=main", str(scene.origin), at=root)
    scene.git("remote", "add", "origin", str(scene.origin))
    scene.push()
    return scene


def release(scene: Scene, *models: str) -> None:
    """First releases, made by the verbs from fabricated passports."""
    for environment in ("staging", "production"):
        for number, name in enumerate(models):
            judged(scene.author, name)
            image = f"{specimens.REGISTRY}/{name}@sha256:{str(number) * 64}"
            words = ["promote", name, "--to", environment, *(["--image", image] if environment == "staging" else [])]
            with chdir(scene.author), signals_kept():  # in this process, which has imported all that it needs
                assert command.run("deploy", VERBS, words) == 0
        scene.push()
