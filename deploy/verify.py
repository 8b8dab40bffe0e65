"""Hold every release, and what it renders to, against the rules and Git history: `python -m deploy verify`.

Exit 1 names what breaks them; exit 2 without a fault says what could not be checked. A release whose model folder is
gone is a fault: what runs must have an owner. Retire the release, then the folder.
"""

from __future__ import annotations

import argparse
import os

from deploy.checks import check
from deploy.lib import aborted, history, release, rules
from deploy.lib.aborted import Aborted
from deploy.lib.release import ENVIRONMENTS, FILES, RELEASES, Release, parse_yaml
from deploy.lib.rules import Fault
from models.lib import champion, config, lock
from repo.lib.command import working
from repo.lib.git import git
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb takes its options
    releases = release.every()
    found = strangers()
    try:
        listed = aborted.read()
    except Refusal as refusal:
        found.append(rules.of_refusal(refusal, aborted.PATH, "the list", aborted.MEND))
        listed = []
    sound = []
    for each in releases:
        own = rules.of_release(each, gates_of(each))
        found += own + faults(each, listed)
        if not own:
            sound.append(each)  # another's kustomization.yaml is not what follows from its passport
    found += shared(releases)
    rendered = rendering(sound)
    if isinstance(rendered, check.Outcome):
        found += rendered.faults
    for fault in found:
        print(fault)
    by = ", ".join(f"{sum(each.environment == name for each in releases)} in {name}" for name in ENVIRONMENTS)
    if found:
        print(f"Faults: {len(found)}. Releases: {by}.")
    else:
        print(f"Every release keeps the rules: {by}." if releases else "No release yet to hold against the rules.")
    if isinstance(rendered, Refusal):
        unseen = f"what the manifests render to was not checked: {rendered}"
        if not found:
            raise Refusal(unseen)
        print(unseen)
        return 1
    print(rendered.checked)
    for kind, why in rendered.lacking.items():
        print(f"Not checked for want of a schema: {kind} ({why}).")
    if rendered.lacking and not found and os.environ.get("GITHUB_ACTIONS"):
        raise Refusal(
            "schemas are missing, and a check that was skipped is no pass; run again when they can be fetched."
        )
    return 1 if found else 0


def rendering(sound: list[Release]) -> check.Outcome | Refusal:
    """What the checks of the manifests say, or why they could not be made."""
    try:
        with working("rendering the manifests"):
            return check.everything(sound)
    except Refusal as refusal:
        return refusal


def strangers() -> list[Fault]:
    """Files that no verb wrote; hidden ones, which nothing reads, are let be."""
    found = []
    for path in sorted(RELEASES.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        *folders, name = path.relative_to(RELEASES).parts
        hidden = any(part.startswith(".") for part in (*folders, name))
        beside = not folders and name in ("README.md", aborted.PATH.name)
        released = len(folders) == 2 and folders[0] in ENVIRONMENTS and name in FILES and not path.is_symlink()
        if not (hidden or beside or released):
            found.append(Fault(path, "the file", "has no place among releases", "remove it"))
    return found


def faults(of: Release, listed: list[Aborted]) -> list[Fault]:
    """What one release breaks beside the rules of its own files: those of history, if its files can be read."""
    found = []
    if of.model not in config.names():
        retire = f"restore the folder, or retire the release with `git rm -r {of.folder}`"
        found.append(Fault(of.folder, f"models/{of.model}", "is gone while this release runs it", retire))
    if not of.readable:
        return found  # the rules of the files have said why
    found += of_aborted(of, of.image.digest, listed) + of_onnx(of, of.passport.content.get("onnx", "")) + of_lock(of)
    if of.environment == "production" and not staged(of):
        mend = f"roll back, or promote through staging: `python -m deploy promote {of.model} --to production`"
        wrong = "staging never had these bytes of passport.yaml and resources.yaml, by any commit up to this release's"
        found.append(Fault(of.folder / "passport.yaml", of.version, wrong, mend))
    return found


def shared(releases: list[Release]) -> list[Fault]:
    """An image is one model's: where two have the same digest, one of them runs the other's model."""
    found, owners = [], dict[str, Release]()
    for each in filter(lambda release: release.readable, releases):
        owner = owners.setdefault(each.image.digest, each)
        if owner.model != each.model:
            wrong = f"{each.image.digest} is also the image of {owner.folder}, another model"
            mend = "promote each model with the image that was built of it"
            found.append(Fault(each.folder / "passport.yaml", "image.digest", wrong, mend))
    return found


def of_aborted(of: Release, digest: str, listed: list[Aborted]) -> list[Fault]:
    """Production runs none. Staging may still hold what production aborted since, but not what was aborted before."""
    if of.environment == "staging" and (commit := introduced(of)):
        listed = aborted.at(commit)
    if (abort := aborted.find(digest, listed)) is None:
        return []
    mend = f"`python -m deploy rollback {of.model} --environment {of.environment}`, or promote a newer model"
    wrong = f"{digest} is on the list of aborted digests ({abort.reason})"
    return [Fault(of.folder / "passport.yaml", "image.digest", wrong, mend)]


def of_onnx(of: Release, onnx: str) -> list[Fault]:
    """With `storage: git` history holds the bytes that the passport speaks of; a DVC remote is not asked here."""
    if of.model not in config.names() or (model := config.load(of.model, check_columns=False)).storage != "git":
        return []
    try:
        champion.blob(model, onnx)
    except Refusal:
        wrong = f"no commit has a {model.onnx} with this SHA-256 ({onnx[:12]})"
        mend = "commit the model that was released, or promote the committed one"
        return [Fault(of.folder / "passport.yaml", "content.onnx", wrong, mend)]
    return []


def of_lock(of: Release) -> list[Fault]:
    """The commit that the image was built of must hold what its own sources make, by its own lock."""
    commit, path = of.image.commit, f"models/{of.model}/dvc.lock"
    if commit is None or not (held := history.files(commit, [path])):
        return []
    stages = (parse_yaml(held[path]) or {}).get("stages") or {}
    named = {dep["path"] for stage in stages.values() for dep in stage.get("deps") or []}
    wanted = [path, f"models/{of.model}/model.yaml", *sorted(named), *(f"{each}.dvc" for each in sorted(named))]
    tree = history.files(commit, wanted)
    mend = f"`python -m deploy rollback {of.model} --environment {of.environment}`, or promote a newer model"
    return [
        Fault(of.folder / "passport.yaml", "image.commit", f"{commit[:10]} held another model: {fault}", mend)
        for fault in lock.faults(of.model, tree.get)[:1]
    ]


def staged(of: Release) -> bool:
    """Whether staging had the same passport and resources at the commit of this release or before."""
    return any(same(entry.release, of) for entry in history.entries("staging", of.model, introduced(of) or "HEAD"))


def introduced(of: Release) -> str | None:
    """The commit that brought the release; None if it is not committed."""
    if history.uncommitted(of.folder):
        return None
    # Git follows the parent that has the same files, so a merge that only kept the release is not named.
    return git("rev-list", "-1", "HEAD", "--", str(of.folder)).decode().strip() or None


def gates_of(release: Release) -> list[str]:
    """The gates that a release must have passed: those there were when its passport was made."""
    return (release.passport.judged_by if release.readable else None) or rules.required_gates()


def same(one: Release, other: Release) -> bool:
    """Equal but for the environment that kustomization.yaml names."""
    return all(name in one.files and one.files[name] == other.files.get(name) for name in FILES[1:])
