"""What a rehearsal walks is the release that the working tree would become."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deploy.canary import template
from deploy.checks import kustomize
from deploy.rehearsal import rendered
from deploy.rehearsal.rendered import RenderedRelease
from models.lib import config
from models.lib.config import Model
from repo.lib.refusal import Refusal
from tests.deploy.manifests import renders

ALONE = "It runs the service; seldon, which serves the file alone, is not modelled."


def model(**serving: Any) -> Model:
    found = config.load("specimen_delay", check_columns=False)
    return found.model_copy(update={"serving": found.serving.model_copy(update=serving)})


@pytest.fixture
def unrenderable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[str, ...]:
        raise Refusal("kubectl 1.20 is too old; install kubectl 1.27 or newer.")

    monkeypatch.setattr(kustomize, "renderer", refuse)


@renders
def test_names_arguments_and_the_slow_bound_are_the_releases() -> None:
    found = rendered.released(model(slow_ms=4.2))
    assert found.rollout["metadata"]["name"] == "specimen-delay"
    assert found.source == "the canary release of this tree for production"
    assert found.notes == ()
    assert found.plan.background is not None
    by_name = {each.name: each for each in rendered.metrics(found, found.plan.background, "new", "old", 12.0)}
    assert 'le="0.0042"' in by_name["latency"].query
    assert 'job="models-production/specimen-delay"' in by_name["errors"].query
    assert 'rollouts_pod_template_hash=~"new|old"' in by_name["errors"].query
    assert "[300000ms:2500ms]" in by_name["errors"].query
    assert "2.5 * sum_over_time" in by_name["errors"].query
    assert {each.interval for each in by_name.values()} == {2.5}
    limits = [rendered.metrics(found, step.analyses[0], "new", "old", 12.0)[0].success for step in found.plan.steps]
    assert [each.limit for each in limits] == [(">=", 300.0), (">=", 600.0), (">=", 900.0)]


@renders
def test_a_gateway_s_own_weights_are_walked() -> None:
    assert [step.weight for step in rendered.released(model(strategy="gateway")).plan.steps] == [5, 25, 50]


@renders
@pytest.mark.parametrize(
    ("strategy", "lacks", "more"),
    [
        ("bluegreen", "has no weights to walk", ()),
        ("kserve", "has weights that are commits, and a router of KServe's", ()),
        ("seldon", "has no weights to walk", (ALONE,)),
    ],
)
def test_a_strategy_without_weights_walks_those_of_the_base_and_says_so(
    strategy: str, lacks: str, more: tuple[str, ...]
) -> None:
    found = rendered.released(model(strategy=strategy))
    assert [step.weight for step in found.plan.steps] == [25, 50, 75]
    assert found.notes == (f"The strategy {strategy} {lacks}; the rehearsal walks those of the basic canary.", *more)


@pytest.mark.usefixtures("unrenderable")
def test_without_a_renderer_the_base_is_read_and_one_line_says_so() -> None:
    found = rendered.released(model())
    (note,) = found.notes
    assert note == (
        "The manifests are read as deploy/base has them, unrendered: "
        "kubectl 1.20 is too old; install kubectl 1.27 or newer."
    )
    assert found.plan.background is not None
    metric = rendered.metrics(found, found.plan.background, "new", "old", 12.0)[0]
    assert 'job="models-production/model"' in metric.query
    assert found.monitor["metadata"]["namespace"] == "models-production"
    gateway = rendered.released(model(strategy="gateway"))
    assert gateway.notes[1] == "So the weights are those of the basic canary, not of the strategy gateway."


@pytest.fixture
def found(unrenderable: None) -> RenderedRelease:
    assert unrenderable is None
    return rendered.released(model())


def test_a_template_that_the_release_lacks_is_refused(found: RenderedRelease) -> None:
    fewer = {name: each for name, each in found.templates.items() if name != "model-latency"}
    with pytest.raises(Refusal, match=r"names the AnalysisTemplate model-latency, which the release lacks"):
        rendered.check(dataclasses.replace(found, templates=fewer))


def test_a_range_that_cannot_be_compressed_is_refused_before_anything_starts(found: RenderedRelease) -> None:
    templates = copy.deepcopy(dict(found.templates))
    query = templates["model-errors"]["spec"]["metrics"][0]["provider"]["prometheus"]
    query["query"] = query["query"].replace("[{{args.range}}]", "[45s]")
    with pytest.raises(Refusal, match=r"model-errors: the query of errors holds the range \[45s\]"):
        rendered.check(dataclasses.replace(found, templates=templates))


def test_a_slow_bound_that_only_one_server_has_is_replaced(found: RenderedRelease) -> None:
    own = found.rollout["metadata"]["annotations"]["release/slow"]
    other = found.with_bounds(slow=6.0)
    assert other.rollout["metadata"]["annotations"]["release/slow"] == "0.006"
    assert found.rollout["metadata"]["annotations"]["release/slow"] == own != "0.006"


def test_what_a_template_catches_is_the_first_line_of_its_file() -> None:
    for path in Path("deploy/base/analysis").glob("[!k]*.yaml"):
        assert template.catches(path.stem).startswith("a canary")
    assert template.catches("kustomization") == template.catches("nothing") == ""
