"""What renders: any kubectl of 1.27 or newer, or kustomize 5; what is too old is refused by its version."""

from pathlib import Path

import pytest

from deploy.checks import kustomize, promql, rendering
from repo.lib.refusal import Refusal
from tests.deploy.manifests import renders, specimen, with_programs

NEW = """echo '{"clientVersion": {"major": "1", "minor": "32+", "gitVersion": "v1.32.4-gke"}}'"""
OLD = """echo '{"clientVersion": {"major": "1", "minor": "20", "gitVersion": "v1.20.2"}}'"""


@pytest.mark.parametrize(
    ("programs", "command"),
    [
        ({"kubectl": NEW}, ("kubectl", "kustomize")),
        ({"kubectl": OLD, "kustomize": "echo v5.4.1"}, ("kustomize", "build")),
        ({"kubectl": NEW, "kustomize": "echo v4.5.7"}, ("kubectl", "kustomize")),
        ({"kustomize": "echo '{Version:kustomize/v5.0.0 GitCommit:1}'"}, ("kustomize", "build")),
    ],
)
def test_what_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str], command: tuple[str, str]
) -> None:
    monkeypatch.setenv("PATH", with_programs(tmp_path, **programs))
    assert kustomize.renderer() == (str(tmp_path / command[0]), command[1])


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({}, "nothing on PATH renders manifests; install kubectl 1.27 or newer"),
        ({"kubectl": OLD}, "kubectl 1.20 is too old to render components"),
        ({"kubectl": OLD, "kustomize": "echo v3.9.0"}, "kubectl 1.20 is too old .* and kustomize 3.9 is too old"),
        ({"kubectl": "exit 1"}, "kubectl of an unknown version"),
    ],
)
def test_what_is_missing_or_too_old_is_refused_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("PATH", with_programs(tmp_path, **programs))
    with pytest.raises(Refusal, match=said):
        kustomize.renderer()


@renders
def test_a_batch_renders_as_one_by_one() -> None:
    listed = [specimen(environment, "gateway") for environment in ("staging", "production")]
    with rendering.copied() as tree:
        assert rendering.texts(listed, tree) == [rendering.texts([each], tree)[0] for each in listed]


def test_a_query_is_read_with_its_series_labels_ranges_and_steps() -> None:
    query = (
        '# why\nsum by (bin) (rate(a{job="x",le=~"1|2"}[45s])) / on (pod) sum_over_time((b or {__name__="c"})[1h:30s])'
    )
    found = promql.parse(query, "here")
    assert [each.metric for each in found.series] == ["a", "b", "c"]
    assert found.series[0].labels == {"job": ("=", "x"), "le": ("=~", "1|2")}
    assert found.labels == {"bin", "pod"}
    assert (set(found.ranges), set(found.steps)) == ({45.0}, {30.0})


@pytest.mark.parametrize("query", ["sum(a", "rate(a)", "nothing(a)", "a{b=c}", "rate(a[1x])", "vector()"])
def test_what_prometheus_would_refuse_is_refused_by_name(query: str) -> None:
    with pytest.raises(Refusal, match=r"AnalysisTemplate x is not PromQL \("):
        promql.parse(query, "AnalysisTemplate x")
