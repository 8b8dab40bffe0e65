"""A release that walks by commits: a Prometheus is asked before each weight is written, and verify knows of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.lib import decision, kustomization, promise, release, weights
from deploy.lib.weights import Judged
from serving.runtime.telemetry import Telemetry
from tests.deploy.manifests import plant
from tests.deploy.tree import NAME, Answer, Tree, digest, folder, passed, refused
from tests.support.answers import SCORES
from tests.support.prometheus import filled, needs_promtool

CANARY = folder("production") / weights.FILE
SCRAPE, SCRAPES = 15, 40  # ten minutes
Arms = dict[str, str]  # by digest's letter: version


def give(tree: Tree, letter: str, strategy: str = "kserve") -> str:
    """Build, promote and commit a release; the version."""
    record = tree.build(letter, serving={"strategy": strategy, "slow_ms": 5.0})
    for environment in release.ENVIRONMENTS:
        passed(tree.promote(environment, letter))
        tree.commit()
    return str(record["version"])


@pytest.fixture
def walking(tree: Tree) -> Arms:
    """Production has "b" at the first weight, in the place of "a"."""
    return {letter: give(tree, letter) for letter in "ab"}


def step(tree: Tree, weight: int) -> Answer:
    return tree.deploy("promote", NAME, "--to", "production", "--weight", str(weight))


def at() -> weights.Weight | None:
    found = release.read("production", NAME)
    assert found is not None
    return found.weight


@contextmanager
def scraped(arms: Arms, requests: int, errors: float, where: Path) -> Iterator[str]:
    """A Prometheus that saw both arms for ten minutes, the newer one with `requests` at each scrape, a third of all."""
    dice, text, now = random.Random(7), list[str](), time.time()  # noqa: S311
    shape = {"model": NAME, "latency_budget_ms": 10.0, "slow_ms": 5.0, "answer": SCORES}
    served = {letter: Telemetry({**shape, "version": version}) for letter, version in arms.items()}
    for scrape in range(SCRAPES):
        for letter, telemetry in served.items():
            for _ in range(requests * (2 if letter == "a" else 1)):
                bin_ = min(9, dice.randrange(9) + (letter == "b" and dice.random() < 0.25))  # as COUNTS promise
                if letter == "b" and dice.random() < errors:
                    telemetry.failed(0.002, "inference")
                else:
                    telemetry.answered(0.002, [bin_ / 10 + 0.05], 0)
            own = f'namespace="models-production",job="models-production/specimen-delay",pod="{letter}"'
            own += f',rollouts_pod_template_hash="{letter * 12}"'
            seconds = f"{now - SCRAPE * (SCRAPES - 1 - scrape):.3f}"
            lines = telemetry.exposition().decode().splitlines()
            for series, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#")):
                name, _, labels = series.partition("{")
                text.append(f"{name}{{{f'{labels[:-1]},' if labels else ''}{own}}} {value} {seconds}\n")
            text.append(f"up{{{own}}} 1 {seconds}\n")
    with filled("".join(sorted(text)), where) as address:
        yield address


@pytest.mark.parametrize("former", ["canary", "kserve"])
def test_a_release_shares_the_traffic_with_another_of_its_kind_only(tree: Tree, former: str) -> None:
    give(tree, "a", former)
    assert at() is None
    tree.build("b", serving={"strategy": "kserve", "slow_ms": 5.0})
    passed(tree.promote("staging", "b"))
    tree.commit()
    given = ["--image", f"{NAME}@{digest('b')}", "--weight", "25"]
    refused(tree.deploy("promote", NAME, "--to", "staging", *given), "takes all traffic at once")
    refused(step(tree, 50), "--weight 50")
    answer = passed(tree.promote("production", "b"))
    found = at()
    assert (found is not None) == (former == "kserve")
    assert ("interrupted" in answer.out) == (former != "kserve")
    assert found is None or (found.weight, found.former.image.digest) == (25, digest("a"))
    tree.commit()
    passed(tree.deploy("verify"))
    assert "nothing changed" in passed(tree.promote("production", "b")).out


@needs_promtool
@pytest.mark.parametrize(
    ("requests", "errors", "code", "said"),
    [
        (20, 0.0, 0, "errors 0, at most 4.6"),
        (20, 0.2, 1, "is worse than {a}: errors "),
        (
            2,
            0.0,
            2,
            "too little is known of {b} (success no data, at least 0.95; evidence 80, at least 300)",
        ),
    ],
    ids=["healthy", "worse", "few"],
)
def test_a_weight_follows_what_the_templates_say_of_a_real_prometheus(
    tree: Tree,
    walking: Arms,
    requests: int,
    errors: float,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree.build("c", serving={"strategy": "kserve", "slow_ms": 5.0})
    passed(tree.promote("staging", "c"))  # while production walks
    tree.commit()
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    refused(step(tree, 50), "PROMETHEUS_URL is not set")
    with scraped(walking, requests, errors, tmp_path / "prometheus") as address:
        monkeypatch.setenv("PROMETHEUS_URL", address)
        refused(step(tree, 75), "--weight 75 does not follow 25 %; the next is --weight 50")
        answer = step(tree, 50)
    assert answer.code == code, answer.out + answer.error
    assert said.format(**walking) in answer.out + answer.error
    if code:
        assert tree.git("status", "--porcelain") == ""
        return
    found, made = at(), release.read("production", NAME)
    assert found is not None
    assert made is not None
    (judged,) = found.judged
    assert found.weight == 50
    assert set(judged.checks) == {
        *("errors", "refusals", "latency", "budget", "score-shift", "success", "downtime", "evidence"),
    }
    proposed = decision.of_promotion(made, made, [])
    assert proposed.title.endswith("to production at 50 %")
    assert "errors 0, at most 4.6; refusals 0, at most 4.6; latency 0" in proposed.body
    assert "--weight 75" in proposed.body
    tree.commit()
    passed(tree.deploy("verify"))


def at_once(found: weights.Weight) -> weights.Weight | None:
    assert found
    return None


def unjudged(found: weights.Weight) -> weights.Weight:
    return found.model_copy(update={"weight": 75})


def judged_once(found: weights.Weight) -> weights.Weight:
    judged = Judged(weight=25, at="2026-01-01", checks={"errors": "0, at most 4.6"})
    return found.model_copy(update={"weight": 75, "judged": [judged]})


def of_a_stranger(found: weights.Weight) -> weights.Weight:
    return found.model_copy(update={"former": found.former.model_copy(update={"version": "0" * 12})})


FORGED: dict[Callable[[weights.Weight], weights.Weight | None], str] = {
    at_once: "at once, and nothing judged it",
    unjudged: "is at 75 %, and nothing judged it at 25 %, 50 %",
    judged_once: "is at 75 %, and nothing judged it at 50 %",
    of_a_stranger: "names 000000000000 as the former release, which production never had so",
}


def test_verify_refuses_a_weight_that_nothing_judged(tree: Tree, walking: Arms) -> None:
    made, found = release.read("production", NAME), at()
    assert walking
    assert made is not None
    assert found is not None
    for forge, said in FORGED.items():
        forged = forge(found)
        files = {name: content for name, content in made.files.items() if name != weights.FILE}
        files |= {weights.FILE: weights.written(forged)} if forged else {}
        release.write(kustomization.again(release.Release("production", NAME, files), promise.of_release(made)))
        answer = tree.deploy("verify")
        assert (answer.code, said in answer.out, "Faults: 1." in answer.out) == (1, True, True), answer.out
    tree.git("checkout", "--quiet", ".")
    tree.git("clean", "--force", "--quiet", "deploy/releases")
    plant(Path(), str(CANARY), "weight: 25", "weight: 24")
    assert "kustomization.yaml: patches: does not follow from the files beside it" in tree.deploy("verify").out


@pytest.mark.parametrize("weight", [25, 100])
def test_a_rollback_gives_the_former_all_traffic(tree: Tree, walking: Arms, weight: int) -> None:
    made, found = release.read("production", NAME), at()
    assert made is not None
    assert found is not None
    if weight == 100:
        judged = [Judged(weight=each, at="2026-01-01", checks={"errors": "0, at most 4.6"}) for each in (25, 50, 75)]
        whole = found.model_copy(update={"weight": 100, "judged": judged})
        files = {**made.files, weights.FILE: weights.written(whole)}
        made = kustomization.again(release.Release("production", NAME, files), promise.of_release(made))
        assert b"/spec/canary" not in made.files["kustomization.yaml"]
        release.write(made)
        tree.commit()
        passed(tree.deploy("verify"))
        refused(step(tree, 50), "does not follow 100 %; it has all traffic")
        tree.build("c", serving={"strategy": "kserve", "slow_ms": 5.0})
        passed(tree.promote("staging", "c"))
        tree.commit()
        passed(step(tree, 25))  # the next release may start
        tree.git("checkout", "--quiet", ".")
    else:
        assert "at 25 %" in passed(tree.deploy("status")).out
        tree.build("c", serving={"strategy": "kserve", "slow_ms": 5.0})
        passed(tree.promote("staging", "c"))
        tree.commit()
        refused(tree.promote("production", "c"), f"walks {walking['b']} at 25 %")
    answer = passed(tree.deploy("rollback", NAME, "--environment", "production"))
    assert "argo rollouts" not in answer.out
    restored = release.read("production", NAME)
    assert restored is not None
    assert (restored.version, restored.weight, CANARY.exists()) == (walking["a"], None, False)
    tree.commit()
    passed(tree.deploy("verify"))
