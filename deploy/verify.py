"""Hold every release, and what it renders to, against the rules and Git history: `python -m deploy verify`.

Exit 1 names what breaks them; exit 2 without a fault names what could not be checked. A release whose model folder is
gone is a fault: what runs must have an owner. Retire the release, then the folder.
"""

import argparse
import os

from deploy.checks import check
from deploy.lib import aborted, history, release, rules, step
from deploy.lib.aborted import Aborted
from deploy.lib.passport import parse_yaml
from deploy.lib.release import DOCUMENTS, ENVIRONMENTS, FILES, OPTIONAL, RELEASES, Release
from deploy.lib.rules import Finding
from models.lib import champion, config, lock
from repo.lib.command import working
from repo.lib.git import blobs, git
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:  # noqa: ARG001 - every verb takes its options
    releases = release.every()
    found = unexpected_files()
    try:
        listed = aborted.read()
    except Refusal as refusal:
        found.append(rules.of_refusal(refusal, aborted.PATH, "the list", aborted.FIX))
        listed = []
    sound = []
    for each in releases:  # each held to the gates there were when its passport was made
        own = rules.of_release(each, (each.readable and each.passport.judged_by) or rules.FIRST_GATES)
        found += own + findings(each, listed)
        if not own:
            sound.append(each)  # another's kustomization.yaml is not what follows from its passport
    found += images_of_two_models(releases)
    try:
        with working("rendering the manifests"):
            rendered = check.everything(sound)
    except Refusal as refusal:
        rendered = check.Outcome([], f"the rendered manifests were not checked: {refusal}", None)
    found += rendered.findings
    for finding in found:
        print(finding)
    by = ", ".join(f"{sum(each.environment == name for each in releases)} in {name}" for name in ENVIRONMENTS)
    if found:
        print(f"Faults: {len(found)}. Releases: {by}.")
    else:
        print(f"Every release keeps the rules: {by}." if releases else "No release yet to hold against the rules.")
    if rendered.lacking is None and not found:
        raise Refusal(rendered.checked)
    print(rendered.checked)
    for kind, why in (rendered.lacking or {}).items():
        print(f"Not checked, because no schema was found: {kind} ({why}).")
    if rendered.lacking and not found and os.environ.get("GITHUB_ACTIONS"):
        raise Refusal(
            "schemas are missing, and a check that was skipped is not a pass; run again when they can be fetched."
        )
    return 1 if found else 0


def unexpected_files() -> list[Finding]:
    """Files that no verb wrote; hidden ones, which nothing reads, are ignored."""
    found = []
    for path in sorted(RELEASES.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        *folders, name = path.relative_to(RELEASES).parts
        hidden = any(part.startswith(".") for part in (*folders, name))
        beside = not folders and name in ("README.md", aborted.PATH.name)
        known = folders[0] in ENVIRONMENTS and name in (*FILES, *OPTIONAL) if len(folders) == 2 else False
        released = known and not path.is_symlink()
        if not (hidden or beside or released):
            found.append(Finding(path, "the file", "has no place among releases", "remove it"))
    return found


def findings(release: Release, listed: list[Aborted]) -> list[Finding]:
    """What one release breaks beside the rules of its own files: those of history, if its files can be read."""
    found = []
    if release.model not in config.names():
        retire = f"restore the folder, or retire the release with `git rm -r {release.folder}`"
        found.append(Finding(release.folder, f"models/{release.model}", "is gone while this release runs it", retire))
    if not release.readable:
        return found  # the rules of the files have reported why
    found += check_aborted(release, listed) + check_onnx(release) + check_lock(release)
    if wrong := step.unjudged(release, introduced(release) or "HEAD"):
        fix = f"`python -m deploy rollback {release.model} --environment {release.environment}`"
        found.append(Finding(release.folder / "kustomization.yaml", release.version, wrong, fix))
    if release.environment == "production" and not staged(release):
        fix = f"roll back, or promote through staging: `python -m deploy promote {release.model} --to production`"
        wrong = "staging never had these bytes of passport, resources and documents, by any commit up to this release's"
        found.append(Finding(release.folder / "passport.yaml", release.version, wrong, fix))
    return found


def images_of_two_models(releases: list[Release]) -> list[Finding]:
    """An image is one model's: not the same digest as another's, nor a name that is another's."""
    found, owners = [], dict[str, Release]()
    for each in filter(lambda release: release.readable, releases):
        owner = owners.setdefault(each.image.digest, each)
        fix = "promote each model with the image that was built of it"
        if owner.model != each.model:
            wrong = f"{each.image.digest} is also the image of {owner.folder}, another model"
            found.append(Finding(each.folder / "passport.yaml", "image.digest", wrong, fix))
        if named := each.image.of_another(each.model):
            wrong = f"{each.image.name} is named after models/{named}, another model"
            found.append(Finding(each.folder / "passport.yaml", "image.name", wrong, fix))
    return found


def check_aborted(release: Release, listed: list[Aborted]) -> list[Finding]:
    """Production runs none. Staging may still hold what production aborted since, but not what was aborted before."""
    if release.environment == "staging" and (commit := introduced(release)):
        listed = aborted.at(commit)
    if (abort := aborted.find(release.image.digest, listed)) is None:
        return []
    fix = f"`python -m deploy rollback {release.model} --environment {release.environment}`, or promote a newer model"
    wrong = f"{release.image.digest} is on the list of aborted digests ({abort.reason})"
    return [Finding(release.folder / "passport.yaml", "image.digest", wrong, fix)]


def check_onnx(release: Release) -> list[Finding]:
    """With `storage: git` history holds the bytes that the passport speaks of; a DVC remote is not asked here."""
    if release.model not in config.names():
        return []
    model, onnx = config.load(release.model, check_columns=False), release.passport.content.get("onnx", "")
    if model.storage != "git":
        return []
    try:
        champion.blob(model, onnx)
    except Refusal:
        wrong = f"no commit has a {model.onnx} with this SHA-256 ({onnx[:12]})"
        fix = "commit the model that was released, or promote the committed one"
        return [Finding(release.folder / "passport.yaml", "content.onnx", wrong, fix)]
    return []


def check_lock(release: Release) -> list[Finding]:
    """The commit that the image was built of must hold what its own sources make, by its own lock."""
    commit, path = release.image.commit, f"models/{release.model}/dvc.lock"
    if commit is None or not (held := blobs(commit, [path])):
        return []
    stages = (parse_yaml(held[path]) or {}).get("stages") or {}
    named = {dep["path"] for stage in stages.values() for dep in stage.get("deps") or []}
    wanted = [path, f"models/{release.model}/model.yaml", *sorted(named), *(f"{each}.dvc" for each in sorted(named))]
    tree = blobs(commit, wanted)
    fix = f"`python -m deploy rollback {release.model} --environment {release.environment}`, or promote a newer model"
    return [
        Finding(release.folder / "passport.yaml", "image.commit", f"{commit[:10]} held another model: {finding}", fix)
        for finding in lock.faults(release.model, tree.get)[:1]
    ]


def staged(release: Release) -> bool:
    """Whether staging had the same passport, resources and documents at the commit of this release or before."""
    until = introduced(release) or "HEAD"
    had = (each.release for each in history.entries("staging", release.model, until))
    same = (each for each in had if release.runs_the_same_as(each))
    return any(all(release.files.get(name) == each.files.get(name) for name in DOCUMENTS) for each in same)


def introduced(release: Release) -> str | None:
    """The commit that brought the release; None if it is not committed."""
    if history.uncommitted(release.folder):
        return None
    # Git follows the parent that has the same files, so a merge that only kept the release is not named.
    return git("rev-list", "-1", "HEAD", "--", str(release.folder)).decode().strip() or None
