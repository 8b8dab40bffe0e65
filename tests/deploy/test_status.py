"""Status shows every model in every environment, and what is not committed; so does the catalogue, its page."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from deploy.lib.fork import FORK
from tests.deploy.tree import MODEL, NAME, Tree, digest, folder, passed
from tests.support.browser import NARROW, WIDE, browser, needs_chromium
from tests.support.prometheus import filled, needs_promtool


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # a plain terminal must hold it
    for name in ("PROMETHEUS_URL", "GRAFANA_URL"):
        monkeypatch.delenv(name, raising=False)


def rows(text: str) -> dict[str, str]:
    """What is said of each environment, as one line."""
    found: dict[str, list[str]] = {}
    environment = ""
    for line in text.splitlines()[1:]:
        environment = next((name for name in ("staging", "production") if f" {name} " in line), environment)
        found.setdefault(environment, []).append(line)
    return {name: " ".join(" ".join(lines).split()) for name, lines in found.items()}


def test_an_environment_without_a_release_says_so(tree: Tree) -> None:
    answer = passed(tree.deploy("status"))
    assert "none yet" in rows(answer.out)["staging"]
    assert "none yet" in rows(answer.out)["production"]


def test_version_date_commit_and_metrics_are_shown(tree: Tree) -> None:
    version = tree.release("a", "staging")
    commit = tree.git("rev-parse", "HEAD")
    tree.commit()  # a later commit of something else is not what brought it
    said = rows(tree.deploy("status").out)["staging"]
    for part in (
        version,
        commit[:10],
        f"{datetime.now():%Y-%m-%d}",
        "ROC AUC 0.750",
        "(0.740-0.760)",
        "log-loss 0.750",
    ):
        assert part in said


def test_a_release_that_is_not_committed_is_marked(tree: Tree) -> None:
    tree.release("a", "staging")
    tree.promote("production")
    said = rows(tree.deploy("status").out)
    assert "not yet" in said["production"]
    assert "not yet" not in said["staging"]


def test_an_aborted_digest_is_marked(tree: Tree) -> None:
    tree.release("a", "staging")
    Path("deploy/releases/aborted.yaml").write_text(
        f"- {{digest: {digest('a')}, model: specimen_delay, reason: slow}}\n"
    )
    assert "aborted" in rows(tree.deploy("status").out)["staging"]


def test_a_release_that_cannot_be_read_hides_no_other(tree: Tree) -> None:
    version = tree.release("a", "staging", "production")
    (folder("staging") / "passport.yaml").write_text("{")
    said = rows(tree.deploy("status").out)
    assert "unreadable" in said["staging"]
    assert "deploy verify" in said["staging"]
    assert version in said["production"]


REPOSITORY = "https://github.com/team/fork"
PAGE = Path("deploy/build/status.html")


def page(tree: Tree) -> str:
    FORK.parent.mkdir(parents=True, exist_ok=True)
    FORK.write_text(f"data: {{repository: {REPOSITORY}}}\n")
    assert str(PAGE) in passed(tree.deploy("status", "--html")).out
    return PAGE.read_text()


def words(text: str) -> str:
    """What a person reads of it."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL).split())


def test_the_catalogue_has_what_each_environment_runs_and_links_to_more(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_URL", "https://user:password@grafana.example.org/")
    monkeypatch.setenv("PROMETHEUS_URL", "")  # as a workflow sets it where the variable is not there
    first = tree.release("a", "staging", "production")
    second = tree.release("b", "staging")
    settings = MODEL / "model.yaml"
    settings.write_text(
        re.sub(r"(?m)^description:.*$", "description: A <script>alert(1)</script> model", settings.read_text())
    )
    (MODEL / "build").mkdir(exist_ok=True)
    (MODEL / "build/report.html").touch()
    Path("deploy/releases/aborted.yaml").write_text(f"- {{digest: {digest('b')}, model: {NAME}, reason: slow}}\n")
    text = page(tree)
    said = words(text)
    for part in (
        *(
            f"{second} aborted",
            first,
            f"{datetime.now():%Y-%m-%d} 0 days",
            "ROC AUC 0.750 (0.740-0.760)",
            "Owner: trip planning",
        ),
        *("A &lt;script&gt;alert(1)&lt;/script&gt; model", "How they are now is not known"),
    ):
        assert part in said
    links = set(re.findall(r'(?:href|src)="([^"]*)"', text))
    assert links == {
        f"{REPOSITORY}/tree/main/{MODEL}",
        f"../../{MODEL}/build/report.html",
        *(f"{REPOSITORY}/blob/main/{folder(each)}/passport.yaml" for each in ("staging", "production")),
        *(
            f"https://grafana.example.org/d/one-model?var-namespace=models-{each}&amp;var-model={NAME}"
            for each in ("staging", "production")
        ),
    }, "it is one file, and loads nothing"


def test_the_catalogue_marks_what_cannot_be_read_and_what_is_not_committed(tree: Tree) -> None:
    tree.release("a", "staging")
    tree.promote("production")
    (folder("staging") / "passport.yaml").write_text("{")
    said = words(page(tree))
    assert "staging unreadable \u2013 see python -m deploy verify" in said
    assert "not yet committed" in said.partition("production")[2]


LONG = "a_feature_of_a_team_that_holds_no_space_" * 4


@contextmanager
def live(tree: Tree, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page of a model of which a Prometheus knows something."""
    version = tree.release("a", "staging", "production")
    own, rollout = f'namespace="models-production",model="{NAME}"', NAME.replace("_", "-")
    firing = 'alertstate="firing"'
    samples = [
        f'ALERTS{{alertname="ModelInputDrift",{firing},feature="{LONG}",{own}}} 1',
        f'ALERTS{{alertname="ModelQuality",alertstate="pending",{own}}} 1',
        f'ALERTS{{alertname="ModelCanaryWaiting",{firing},namespace="models-staging",rollout="{rollout}"}} 1',
        f'ml:quality{{{own},version="{version}",metric="roc_auc"}} 0.7',
        f'ml:quality{{{own},version="{version}",metric="brier"}} 0.2',
        f'ml:quality{{{own},version="old",metric="roc_auc"}} 0.6',
        f'ml:quality_labels{{{own},version="{version}"}} 1234',
        *(f'ml:quality_main{{{own},version="{each}",metric="roc_auc"}} 1' for each in (version, "old")),
    ]
    with filled("".join(f"{each} {time.time() - 60:.0f}\n" for each in samples), scratch / "prometheus") as address:
        monkeypatch.setenv("PROMETHEUS_URL", address)
        yield page(tree)


@needs_promtool
def test_the_catalogue_has_how_a_model_is_now(tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the version that runs, in its namespace."""
    with live(tree, tmp_path, monkeypatch) as text:
        _, staging, production = re.split(r" (?:staging|production) ", words(text))
    assert staging.endswith("ModelCanaryWaiting")
    assert production.endswith(f"ROC AUC 0.700 by 1234 labels of 7 days ModelInputDrift {LONG}")


@pytest.mark.slow
@needs_promtool
@needs_chromium
def test_nothing_of_the_catalogue_is_cut_at_any_width(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = MODEL / "model.yaml"
    settings.write_text(re.sub(r"(?m)^description:.*$", f"description: {LONG}", settings.read_text()))
    with live(tree, tmp_path, monkeypatch), browser() as opened:
        for width in (NARROW, WIDE):
            opened.open(PAGE, width)
            assert opened.beyond() == []
