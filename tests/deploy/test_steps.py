"""The canary steps of the Rollout: read as they are, refused where they say nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.canary import steps
from deploy.canary.steps import Step
from repo.lib.refusal import Refusal


def written(tmp_path: Path, *listed: object) -> Path:
    path = tmp_path / "rollout.yaml"
    template: Any = {"spec": {"containers": [{"resources": {}}]}}
    strategy = {"canary": {"steps": list(listed)}}
    path.write_text(yaml.safe_dump({"spec": {"replicas": 4, "template": template, "strategy": strategy}}))
    return path


def test_the_rollout_of_this_repository_has_steps_to_rehearse() -> None:
    found = steps.read(steps.ROLLOUT)
    assert len(found.steps) >= 2
    assert found.seconds > 60
    assert [step.weight for step in found.steps] == sorted({step.weight for step in found.steps})


def test_pauses_belong_to_the_weight_before_them_and_the_ends_compare_nothing(tmp_path: Path) -> None:
    pauses: dict[int, list[Any]] = {0: ["1h"], 20: ["1h2m3s", 30], 60: ["45"], 100: ["9m"]}
    listed: list[object] = []
    for weight, durations in pauses.items():
        listed += [{"setWeight": weight}, *({"pause": {"duration": each}} for each in durations)]
    path = written(tmp_path, *listed)
    assert steps.read(path).steps == (Step(20, 3753.0), Step(60, 45.0))


def test_what_only_a_cluster_can_do_is_said(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"setWeight": 20}, {"pause": {}}, {"experiment": {"templates": []}}, {"pause": {"duration": "1m"}}
    )
    found = steps.read(path)
    assert found.steps == (Step(20, 60.0),)
    assert ["waits for a person" in found.left_out[0], "experiment" in found.left_out[1]] == [True, True]


def test_an_analysis_belongs_to_the_weight_before_it_and_the_one_at_the_end_is_left_out(tmp_path: Path) -> None:
    args = [{"name": "requests", "value": "300"}]
    analysis = {"analysis": {"templates": [{"templateName": "evidence"}], "args": args}}
    listed = [{"setWeight": 20}, {"pause": {"duration": "1m"}}, analysis, {"setWeight": 100}, analysis]
    found = steps.read(written(tmp_path, *listed))
    (step,) = found.steps
    (only,) = step.analyses
    assert (only.templates, only.args) == (("evidence",), tuple(args))
    assert only.where.endswith("rollout.yaml: spec.strategy.canary.steps[2].analysis")
    assert found.left_out == ("Step 4 (analysis) is the cluster's; the rehearsal leaves it out.",)


@pytest.mark.parametrize(("first", "weight"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_the_background_begins_at_the_weight_of_its_starting_step(first: int, weight: int) -> None:
    listed = [{"setWeight": 20}, {"pause": {"duration": 5}}, {"setWeight": 40}, {"pause": {"duration": 5}}]
    canary = {"steps": listed, "analysis": {"startingStep": first, "templates": [{"templateName": "errors"}]}}
    found = steps.plan({"spec": {"strategy": {"canary": canary}}}, "Rollout model")
    assert found.background is not None
    assert found.background.templates == ("errors",)
    assert found.background_from == weight


def test_a_background_that_would_never_begin_is_refused() -> None:
    listed = [{"setWeight": 20}, {"pause": {"duration": 5}}]
    canary = {"steps": listed, "analysis": {"startingStep": 2, "templates": [{"templateName": "errors"}]}}
    with pytest.raises(Refusal, match=r"Rollout model: .*startingStep is 2, after the last weight"):
        steps.plan({"spec": {"strategy": {"canary": canary}}}, "Rollout model")


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        ([{"setWeight": 120}], r"steps\[0\]\.setWeight is 120"),
        ([{"setWeight": 20}, {"pause": {"duration": "2 minutes"}}], r"steps\[1\]\.pause\.duration is '2 minutes'"),
        ([{"setWeight": 20, "pause": {}}], r"steps\[0\] must hold one action"),
        ([{"setWeight": 20}, {"analysis": {"args": ["a"]}}], r"steps\[1\]\.analysis must hold templates and args"),
        ([{"setWeight": 20}, {"analysis": {"templates": []}}], r"steps\[1\]\.analysis\.templates must name"),
        (
            [{"setWeight": 20}, {"analysis": {"templates": [{"templateName": "a", "clusterScope": True}]}}],
            r"steps\[1\]\.analysis\.templates must name",
        ),
        (
            [{"setWeight": 20}, {"analysis": {"templates": [{"templateName": "a"}], "dryRun": []}}],
            r"steps\[1\]\.analysis\.dryRun is not understood",
        ),
        ([{"setWeight": 20}], "has no pause"),
    ],
)
def test_steps_that_cannot_be_walked_are_refused(tmp_path: Path, listed: list[object], fault: str) -> None:
    with pytest.raises(Refusal, match=fault):
        steps.read(written(tmp_path, *listed))


@pytest.mark.parametrize("content", ["", "spec: {}", "spec: {strategy: {blueGreen: {}}}", "[1]"])
def test_a_rollout_without_a_canary_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(content)
    with pytest.raises(Refusal, match=r"spec\.strategy\.canary\.steps is missing"):
        steps.read(path)


def test_a_rollout_that_ends_anywhere_before_its_pod_is_refused(tmp_path: Path) -> None:
    """Half a file may still be YAML with steps, only fewer."""
    whole = steps.ROLLOUT.read_text()
    lines = whole[: whole.index("          resources:")].splitlines(keepends=True)
    path = tmp_path / "rollout.yaml"
    for count in range(len(lines) + 1):
        path.write_text("".join(lines[:count]))
        with pytest.raises(Refusal, match=r"rollout\.yaml.* is missing; restore|rollout\.yaml cannot be read"):
            steps.read(path)


def test_steps_that_are_no_list_and_a_missing_rollout_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("steps: []", "steps: 5"))
    for told in ("is not a list", r"rollout\.yaml is missing"):
        with pytest.raises(Refusal, match=told):
            steps.read(path)
        path.unlink(missing_ok=True)
