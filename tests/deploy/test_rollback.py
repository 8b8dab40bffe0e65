"""A rollback restores what was, remembers what was left, and says what the cluster will do."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from deploy.lib import history, release, rules
from tests.deploy.tree import MODEL, Answer, Tree, content, digest, folder, passed, refused
from tests.support import trees

PRODUCTION = folder("production")
ABORTED = Path("deploy/releases/aborted.yaml")


def roll_back(tree: Tree, *more: str) -> Answer:
    return tree.deploy("rollback", "specimen_delay", "--environment", "production", *more)


def aborted() -> list[str]:
    return [entry["digest"] for entry in yaml.safe_load(ABORTED.read_text())]


def had() -> list[tuple[str, dict[str, bytes]]]:
    """Version and files of each release of production, oldest first."""
    entries = [entry.release for entry in history.entries("production", "specimen_delay")]
    return [(each.version, without_comparison(each.files)) for each in reversed(entries)]


def kept() -> dict[str, bytes]:
    """What production has; its kustomization.yaml also says what it is compared with, which is another release now."""
    return without_comparison(content(PRODUCTION))


def without_comparison(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name != "kustomization.yaml"}


def test_rollback_restores_the_release_before_byte_for_byte(three: Tree) -> None:
    before = had()
    head = three.git("rev-parse", "HEAD")
    answer = passed(roll_back(three))
    assert kept() == before[1][1]
    assert f"{before[2][0]} → {before[1][0]}" in answer.out
    assert three.git("rev-parse", "HEAD") == head


def test_what_was_rolled_back_is_aborted_with_its_reason(three: Tree) -> None:
    left = release.read("production", "specimen_delay")
    assert left
    roll_back(three, "--reason", "errors: 3 % of requests")
    assert yaml.safe_load(ABORTED.read_text()) == [
        {
            "digest": digest("c"),
            "model": "specimen_delay",
            "reason": "errors: 3 % of requests",
            "version": left.version,
        }
    ]
    assert ABORTED.read_text().startswith("# a comment\n")
    three.commit()
    refused(three.promote("production"), "errors: 3 % of requests")


def test_keep_leaves_the_digest_promotable(three: Tree) -> None:
    before = had()
    assert roll_back(three, "--keep").code == 0
    assert (aborted(), kept()) == ([], before[1][1])
    three.commit()
    assert three.promote("production").code == 0


def test_a_second_rollback_goes_further_back_past_what_was_aborted(three: Tree) -> None:
    before = had()
    roll_back(three)
    three.commit()
    assert roll_back(three).code == 0
    assert kept() == before[0][1]
    assert aborted() == [digest("c"), digest("b")]
    three.commit()
    refused(roll_back(three), "every earlier release")


def test_a_version_can_be_named(three: Tree) -> None:
    before = had()
    assert roll_back(three, "--to", before[0][0]).code == 0
    assert kept() == before[0][1]
    assert three.deploy("verify").code == 0


def test_a_version_that_is_unknown_or_aborted_is_refused_and_so_is_what_is_not_committed(three: Tree) -> None:
    before = had()
    answer = roll_back(three, "--to", "0123456789ab")
    assert answer.code == 2
    assert answer.error.index(before[1][0]) < answer.error.index(before[0][0]), "the known ones, newest first"
    assert kept() == before[2][1]
    roll_back(three)
    three.commit()
    refused(roll_back(three, "--to", before[2][0]), "aborted digests")
    trees.append(PRODUCTION / "resources.yaml", "# edited\n")
    refused(roll_back(three), "resources.yaml: not committed")


def test_nothing_earlier_is_refused(tree: Tree) -> None:
    refused(roll_back(tree), "has no release")
    tree.release("a", "staging", "production")
    refused(roll_back(tree), "so there is no way back")


def test_a_first_release_that_is_not_committed_can_only_be_committed_or_removed(tree: Tree) -> None:
    tree.release("a", "staging")
    assert tree.promote("production").code == 0
    refused(roll_back(tree), f"commit it, or drop it with `rm -r {PRODUCTION}`")
    tree.commit()
    trees.append(PRODUCTION / "resources.yaml", "# edited\n")
    assert f"commit it, or drop it with `git checkout HEAD -- {PRODUCTION}`" in roll_back(tree).error


def test_a_broken_rollout_lets_nothing_be_written(three: Tree) -> None:
    before = kept()
    Path("deploy/base/rollout.yaml").write_text("spec: {}\n")
    refused(roll_back(three), "rollout.yaml: spec.strategy")
    assert (kept(), aborted()) == (before, [])


def test_other_settings_of_the_same_image_are_rolled_back_without_aborting_it(released: Tree) -> None:
    before = kept()
    resources = MODEL / "resources.yaml"
    resources.write_text(resources.read_text().replace("value: 4", "value: 8"))
    released.release("a", "staging", "production")
    assert kept() != before
    assert roll_back(released).code == 0
    assert (kept(), aborted()) == (before, [])


def test_a_release_that_cannot_be_read_can_be_rolled_back(three: Tree) -> None:
    before = had()
    (PRODUCTION / "passport.yaml").write_text("{")
    three.commit()
    assert roll_back(three).code == 0
    assert (kept(), aborted()) == (before[2][1], [])


def test_an_earlier_release_that_cannot_be_read_is_passed_over(three: Tree) -> None:
    before = had()
    (PRODUCTION / "passport.yaml").write_text("{")
    three.commit()
    three.git("checkout", "--quiet", "HEAD~1", "--", str(PRODUCTION))
    three.commit()
    assert roll_back(three).code == 0
    assert kept() == before[1][1]


def test_what_only_a_merged_branch_had_is_no_earlier_release(released: Tree) -> None:
    """The cluster follows main: a state in the middle of a pull request never ran."""
    ran = kept()
    released.git("checkout", "--quiet", "-b", "side")
    released.release("b", "staging", "production")
    released.release("c", "staging", "production")
    released.git("checkout", "--quiet", "main")
    released.git("merge", "--quiet", "--no-ff", "--no-edit", "side")
    assert roll_back(released).code == 0
    assert kept() == ran


def test_killed_between_two_writes_a_second_one_completes_it(three: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = had()

    def killed(_: release.Release) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deploy.lib.release.write", killed)
        assert roll_back(three).code == 130
    assert (kept(), aborted()) == (before[2][1], [digest("c")])
    assert "aborted digests" in three.deploy("verify").out
    assert roll_back(three).code == 0
    assert (kept(), aborted()) == (before[1][1], [digest("c")])
    assert three.deploy("verify").code == 0


def test_it_says_what_the_cluster_will_do(three: Tree) -> None:
    out = roll_back(three).out
    assert "goes straight to stable, without steps" in out
    assert "walks 25 → 50 → 75 → 100 %" in out
    assert "kubectl argo rollouts promote specimen-delay --namespace models-production --full" in out
    assert "git add deploy/releases" in out


def test_a_knative_service_gets_all_traffic_of_a_rollback_at_once(tree: Tree) -> None:
    """Its rollout of ten minutes would leave the bad revision with a share until then."""
    for letter in "ab":
        tree.build(letter, serving={"strategy": "serverless", "slow_ms": 5.0})
        for environment in release.ENVIRONMENTS:
            passed(tree.promote(environment, letter))
            tree.commit()
    passed(roll_back(tree))
    tree.commit()
    text = (PRODUCTION / "kustomization.yaml").read_text()
    assert text.count('/serving.knative.dev~1rollout-duration, value: "0s"}') == 1
    found = release.read("production", "specimen_delay")
    assert found is not None
    assert not rules.of_release(found, [])  # as `verify` writes it again
    assert "rollout-duration" not in (folder("staging") / "kustomization.yaml").read_text()
