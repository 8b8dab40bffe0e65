"""Where the two Bentos of a rehearsal come from."""

import dataclasses
import io
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.lib import history
from deploy.rehearsal.meters import Bounds
from models.lib import champion as released
from models.lib.config import Model
from repo.lib import process
from repo.lib.command import working
from repo.lib.files import read_json, write
from repo.lib.git import blobs, found_commit, git
from repo.lib.refusal import Refusal
from serving import build


@dataclass(frozen=True)
class Bento:
    """`description` says which model this is and where it comes from."""

    folder: Path
    description: str

    @property
    def version(self) -> str:
        """The model's version, as its answers and metrics name it."""
        return str(self.contract["version"])

    def bounds(self, slow_ms: float) -> Bounds:
        """By what its latency is measured; `slow_ms` where its image states no bound of its own."""
        budget = float(self.contract["latency_budget_ms"])
        return Bounds(float(self.contract["slow_ms"] or slow_ms), budget)

    @property
    def onnx(self) -> Path:
        return self.folder / "src" / "model.onnx"

    @property
    def contract(self) -> dict[str, Any]:
        """contract.json, as the service knows it."""
        found: dict[str, Any] = read_json(self.folder / "src" / "contract.json", "python -m serving build <model>")
        return found


def candidate(model: Model) -> Bento:
    """What the working tree holds, built unless it is built already."""
    with working("building the candidate"):
        bento = build.build(model.name)
    return Bento(bento, f"version {Bento(bento, '').version}, of the working tree")


def champion(model: Model, revision: str | None, candidate: Bento, folder: Path) -> Bento:
    """The model of `revision`, or what production runs, or, before the first release, the candidate itself.

    `folder` is temporary and takes the champion's commit and what is built of it.
    """
    if revision is not None:
        if (commit := found_commit(revision)) is None:
            wrong = f"--champion {revision} is not a commit of this repository"
            raise Refusal(f"{wrong}; name one, such as HEAD~1, a tag or a hash.")
        bento = built_at(model, commit, folder, {})
        return Bento(bento, f"version {Bento(bento, '').version}, of {revision} (commit {commit[:10]})")
    production = released.find(model)
    if production is None:
        nobody = "the candidate itself: production has no release to compare it with"
        return dataclasses.replace(candidate, description=nobody)
    commit = _promoted(model.name, released.passport_path(model.name).read_bytes()) or production.commit
    # model.onnx need not be part of a commit (`storage: dvc`).
    bento = built_at(model, commit, folder, {model.onnx: released.blob(model, production.onnx)[0]})
    # Not the Bento's own version: a passport fits the tree that it was made in, which need not be that of the commit.
    return Bento(bento, f"version {production.version}, which production runs (built of commit {commit[:10]})")


def _promoted(name: str, passport: bytes) -> str | None:
    """The commit that first brought this passport to staging: its tree is what the released image was built of."""
    having = [each for each in history.entries("staging", name) if each.release.files.get("passport.yaml") == passport]
    return having[-1].commit if having else None


def built_at(model: Model, commit: str, folder: Path, added: dict[Path, bytes]) -> Path:
    """The Bento that a commit's own code builds of its own model, in a copy of the commit with some files `added`."""
    tree = folder / "champion"
    needed = [str(each) for each in (model.folder / "model.yaml", model.onnx, "serving/build.py") if each not in added]
    held = blobs(commit, needed)
    for name in needed:
        if name not in held:
            raise Refusal(f"commit {commit[:10]} holds no {name}, so {model.name} cannot be built of it; name another.")
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", commit))) as archive:
        archive.extractall(tree, filter="data")
    for path, content in added.items():
        write(tree / path, content)
    with working(f"building the champion of commit {commit[:10]}"):
        command = [sys.executable, "-m", "serving", "build", model.name]
        process.run(command, f"the model of commit {commit[:10]} cannot be built", "name another with --champion", tree)
    built = [path.parent for path in sorted((tree / model.build).glob("**/bento.yaml"))]
    if len(built) != 1:
        raise Refusal(f"commit {commit[:10]} builds {len(built)} Bentos of {model.name}; name another with --champion.")
    return built[0]
