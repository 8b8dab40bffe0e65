"""A Prometheus of the rehearsal: it sees what the cluster's would, answers as that would, and is gone after."""

import asyncio
import math
from pathlib import Path

import pytest

from deploy.rehearsal import cluster, prometheus, traffic
from deploy.rehearsal.prometheus import QueryError
from deploy.rehearsal.rendered import RenderedRelease
from repo.lib.refusal import Refusal
from tests.deploy.rehearsals import needs_prometheus
from tests.deploy.stub_arm import StubArm
from tests.support.process import program


@needs_prometheus
def test_prometheus_gives_what_argo_rollouts_would_get_and_is_gone(release: RenderedRelease, tmp_path: Path) -> None:
    """Under the labels that the PodMonitor gives, so the queries find their series."""
    champion, candidate = StubArm(), StubArm()

    async def asked() -> None:
        async with champion.running(), candidate.running(), traffic.session() as client:
            pods = [
                prometheus.Pod("champion", cluster.CHAMPION, champion.address),
                prometheus.Pod("candidate", cluster.CANDIDATE, candidate.address),
            ]
            with prometheus.start(pods, release.rollout, release.monitor, 40.0, tmp_path / "one") as running:
                await cluster.ClusterJudge(release, running, 40.0).begin(client)
                job = 'job="models-production/specimen-delay"'
                both = f"count(ml_requests_total{{{job}}})"
                assert await running.query(client, both) == [2.0]
                one = f'ml_requests_total{{{job},rollouts_pod_template_hash="{cluster.CANDIDATE}",container="model"}}'
                assert await running.query(client, one) == [0.0]
                assert await running.query(client, "vector(0) / 0 > 1") == []
                assert math.isnan((await running.query(client, "vector(0) / 0"))[0])
                for wrong, reason in (("1", "gives a scalar"), ("sum(", "parse error"), ("up[1m]", "gives a matrix")):
                    with pytest.raises(QueryError, match=reason):
                        await running.query(client, wrong)
            with pytest.raises(QueryError, match="did not answer"):
                await running.query(client, "up")

    asyncio.run(asked())


def test_a_prometheus_that_cannot_start_is_refused(
    release: RenderedRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = str(program(tmp_path, "prometheus", "echo reading\necho no space left on device\nexit 1"))
    monkeypatch.setattr(prometheus, "find", lambda: found)
    with (
        pytest.raises(Refusal, match=r"prometheus did not get ready \(no space left on device\); fix"),
        prometheus.start([], release.rollout, release.monitor, 40.0, tmp_path / "one"),
    ):
        pytest.fail("it started")


def test_pods_are_scraped_as_the_podmonitor_says_and_labelled_so(release: RenderedRelease) -> None:
    pods = [prometheus.Pod("canary-1", "7d8b", "http://127.0.0.1:3001")]
    (scrape,) = prometheus.configuration(pods, release.rollout, release.monitor, 12.0)["scrape_configs"]
    settings = {"scrape_interval": "1250ms", "scrape_timeout": "1250ms", "metrics_path": "/metrics"}
    assert scrape.items() >= settings.items()
    labels = {
        "job": "models-production/specimen-delay",
        "namespace": "models-production",
        "pod": "canary-1",
        "container": "model",
        "endpoint": "http",
        "rollouts_pod_template_hash": "7d8b",
    }
    assert scrape["static_configs"] == [{"targets": ["127.0.0.1:3001"], "labels": labels}]


def test_a_podmonitor_that_scrapes_no_port_of_the_pod_is_refused(release: RenderedRelease) -> None:
    wrong = {"metadata": release.monitor["metadata"], "spec": {"podMetricsEndpoints": [{"port": "metrics"}]}}
    with pytest.raises(Refusal, match="PodMonitor specimen-delay scrapes the port metrics, which no container"):
        prometheus.configuration([], release.rollout, wrong, 12.0)
    wrong["spec"] = {"podMetricsEndpoints": []}
    with pytest.raises(Refusal, match="has 0 podMetricsEndpoints"):
        prometheus.configuration([], release.rollout, wrong, 12.0)
