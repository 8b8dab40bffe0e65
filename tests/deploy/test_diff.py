"""`deploy diff`: what a change does in the cluster, each difference once, and a report that fits into a comment."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

from deploy.checks import check, difference, kustomize, rendering
from deploy.checks.difference import Difference
from deploy.lib import fork, kustomization
from deploy.lib.release import Release
from tests.deploy.manifests import plant, releases, renders, specimen
from tests.deploy.tree import Tree, passed
from tests.support import specimens
from tests.support.repository import ROOT

REPORT = Path("deploy/build/diff.md")
PERIOD = ("deploy/base/rollout.yaml", "periodSeconds: 5", "periodSeconds: 6")
ASKED = ("diff", "--report", str(REPORT))


@pytest.fixture
def main(tree: Tree) -> Tree:
    """`tree` with every manifest on main, and a branch from there checked out; no release."""
    for name in rendering.MANIFESTS:
        shutil.copytree(ROOT / name, name, dirs_exist_ok=True)
    specimens.address(Path(), fork.FORK.read_text())
    tree.commit()
    tree.git("checkout", "--quiet", "-b", "change")
    return tree


@pytest.fixture
def four(main: Tree) -> Tree:
    """Two models released in both environments: specimen_0 by canary, specimen_1 by bluegreen."""
    keep(releases(4))
    main.commit()
    main.git("branch", "--force", "main")
    return main


@pytest.fixture
def plain(four: Tree) -> Tree:
    """`four` with the canary as only strategy and specimen_0 as only model: no specimen is rendered."""
    shutil.rmtree("deploy/strategies")
    shutil.rmtree("deploy/releases/staging/specimen_1")
    shutil.rmtree("deploy/releases/production/specimen_1")
    four.commit()
    four.git("branch", "--force", "main")
    return four


def keep(listed: Sequence[Release]) -> None:
    for each in listed:
        each.folder.mkdir(parents=True, exist_ok=True)
        for name, content in each.files.items():
            (each.folder / name).write_bytes(content)


def again(of: Release, digest: str) -> Release:
    """The release with another digest in its passport."""
    passport = of.files["passport.yaml"].replace(rendering.DIGEST.encode(), digest.encode())
    return kustomization.compose(of.environment, of.model, passport, of.files["resources.yaml"])


def titles(out: str) -> list[str]:
    return [line.removesuffix(":") for line in out.splitlines() if line.endswith(":") and line[0].isalpha()]


@renders
def test_a_change_that_the_cluster_does_not_see_is_one_line(plain: Tree) -> None:
    (Path("deploy/base/README.md")).write_text("words\n")
    answer = plain.deploy(*ASKED)
    assert (answer.code, answer.error) == (0, "")
    assert answer.out == f"Nothing changes in the cluster since {plain.git('rev-parse', 'main')[:10]}.\n"
    assert REPORT.read_text() == "## Manifests\n\nNothing changes in the cluster.\n\n"


@renders
def test_equal_releases_change_once_and_specimens_stand_for_the_rest(
    four: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Mock(wraps=kustomize.text)
    monkeypatch.setattr(kustomize, "text", text)
    plant(Path(), *PERIOD)
    answer = passed(four.deploy(*ASKED))
    assert text.call_count == 2, "each side is rendered by one call"
    assert titles(answer.out) == [
        "staging/specimen_0 (canary), and the same in staging/specimen_1 (bluegreen), production/specimen_0 (canary), "
        "production/specimen_1 (bluegreen), specimen staging/gateway, specimen production/gateway"
    ]
    assert "--- Rollout specimen-0 in models-staging\n+++ Rollout specimen-0 in models-staging\n@@" in answer.out
    assert answer.out.count("-          periodSeconds: 5\n+          periodSeconds: 6\n") == 1
    assert rendering.ORIGIN not in answer.out
    report = REPORT.read_text()
    assert "<details><summary>staging/specimen_0 (canary), and the same in staging/specimen_1 (bluegreen), " in report
    assert "\n```diff\n--- Rollout specimen-0 in models-staging\n" in report


@pytest.mark.slow
@renders
def test_a_change_of_one_strategy_or_environment_shows_there_only(four: Tree) -> None:
    shutil.rmtree("deploy/strategies/gateway")  # no specimen is rendered beside the releases
    four.commit()
    four.git("branch", "--force", "main")
    plant(Path(), "deploy/strategies/bluegreen/smoke.yaml", '"200"', '"300"')
    assert titles(four.deploy("diff").out) == [
        "staging/specimen_1 (bluegreen), and the same in production/specimen_1 (bluegreen)"
    ]
    four.git("checkout", "--quiet", "deploy")
    plant(Path(), "deploy/environments/production/kustomization.yaml", "kind:", "commonAnnotations: {owner: us}\nkind:")
    first, *_ = titles(four.deploy("diff").out)
    assert first.startswith("production/specimen_0")
    assert "staging" not in first


@renders
def test_another_version_shows_its_digest_and_renders_nothing_else(four: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = releases(4)[:2]
    texts = Mock(wraps=rendering.texts)
    monkeypatch.setattr(rendering, "texts", texts)
    keep([again(each, f"sha256:{letter * 64}") for each, letter in zip(listed, "67", strict=True)])
    out = four.deploy("diff").out
    assert titles(out) == ["staging/specimen_0 (canary)", "production/specimen_0 (canary)"]  # not the same: two digests
    for letter in "67":
        assert f"/specimen_0@sha256:{letter * 64}\n" in out
    assert [len(call.args[0]) for call in texts.call_args_list] == [2, 2]


@renders
def test_what_comes_and_what_goes_is_one_line_each(four: Tree) -> None:
    shutil.rmtree("deploy/releases/production/specimen_1")
    keep([each for each in releases(6) if (each.environment, each.model) == ("staging", "specimen_2")])
    answer = four.deploy(*ASKED)
    assert answer.out.splitlines() == [
        "staging/specimen_2: new release, gateway, version 0123456789ab",
        "production/specimen_1: no longer released, was bluegreen, version 0123456789ab",
    ]
    told = "- staging/specimen_2: new release, gateway, version 0123456789ab\n- "
    assert REPORT.read_text().startswith(f"## Manifests\n\n{told}")


@renders
def test_another_strategy_is_named_with_the_objects_that_come_and_go(four: Tree) -> None:
    of = specimen("staging", "gateway")
    files = {**of.files, "passport.yaml": of.files["passport.yaml"].replace(of.model.encode(), b"specimen_1")}
    keep([kustomization.compose("staging", "specimen_1", files["passport.yaml"], files["resources.yaml"])])
    out = four.deploy("diff").out
    assert titles(out) == ["staging/specimen_1 (bluegreen -> gateway)"]
    assert "--- nothing\n+++ HTTPRoute specimen-1 in models-staging\n" in out
    assert "+++ nothing\n" in out


@renders
def test_a_strategy_that_only_one_side_has_is_no_specimen(main: Tree) -> None:
    shutil.rmtree("deploy/strategies/gateway")
    main.commit()
    main.git("branch", "--force", "main")
    main.git("checkout", "--quiet", "HEAD~1", "--", "deploy/strategies/gateway")
    assert "Nothing changes" in main.deploy("diff").out


@pytest.mark.slow
@renders
def test_argo_cd_itself_is_rendered(four: Tree) -> None:
    plant(Path(), "deploy/argocd/fork.yaml", f"{specimens.REPOSITORY}\n", "https://github.com/specimens/moved\n")
    out = four.deploy("diff").out
    assert titles(out) == ["Argo CD itself (deploy/argocd)", "Kyverno's policies (deploy/argocd/policies)"]
    assert "+  - https://github.com/specimens/moved\n" in out
    plant(Path(), "deploy/argocd/kustomization.yaml", "  - appproject.yaml\n", "")
    assert "--- AppProject models in argocd\n+++ nothing\n" in four.deploy("diff").out


@renders
def test_a_side_that_cannot_be_rendered_is_named(plain: Tree) -> None:
    sound = Path("deploy/base/kustomization.yaml").read_text()
    plant(Path(), "deploy/base/kustomization.yaml", "  - podmonitor.yaml", "  - monitor.yaml")
    answer = plain.deploy(*ASKED)
    assert (answer.code, answer.out) == (2, "")
    assert answer.error.startswith("deploy diff: the working tree: ")
    plain.commit()
    plain.git("branch", "--force", "main")
    Path("deploy/base/kustomization.yaml").write_text(sound)
    answer = plain.deploy(*ASKED)
    assert (answer.code, answer.out, REPORT.exists()) == (2, "", False)
    assert f"deploy diff: {plain.git('rev-parse', 'main')[:10]}: " in answer.error
    assert "kustomize cannot render it" in answer.error
    assert "/commit-" not in answer.error


def test_names_of_a_release_make_no_other_difference() -> None:
    one, other = releases(4)[0], releases(4)[3]
    change = "--- Rollout {0} in models-{1}\n+++ the same\n {2}\n-  host: {0}-canary.models-{1}\n+  x: {3}"
    texts = [
        (one, change.format("specimen-0", "staging", "context", "y")),
        (other, change.format("specimen-1", "production", "another", "y")),
        (other, change.format("specimen-1", "production", "context", "z")),
    ]
    found = difference.grouped([((of, of), text) for of, text in texts])
    assert [len(each.names) for each in found] == [2, 1]


def test_many_that_are_the_same_are_counted() -> None:
    told = str(Difference([f"staging/m{number}" for number in range(30)], ""))
    assert told == f"staging/m0, and the same in {', '.join(f'staging/m{number}' for number in range(1, 9))}, 21 more"


def test_a_fence_in_a_manifest_does_not_end_the_block() -> None:
    text = difference.markdown("0" * 40, [], [Difference(["a<b>\n"], "+```\n+</details>\n+````")])
    assert "<summary>a&lt;b&gt; </summary>" in text
    assert text.count("\n`````diff\n") == text.count("\n`````\n") == 1


BASE = "0123456789" * 4
LINE = "+" + "x" * 99


@pytest.mark.parametrize(
    ("news", "found"),
    [
        (0, [Difference(["a"], "\n".join([LINE] * 1000))]),
        (0, [Difference([f"a{number}"], "\n".join([LINE] * 30)) for number in range(20)]),
        (0, [Difference(["a"], "+" + "`" * 30_000), Difference(["b"], LINE)]),
        (0, [Difference(["a"], "+" + "x" * 30_000)]),
        (1000, [Difference(["a"], LINE)]),
        (3, [Difference(["a" * 30_000], LINE)]),
    ],
    ids=["one long", "many", "a fence without end", "one line", "news and more", "a long name"],
)
def test_a_report_is_cut_to_what_fits_and_says_how_to_see_the_rest(news: int, found: list[Difference]) -> None:
    text = difference.markdown(BASE, ["staging/model: new release, canary"] * news, found)
    assert len(text) <= difference.LONGEST
    assert text.endswith("There is more than fits here: `python -m deploy diff --since 0123456789` prints it all.\n\n")
    assert "There is more" not in difference.markdown(BASE, [], [Difference(["a"], LINE)])
    assert text.count("<details>") == text.count("</details>") == text.count("diff\n") == text.count("``\n\n</details>")


def test_constants_that_follow_from_the_passport_do_not_hide_what_else_changes() -> None:
    """Nor are releases that differ in nothing else checked twice."""
    of = specimen("staging", "canary")
    before = of.files["monitoring.yaml"].decode()
    after = before.replace("vector(0.05)", "vector(0.06)")
    assert difference.difference(before, after) == ""
    assert check.canonical(of, before) == check.canonical(of, after) != check.canonical(of, before + "\n---\nmore: 1\n")
    assert "+  name: other\n" in difference.difference(before, before.replace("name: canary-specimen", "name: other"))
