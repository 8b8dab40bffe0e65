"""Releases that are pushed and proposed: on top of the newest main, with the text that a person decides by."""

from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from deploy.checks import difference
from deploy.lib import fork
from deploy.lib.release import DOCUMENTS
from repo.lib import origin
from tests.conftest import Once
from tests.deploy.conftest import Grow
from tests.deploy.tree import MODEL, Answer, Tree, content, digest, folder, gate_names, image, passed, refused
from tests.github.hub import Hub
from tests.support import gh, specimens, trees
from tests.support.process import signals_kept
from tests.support.repository import ROOT, commit, git

IMAGE, OTHER = image("b"), image("d")
COMPARED = difference.compared  # which the fixture `share` replaces


class Shared(Tree):
    """The tree with an origin, whose main others change, and `gh`; answers of verbs and what is on origin."""

    origin: Path
    hub: Hub

    def push(self) -> Answer:
        return self.deploy("promote", "specimen_delay", "--to", "staging", "--image", IMAGE, "--push")

    def on(self, branch: str, *words: str) -> str:
        return git(*(word.format(branch) for word in words), root=self.origin)

    def files(self, branch: str) -> set[str]:
        """What its last commit changed."""
        return set(self.on(branch, "diff", "--name-only", "{0}~1", "{0}").splitlines())

    def body(self) -> str:
        return str(self.hub.own()["body"])

    def elsewhere(self, path: Path | str, text: str) -> None:
        """Somebody else's commit on main."""
        other = self.origin.parent / "other"
        git("clone", "--quiet", str(self.origin), str(other))
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        (other / path).write_text(text)
        commit(other)
        git("push", "--quiet", root=other)


def make_shared(grown: Grow, place: Path) -> Shared:
    trees.copy(grown("a"), place / "repository")
    trees.copy(ROOT / "deploy/argocd", place / "repository/deploy/argocd")  # fork.yaml has what base is rendered with
    specimens.address(place / "repository", (ROOT / fork.FORK).read_text())
    commit(place / "repository")
    git("clone", "--quiet", "--bare", "repository", "origin", root=place)
    git("remote", "add", "origin", str(place / "origin"), root=place / "repository")
    return Shared(None)


def make_built(grown: Grow, place: Path) -> Shared:
    tree = make_shared(grown, place)
    with chdir(place / "repository"):
        gates = [{"name": name, "limit": "l", "value": "v", "verdict": "pass", "reason": None} for name in gate_names()]
        next(gate for gate in gates if gate["name"] == "champion")["reason"] = "+0.01 on the same rows"
        tree.build("b", gates=gates, champion={"version": "0" * 12})
        tree.git("push", "--quiet", "origin", "HEAD:main")
    return tree


def make_twice(grown: Grow, place: Path) -> Shared:
    tree = make_built(grown, place)
    with chdir(place / "repository"), signals_kept():
        assert tree.push().code == 0
        tree.git("pull", "--quiet", "origin", "main")
        tree.promote("production")
        tree.commit()
        tree.git("push", "--quiet", "origin", "HEAD:main")
    return tree


Make = Callable[[Grow, Path], Shared]


@pytest.fixture
def share(
    once: Once, grown: Grow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[Make], Shared]]:
    """A clone as current directory and its origin beside it, copied from those that `make` makes once."""
    hub = gh.install(tmp_path / "bin", monkeypatch)
    hub.strangers("release/staging", "promote/specimen_delay", "rollback/production/specimen_delay")
    monkeypatch.setattr(origin, "LONGEST_PAUSE", 0)
    monkeypatch.setattr(difference, "compared", lambda _: ([], []))  # the decision renders before and after

    def share(make: Make) -> Shared:
        made = once(make.__name__, lambda place: make(grown, place))
        monkeypatch.chdir(trees.copy(made, tmp_path / "place") / "repository")
        tree = Shared(capsys)
        tree.origin, tree.hub = tmp_path / "place/origin", hub
        tree.git("remote", "set-url", "origin", str(tree.origin))
        return tree

    with signals_kept():
        yield share
    hub.demand_untouched()


@pytest.fixture
def shared(share: Callable[[Make], Shared]) -> Shared:
    """With one release in both environments."""
    return share(make_shared)


@pytest.fixture
def built(share: Callable[[Make], Shared]) -> Shared:
    """With a second model that is merged and judged, and not yet released."""
    return share(make_built)


def test_staging_is_pushed_with_its_files_alone_and_the_clone_stays_as_it_is(built: Shared) -> None:
    before, head = content(folder("staging")), built.git("rev-parse", "HEAD")
    answer = passed(built.push())
    assert f"pushed: {built.on('main', 'rev-parse', '{}')}" in answer.out
    where = str(folder("staging"))
    assert built.files("main") == changed(where)
    passport = yaml.safe_load(built.on("main", "show", f"{{}}:{where}/passport.yaml"))
    assert passport["image"]["commit"] == head
    assert "git add" not in answer.out, "it is committed"
    assert content(folder("staging")) == before
    assert built.git("status", "--porcelain") == ""


def test_pushed_twice_it_changes_nothing(built: Shared) -> None:
    built.push()
    tip = built.on("main", "rev-parse", "{}")
    assert "nothing to release of specimen_delay: staging has it" in passed(built.push()).out
    other = built.deploy("promote", "specimen_delay", "--to", "staging", "--image", OTHER, "--push")
    assert "nothing to release of specimen_delay: staging has it" in passed(other).out, "of two runs the first stands"
    assert built.on("main", "rev-parse", "{}") == tip


def test_it_stands_aside_for_a_newer_commit_of_the_same_model(built: Shared) -> None:
    built.elsewhere(MODEL / "network.py", "layers = 2\n")
    tip = built.on("main", "rev-parse", "{}")
    assert "main has another specimen_delay" in passed(built.push()).out
    assert built.on("main", "rev-parse", "{}") == tip


def test_where_main_is_closed_it_is_proposed(built: Shared) -> None:
    hook = built.origin / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    closed = "GH013: Repository rule violations found"
    hook.write_text(f"#!/bin/sh\nread old new name\n[ $name != refs/heads/main ] || {{ echo {closed}; exit 1; }}\n")
    hook.chmod(0o755)
    answer = passed(built.push())
    assert "origin lets nobody push to main" in answer.out
    assert built.hub.own()["html_url"] in answer.out
    assert built.files("release/staging") == changed(str(folder("staging")))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "production", "--push"], "--push is for staging"),
        (["--to", "staging", "--image", IMAGE, "--propose"], "--propose is for production"),
        (["--to", "staging", "--push"], "--image is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(built: Shared, words: list[str], told: str) -> None:
    refused(built.deploy("promote", "specimen_delay", *words), told)


def test_a_commit_that_main_has_not_is_not_pushed(built: Shared) -> None:
    Path("README.md").write_text("mine\n")
    built.commit()
    assert built.push().code == 0, "it changes nothing of the model"
    built.build("c")
    answer = built.deploy("promote", "specimen_delay", "--to", "staging", "--image", image("c"), "--push")
    assert (answer.code, "main has another specimen_delay" in answer.out + answer.error) == (0, True)


def changed(where: str) -> set[str]:
    return {f"{where}/{name}" for name in ("kustomization.yaml", "passport.yaml", *DOCUMENTS)}


def propose(tree: Shared, *more: str) -> Answer:
    return tree.deploy("promote", "specimen_delay", "--to", "production", "--propose", *more)


def test_production_is_proposed_with_its_files_and_the_decision(built: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    built.push()
    monkeypatch.setattr(difference, "compared", COMPARED)
    passed(propose(built))
    where = str(folder("production"))
    assert built.files("promote/specimen_delay") == changed(where)
    staged = yaml.safe_load(built.on("main", "show", "{}:deploy/releases/staging/specimen_delay/passport.yaml"))
    version = staged["version"]
    assert built.hub.own()["title"] == f"Promote specimen_delay {version} to production"
    body = built.body()
    for told in (
        "what staging runs, byte for byte",
        "0.7500 (0.7400 to 0.7600)",
        f"{len(yaml.safe_load(Path('models/specimen_delay/build/passport.yaml').read_text())['gates'])} of",
        "No cluster reported that staging is healthy",
        "python -m deploy rollback specimen_delay --environment production --propose",
        "a canary walks",
        "production/specimen_delay (canary)",
        "The gate `champion` compared both: +0.01 on the same rows.",
    ):
        assert told in body, told


def test_what_the_cluster_told_of_staging_is_in_the_decision(built: Shared) -> None:
    """By the name that the model has there."""
    built.push()
    words = ("--to", "production", "--propose", "--verified", IMAGE)
    assert built.deploy("promote", "specimen-delay", *words).code == 0
    assert "its rollout in staging is complete and healthy" in built.body()


def test_of_a_release_that_staging_left_nothing_is_proposed(built: Shared) -> None:
    built.push()
    assert "nothing to propose" in passed(propose(built, "--verified", OTHER)).out
    assert built.on("main", "branch", "--list", "promote/*") == ""


def roll_back(tree: Shared, *more: str) -> Answer:
    return tree.deploy("rollback", "specimen_delay", "--environment", "production", "--propose", *more)


@pytest.fixture
def twice(share: Callable[[Make], Shared]) -> Shared:
    """Both releases were in production, on origin's main."""
    return share(make_twice)


def test_a_rollback_is_proposed_with_its_reason_and_digest(twice: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "compared", COMPARED)
    passed(roll_back(twice, "--reason", "its rollout `was` aborted", "--to", ""))
    branch, where = "rollback/production/specimen_delay", str(folder("production"))
    listed = "deploy/releases/aborted.yaml"
    assert twice.files(branch) == {*changed(where), listed}
    assert digest("b") in twice.on(branch, "show", f"{{}}:{listed}")
    earlier = twice.on("main", "log", "--format=%H", "{}", "--", where).split()[-1]
    restored, first = (twice.on(each, "show", f"{{}}:{where}/passport.yaml") for each in (branch, earlier))
    assert restored == first
    assert "**Why:** its rollout &#96;was&#96; aborted" in twice.body()
    assert "production/specimen_delay (canary)" in twice.body()
    assert twice.git("status", "--porcelain") == ""


def test_an_abort_of_what_production_left_proposes_nothing(twice: Shared) -> None:
    assert "nothing to roll back" in passed(roll_back(twice, "--aborted", OTHER)).out
    assert roll_back(twice, "--aborted", IMAGE).code == 0
    assert twice.on("main", "branch", "--list", "rollback/*")


def test_what_was_rolled_back_is_not_promoted_as_another_build_of_the_same(twice: Shared) -> None:
    assert twice.deploy("rollback", "specimen_delay", "--environment", "staging").code == 0
    twice.commit()
    answer = twice.deploy("promote", "specimen_delay", "--to", "staging", "--image", OTHER)
    assert (answer.code, "an image of this very version was aborted" in answer.error) == (2, True)
    twice.git("push", "--quiet", "origin", "HEAD:main")
    answer = twice.deploy("promote", "specimen_delay", "--to", "staging", "--image", OTHER, "--push")
    told = "nothing to release of specimen_delay: what this commit has was rolled back"
    assert (answer.code, told in answer.out) == (0, True)


def test_a_rollback_closes_the_promotion_that_is_open(twice: Shared) -> None:
    """And one that keeps the image says so."""
    number = twice.hub.propose("promote/specimen_delay")
    passed(roll_back(twice, "--keep"))
    assert "what is left can be promoted again" in twice.body()
    assert "deploy/releases/aborted.yaml" not in twice.files("rollback/production/specimen_delay")
    closed = twice.hub.pull(number)
    assert closed["state"] == "closed"
    assert closed["comments"][0].startswith("specimen_delay is being rolled back")


def test_a_first_release_was_compared_with_nothing(shared: Shared) -> None:
    gates = [{"name": name, "limit": "l", "value": "v", "verdict": "pass", "reason": "r"} for name in gate_names()]
    shared.build("b", gates=gates)
    shared.git("push", "--quiet", "origin", "HEAD:main")
    assert shared.push().code == 0
    assert propose(shared).code == 0
    assert "compared both" not in shared.body()
