"""What a release's canary is held to: made by the gates, demanded by promote, restored by rollback, read by PromQL."""

import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from deploy.canary import steps
from deploy.canary.judge import score_shift
from deploy.checks import rendering
from deploy.lib import promise, release
from deploy.lib.passport import Passport, Promise, parse_passport
from deploy.lib.promise import CHAMPION
from deploy.lib.release import Release
from repo.lib.refusal import Refusal
from tests.deploy.manifests import renders, specimen
from tests.deploy.test_scenarios import BINS, PROMISE, SCRAPE, metrics, needs_promtool, new, scenario, stables
from tests.deploy.tree import COUNTS, NAME, Tree, folder, image, passed, refused


def champion_of(environment: str) -> str | None:
    found = CHAMPION.search((folder(environment) / "kustomization.yaml").read_bytes())
    return found[1].decode() if found else None


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_release_names_the_version_that_it_takes_the_place_of(released: Tree, environment: str) -> None:
    former = release.read(environment, NAME)
    released.release("b", "staging", *([environment] if environment == "production" else []))
    assert former is not None
    assert champion_of(environment) == former.version
    made = release.read(environment, NAME)
    assert made is not None
    assert promise.of_release(made) == Promise(champion=former.version, counts=COUNTS)
    assert released.deploy("verify").code == 0


@pytest.mark.parametrize("fault", [None, "its input `gust` is no column."])
def test_without_a_promise_about_what_stands_it_is_refused(released: Tree, fault: str | None) -> None:
    standing = release.read("staging", NAME)
    assert standing is not None
    own = [{"champion": standing.version, "fault": fault}] if fault else []
    released.build("b", promises=[{"champion": "aaaaaaaaaaaa", "counts": COUNTS}, *own])
    before = (folder("staging") / "kustomization.yaml").read_bytes()
    answer = released.promote("staging", "b")
    refused(answer, "promises lacks", "which staging runs", "`python -m models run specimen_delay`")
    assert ("runs (its input `gust` is no column), so its canary" in answer.error) == bool(fault)
    assert answer.error.count("\n") == 1
    assert (folder("staging") / "kustomization.yaml").read_bytes() == before


def test_production_is_refused_what_was_judged_before_its_present_release(released: Tree) -> None:
    """Staging has b, judged while production ran a; meanwhile production went elsewhere by another way."""
    released.release("b", "staging")
    there = folder("production") / "passport.yaml"
    record = yaml.safe_load(there.read_text())
    record["version"] = "cccccccccccc"
    there.write_text(yaml.safe_dump(record))
    released.commit()
    refused(
        released.promote("production"),
        "deploy/releases/staging/specimen_delay/passport.yaml: promises lacks cccccccccccc",
    )


@pytest.mark.parametrize("strategy", ["bluegreen", "serverless"])
def test_where_nothing_is_compared_nothing_is_demanded(released: Tree, strategy: str) -> None:
    released.build("b", promises=[], serving={"strategy": strategy, "slow_ms": 0.6})
    passed(released.promote("staging", "b"))
    assert champion_of("staging") is None


def test_the_same_release_again_is_no_news_although_it_could_be_compared_with_itself(released: Tree) -> None:
    released.release("b", "staging")
    record = yaml.safe_load((folder("staging") / "passport.yaml").read_text())
    del record["image"]
    Path("models/specimen_delay/build/passport.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    answer = passed(released.promote("staging", "b"))
    assert "nothing changed" in answer.out


def test_a_rollback_is_held_to_what_the_left_release_promised_read_by_column(released: Tree) -> None:
    first = release.read("production", NAME)
    left = released.release("b", "staging", "production")
    assert released.deploy("rollback", NAME, "--environment", "production").code == 0
    restored = release.read("production", NAME)
    assert first is not None
    assert restored is not None
    assert restored.version == first.version
    assert champion_of("production") == left
    columns = [list(column) for column in zip(*COUNTS, strict=True)]
    assert promise.of_release(restored) == Promise(champion=left, slow_ms=5.0, counts=columns)
    assert restored.runs_the_same_as(first)
    assert restored.files["kustomization.yaml"] != first.files["kustomization.yaml"]
    released.commit()
    passed(released.deploy("verify"))


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ("0.2", "25 % pauses after an hour, for a person"),
        ("0.4", "at 0.4 requests a second: 25 % 50 min, 50 % 25 min, 75 % 17 min"),
        ("20", "at 20 requests a second: 25 % 1 min, 50 % 0.5 min, 75 % 0.5 min"),
    ],
)
def test_promote_says_how_long_each_step_takes(released: Tree, rate: str, said: str) -> None:
    released.build("b")
    answer = passed(released.deploy("promote", NAME, "--to", "staging", "--image", image("b"), "--rate", rate))
    assert said in answer.out
    assert ("`strategy: bluegreen`" in answer.out) == (rate == "0.2")


def test_a_model_says_how_many_requests_its_weights_wait_for(released: Tree) -> None:
    released.build("b", serving={"strategy": "canary", "slow_ms": 0.6, "canary": {"requests": 50}})
    passed(released.promote("staging", "b"))
    written = yaml.safe_load((folder("staging") / "kustomization.yaml").read_text())
    operations = [each for patch in written["patches"] for each in yaml.safe_load(patch.get("patch", "[]"))]
    asked = [each["value"] for each in operations if each["path"].startswith("/spec/strategy/canary/steps/")]
    assert asked == ["50", "100", "150"]
    walk = steps.of("staging", "canary")
    assert steps.takes(walk, 50, 0.05) == [math.inf] * 3
    assert max(steps.takes(walk, 50, 0.2)) < 3600


@renders
def test_a_way_back_is_not_judged_where_no_router_would_overtake_it(tmp_path: Path) -> None:
    windows = {}
    with rendering.copied() as place:
        for strategy in ("canary", "gateway", "bluegreen"):
            of = specimen("production", strategy)
            (rollout,) = rendering.parse(rendering.texts([of], place)[0], of).of("Rollout")
            windows[strategy] = rollout.spec.get("rollbackWindow")
            assert rollout.spec["revisionHistoryLimit"] > 3
    assert windows == {"canary": {"revisions": 3}, "gateway": None, "bluegreen": None}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("counts", [[[1]], [[1] * 10] * 9, [[-1] + [1] * 9] + [[1] * 10] * 9])
def test_a_promise_of_another_shape_is_refused(counts: list[list[int]]) -> None:
    passport = {"model": "m", "version": "0" * 12, "verdict": "pass", "content": {}, "metrics": {}, "gates": []}
    passport |= {"judged_by": [], "serving": {"strategy": "canary", "slow_ms": 5.0}}
    written = yaml.safe_dump(passport | {"promises": [{"champion": "a", "counts": counts}]}).encode()
    with pytest.raises(Refusal, match=r"promises\.0\.counts: .*10 lists of 10"):
        parse_passport(written, Path("passport.yaml"))


def test_a_bin_that_was_never_seen_promises_itself() -> None:
    text = promise.vector(Promise(champion="a", counts=[[0] * 10 for _ in range(10)]))
    assert text.count("vector(1)") == 10
    assert all(f"'{row}-{row}'" in text for row in range(10))


@needs_promtool
def test_prometheus_gives_the_figure_of_the_reference(tmp_path: Path) -> None:
    """A tenth of the canary's scores in bins other than promised, ten minutes at 5 requests a second a pod."""
    bins = (0.2, *BINS[1:3], 0.2, *BINS[4:])
    canary, stable = np.array(bins), np.array(BINS)
    canary = canary / canary.sum()
    sent = 5 * 600 * 0.998  # of a pod, less its errors
    expected = float(score_shift(sent * canary, 3 * sent * stable, np.array(PROMISE.counts, np.float64)))
    assert expected > 0.02
    metric = metrics()["score-shift"]
    between = f"vector({expected - 2e-3:.6f}) < on () ({metric.query}) < on () vector({expected + 2e-3:.6f})"
    cast = [*stables(), new(bins=tuple(float(each) for each in canary))]
    test = scenario("as the reference", cast, {"score-shift": "abort"}, [f"count({between})"])
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": f"{SCRAPE}s", "tests": [test]}, width=100_000))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def passport(**serving: Any) -> Passport:
    served = {"strategy": "canary", "slow_ms": 1.0, **serving}
    made = {"model": "m", "version": "0" * 12, "verdict": "pass", "serving": served}
    return Passport.model_validate(made | {"content": {}, "metrics": {}, "gates": [], "judged_by": []})


def test_a_declared_break_never_walks_as_a_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Release("production", "m", {})
    monkeypatch.setattr(Release, "passport", passport(api=1))
    with pytest.raises(Refusal, match=r"raises serving\.api from 1 to 2.*folder of its own.*`strategy: bluegreen`"):
        promise.refuse_declared_break(passport(api=2), standing)
    promise.refuse_declared_break(passport(api=1), standing)
