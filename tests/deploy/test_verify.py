"""Verify finds every edit by hand and every break of the rules, and names file, object and fix.

What releases render to is left out here: test_verify_rendering.py.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import check
from deploy.lib import kustomization, release
from models.lib import passport
from tests.deploy.tree import MODEL, Tree, content, digest, folder, passed, refused

ABORTED = Path("deploy/releases/aborted.yaml")
RENDERED = "Nothing was rendered.\n"  # by the fixture `tree`
PRODUCTION, STAGING = folder("production"), folder("staging")


def test_no_release_yet_passes(tree: Tree) -> None:
    answer = tree.deploy("verify")
    assert (answer.code, answer.out) == (0, f"No release yet to hold against the rules.\n{RENDERED}")


def test_what_promote_wrote_passes_committed_or_not(released: Tree) -> None:
    released.build("newer")
    released.promote("staging", "b")
    answer = released.deploy("verify")
    said = f"Every release keeps the rules: 1 in staging, 1 in production.\n{RENDERED}"
    assert (answer.code, answer.out) == (0, said)


def test_production_may_have_what_staging_had_before(released: Tree) -> None:
    released.release("b", "staging")
    assert released.deploy("verify").code == 0


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def forge(environment: str, old: str, new: str) -> None:
    """Edit the passport, and the hash of it in kustomization.yaml with it, as one who knows the code would."""
    record = (folder(environment) / "passport.yaml").read_bytes()
    assert old.encode() in record
    compose(environment, record.replace(old.encode(), new.encode()))


def compose(environment: str, record: bytes) -> None:
    resources = (folder(environment) / "resources.yaml").read_bytes()
    release.write(kustomization.compose(environment, "specimen_delay", record, resources))


def rewrite(**changes: Callable[[dict[str, Any]], object]) -> None:
    """The same of staging, by key of its passport."""
    record = yaml.safe_load((STAGING / "passport.yaml").read_bytes())
    for key, change in changes.items():
        record[key] = change(record)
    compose("staging", yaml.safe_dump(record, sort_keys=False).encode())


def drop_gate() -> None:
    rewrite(gates=lambda record: [gate for gate in record["gates"] if gate["name"] != "parity"])


def link_to_nothing() -> Path:
    link = Path("link")
    link.symlink_to("nothing")
    return link


def other_onnx() -> None:
    """A passport that fits its content, but whose model no commit ever had."""
    content = lambda record: record["content"] | {"onnx": "0" * 64}  # noqa: E731
    rewrite(content=content, version=lambda record: passport.version(record["content"]))


def swap(path: Path, old: str, new: str, named: str, at: str = "") -> tuple[Callable[[], object], Path, str]:
    """An edit of `path`, and what is said of it, or of the file `at` beside it."""
    return lambda: replace(path, old, new), path.with_name(at) if at else path, named


UNREACHABLE = "pods cannot take 25 % of traffic, a step of deploy/base/rollout.yaml; roll back or promote again"
STRANGE = "has no place among releases"
FOLLOWS = "does not follow from"
HAD = "staging never had these bytes"
WRITTEN, PASSED, SIZED = "kustomization.yaml", "passport.yaml", "resources.yaml"
LISTED = f"- {{digest: {digest('a')}, model: specimen_delay, reason: slow}}\n"
OTHER = Path("deploy/releases/prod/specimen_delay")
EDITS: dict[str, tuple[Callable[[], object], Path, str]] = {
    "another digest": swap(STAGING / WRITTEN, digest("a"), digest("b"), f"images: {FOLLOWS}"),
    "a tag": swap(STAGING / WRITTEN, f"digest: {digest('a')}", "newTag: latest", f"images: {FOLLOWS}"),
    "one more patch": swap(PRODUCTION / WRITTEN, "patches:", "patches:\n  - path: more.yaml", f"patches: {FOLLOWS}"),
    "one more field": swap(PRODUCTION / WRITTEN, "images:", "nameSuffix: -2\nimages:", f"nameSuffix: {FOLLOWS}"),
    "a broken kustomization": (lambda: (STAGING / WRITTEN).write_text("{"), STAGING / WRITTEN, FOLLOWS),
    "a better metric": swap(STAGING / PASSED, "0.74", "0.745", f"patches: {FOLLOWS}", WRITTEN),
    "a broken passport": (lambda: (STAGING / PASSED).write_text("{"), STAGING / PASSED, "not YAML"),
    "a passport without image": (
        lambda: (STAGING / PASSED).write_bytes((MODEL / "build/passport.yaml").read_bytes()),
        STAGING / PASSED,
        "image is missing",
    ),
    "a digest that is none": swap(STAGING / PASSED, digest("a"), "sha256:abc", "image.digest"),
    "another version": (
        lambda: forge("staging", "version: ", "version: 0123456789ab #"),
        STAGING / PASSED,
        "version: 0123456789ab does not fit the content",
    ),
    "a gate taken out": (drop_gate, STAGING / PASSED, "gate parity: is missing"),
    "a model that Git never had": (other_onnx, STAGING / PASSED, "content.onnx: no commit has"),
    "other replicas": swap(PRODUCTION / SIZED, "value: 4", "value: 8", f"patches: {FOLLOWS}", WRITTEN),
    "unreachable replicas": swap(PRODUCTION / SIZED, "value: 4", "value: 3", f"/spec/replicas: 3 {UNREACHABLE}"),
    "a passport that staging never had": (lambda: forge("production", "0.74", "0.745"), PRODUCTION / PASSED, HAD),
    "an image that staging never had": (
        lambda: forge("production", digest("a"), digest("b")),
        PRODUCTION / PASSED,
        HAD,
    ),
    "the image of another model": (
        lambda: shutil.copytree(STAGING, STAGING.with_name("another")),
        STAGING / PASSED,
        f"image.digest: {digest('a')} is also the image of deploy/releases/staging/another",
    ),
    "an aborted digest": (
        lambda: ABORTED.write_text(LISTED),
        PRODUCTION / PASSED,
        f"image.digest: {digest('a')} is on the list of aborted digests (slow)",
    ),
    "a broken list": (lambda: ABORTED.write_text("{"), ABORTED, "the list"),
    "no list": (ABORTED.unlink, ABORTED, "is missing"),
    "a missing file": ((PRODUCTION / SIZED).unlink, PRODUCTION / SIZED, "the file: is missing"),
    "a strange file": (lambda: (PRODUCTION / "more.yaml").write_text(""), PRODUCTION / "more.yaml", STRANGE),
    "a strange environment": (lambda: os.renames(PRODUCTION, OTHER), OTHER / PASSED, STRANGE),
    "a link": (lambda: link_to_nothing().replace(PRODUCTION / SIZED), PRODUCTION / SIZED, STRANGE),
    "no model folder": (lambda: os.renames(MODEL, "elsewhere"), PRODUCTION, "is gone while this release runs it"),
}


@pytest.mark.parametrize(
    ("edit", "committed"), [*((edit, True) for edit in EDITS), ("another digest", False), ("an aborted digest", False)]
)
def test_an_edit_by_hand_is_found(released: Tree, edit: str, committed: bool) -> None:
    change, file, named = EDITS[edit]
    change()
    if committed:
        released.commit()
    answer = released.deploy("verify")
    assert answer.code == 1
    lines = answer.out.removesuffix(RENDERED).splitlines()
    assert any(line.startswith(f"{file}: ") and named in line for line in lines), answer.out
    # Each says its path and its fix once.
    assert all(line.count(line.split(": ")[0] + ":") == line.count("; ") == 1 for line in lines[:-1]), answer.out
    assert lines[-1].startswith(f"Faults: {len(lines) - 1}. Releases: ")


@pytest.mark.parametrize("kept", release.FILES)
@pytest.mark.parametrize("older", [True, False])
def test_a_release_whose_files_are_of_two_is_found(released: Tree, kept: str, older: bool) -> None:
    """Each of the three is of the release before while the others are not, and the other way round."""
    before = content(STAGING)
    replace(MODEL / "resources.yaml", "value: 4", "value: 8")
    released.release("b", "staging")
    mixed = {name: before[name] for name in before if (name == kept) == older}
    for name, data in mixed.items():
        (STAGING / name).write_bytes(data)
    assert f"{STAGING}/kustomization.yaml: " in released.deploy("verify").out
    released.git("checkout", "--", str(STAGING))
    assert released.deploy("verify").code == 0


def test_staging_may_keep_what_production_aborted_since(released: Tree) -> None:
    """Otherwise every rollback of production would leave a released that cannot be merged."""
    released.release("b", "staging", "production")
    assert released.deploy("rollback", "specimen_delay", "--environment", "production").code == 0
    assert released.deploy("verify").code == 0
    released.commit()
    assert released.deploy("verify").code == 0


def test_staging_may_not_be_given_what_was_aborted_before(tree: Tree) -> None:
    tree.release("a", "staging")
    bad = tree.git("rev-parse", "HEAD")
    tree.release("b", "staging")
    ABORTED.write_text(LISTED)
    tree.commit()
    tree.git("checkout", bad, "--", str(STAGING))
    assert "aborted digests" in tree.deploy("verify").out
    tree.commit()
    assert "aborted digests" in tree.deploy("verify").out


def test_a_gate_that_is_new_judges_only_later_passports(released: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.lib.rules.required_gates", lambda _: ["roc_auc", "new"])
    passed(released.deploy("verify"))
    replace(STAGING / "passport.yaml", "- behaviour\n", "- behaviour\n- new\n")
    assert "gate new: is missing" in released.deploy("verify").out
    released.git("checkout", "--", str(STAGING))
    assert "gate new: is missing" in released.promote("production").error


def test_a_branch_that_took_in_main_knows_what_staging_had_there(tree: Tree) -> None:
    """Its own line of commits sees one merge, after which staging is already ahead of production."""
    tree.git("branch", "side")
    tree.release("a", "staging", "production")
    tree.release("b", "staging")
    tree.git("checkout", "--quiet", "side")
    tree.git("merge", "--quiet", "--no-ff", "--no-edit", "main")
    assert tree.deploy("verify").code == 0


def test_a_squashed_pull_request_keeps_the_rules(tree: Tree) -> None:
    tree.git("checkout", "--quiet", "-b", "side")
    tree.release("a", "staging", "production")
    tree.git("checkout", "--quiet", "main")
    tree.git("merge", "--quiet", "--squash", "side")
    tree.commit()
    assert tree.deploy("verify").code == 0


def test_staging_must_have_had_it_first(released: Tree) -> None:
    """A release that reaches staging only after production was not tried there."""
    forge("production", "0.74", "0.745")
    released.commit()
    forge("staging", "0.74", "0.745")
    released.commit()
    assert "staging never had these bytes" in released.deploy("verify").out


def test_a_shallow_clone_is_refused_with_the_fix(released: Tree) -> None:
    released.git("clone", "--quiet", "--depth=1", Path.cwd().as_uri(), "../shallow")
    os.chdir("../shallow")
    for verb in (["verify"], ["rollback", "specimen_delay", "--environment", "production"]):
        refused(released.deploy(*verb), "`git fetch --unshallow`")


def test_hidden_files_are_let_be(released: Tree) -> None:
    (PRODUCTION / ".DS_Store").write_text("")
    Path("deploy/releases/.gitkeep").write_text("")
    assert released.deploy("verify").code == 0


def test_merging_a_branch_older_than_a_rolled_back_release_is_no_fault(three: Tree) -> None:
    assert three.deploy("rollback", "specimen_delay", "--environment", "production").code == 0
    three.commit()
    branch = three.git("rev-parse", "--abbrev-ref", "HEAD").strip()
    three.git("checkout", "--quiet", "-b", "older", three.git("rev-list", "--max-parents=0", "HEAD").strip())
    Path("note.txt").write_text("nothing of a release\n")
    three.commit()
    three.git("checkout", "--quiet", branch)
    three.git("merge", "--quiet", "--no-ff", "--no-edit", "older")
    assert three.deploy("verify").code == 0


@pytest.mark.parametrize(("github", "code"), [("true", 2), ("", 0)])
def test_a_schema_that_is_missing_is_no_pass_where_a_merge_depends_on_it(
    released: Tree, monkeypatch: pytest.MonkeyPatch, github: str, code: int
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", github)
    monkeypatch.setattr(check, "everything", lambda _: check.Outcome([], "Rendered.", {"Rollout": "no route"}))
    answer = released.deploy("verify")
    assert (answer.code, "a check that was skipped is not a pass" in answer.error) == (code, code == 2)
    assert "Rollout (no route)" in answer.out
