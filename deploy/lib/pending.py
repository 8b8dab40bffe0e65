"""Whether staging needs a release of a model, by what this tree makes of it, what staging has and what was aborted."""

from pathlib import Path

from deploy.lib import aborted, history, release
from deploy.lib.passport import Passport
from models.lib import config, passport
from repo.lib.git import git
from repo.lib.refusal import Refusal


def reason_not_due(name: str) -> str | None:
    """Why staging needs no release of this model; None where it is due."""
    staging = release.read("staging", name)
    former = staging if staging is not None and staging.readable else None
    here = version(name, former.passport, former.image.commit) if former else version(name)
    if here and (reason := rolled_back(name, here)):
        return f"what this commit has was rolled back ({reason})"
    resources = Path("models", name, "resources.yaml")
    if former is None or not resources.is_file():
        return None
    same = former.version == here and former.files.get("resources.yaml") == resources.read_bytes()
    return f"staging has it, as {here}" if same else None


def rolled_back(name: str, version: str) -> str | None:
    """Why an image of this version was aborted; None where none was."""
    return next((each.reason for each in aborted.read() if each.model == name and each.version == version), None)


def version(name: str, former: Passport | None = None, commit: str | None = None) -> str | None:
    """The version of the passport that this tree makes of a model; None where it cannot be known.

    A model.onnx that DVC keeps is not here: where the lock is that of `commit`, it is the one that `former` is of.
    """
    model = config.load(name, check_columns=False)
    onnx = None
    if model.storage == "dvc" and former and commit and known(commit):
        path = model.folder / "dvc.lock"
        if path.is_file() and history.show(commit, path) == path.read_bytes():
            onnx = former.content.get("onnx")
    try:
        return passport.version(passport.content(model, onnx))
    except (OSError, Refusal):
        return None


def known(commit: str) -> bool:
    try:
        return git("cat-file", "-t", commit).strip() == b"commit"
    except Refusal:
        return False
