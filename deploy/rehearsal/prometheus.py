"""A real Prometheus for the length of a rehearsal: it scrapes both servers as the PodMonitor says."""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from deploy.canary import durations
from deploy.rehearsal import tool
from repo.lib.refusal import Refusal
from serving import serve

LOOKBACK = 300.0  # seconds that a value is taken for the present one, unless the flag says otherwise
QUERY_SECONDS = 5.0  # in wall-clock time; Argo Rollouts waits for 30
TIMEOUT = 10.0  # a scrape's, where neither the PodMonitor nor the global settings say another


class QueryError(Exception):
    """Prometheus gave no answer, or none that a condition can look at: an Error in the words of Argo Rollouts."""


@dataclass(frozen=True)
class Pod:
    """One server as the cluster would see it: `hash` is that of its pod template, `address` its http://host:port."""

    name: str
    hash: str
    address: str


class Prometheus:
    """A running server."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def query(self, client: aiohttp.ClientSession, text: str) -> list[float]:
        """The values of an instant query, one a series."""
        timeout = aiohttp.ClientTimeout(total=QUERY_SECONDS)
        form = {"Content-Type": "application/x-www-form-urlencoded"}  # the load's session says JSON
        address = f"{self.address}/api/v1/query"
        try:
            async with client.post(address, data={"query": text}, headers=form, timeout=timeout) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise QueryError(f"Prometheus did not answer ({type(error).__name__})") from None
        if answer.get("status") != "success":
            raise QueryError(str(answer.get("error", "Prometheus refused the query")))
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind != "vector":
            raise QueryError(f"the query gives a {kind}; the conditions look at a vector")
        return [float(series["value"][1]) for series in result]


def find() -> str | None:
    """The program."""
    return shutil.which("prometheus")


@contextlib.contextmanager
def start(
    pods: list[Pod], rollout: Mapping[str, Any], monitor: Mapping[str, Any], factor: float, folder: Path
) -> Iterator[Prometheus]:
    """Start one with a private store in `folder`; it scrapes `pods` as the PodMonitor says, `factor` times as often."""
    folder.mkdir()
    settings, flags = (
        configuration(pods, rollout, monitor, factor),
        (
            f"--storage.tsdb.path={folder / 'store'}",
            "--storage.tsdb.retention.size=256MB",
            f"--query.lookback-delta={round(1000 * LOOKBACK / factor)}ms",
        ),
    )
    with running(settings, folder, serve.free_port(), *flags) as address:
        yield Prometheus(address)


@contextlib.contextmanager
def running(settings: Mapping[str, Any], folder: Path, port: int, *flags: str) -> Iterator[str]:
    """Start one with these settings, and give its address; settings and log are written into `folder`."""
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings, sort_keys=False))
    own = [f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    command, log = [find() or "prometheus", *own, *flags], folder / "prometheus.log"
    with tool.running(command, log, lambda: serve.answers("127.0.0.1", port, "/-/ready")):
        yield f"http://127.0.0.1:{port}"


def configuration(
    pods: list[Pod], rollout: Mapping[str, Any], monitor: Mapping[str, Any], factor: float
) -> dict[str, Any]:
    """What prometheus-operator would make of the PodMonitor for these pods, with the interval compressed.

    A scrape's timeout is no part of the cluster's time: a server does not answer faster because steps are shorter.
    """
    namespace, name = str(monitor["metadata"]["namespace"]), str(monitor["metadata"]["name"])
    where = f"PodMonitor {name}"
    endpoints = monitor["spec"].get("podMetricsEndpoints") or []
    if len(endpoints) != 1:
        raise Refusal(f"{where} has {len(endpoints)} podMetricsEndpoints; a rehearsal scrapes one.")
    endpoint, template = endpoints[0], rollout["spec"]["template"]
    interval = durations.seconds(endpoint.get("interval", "30s"), f"{where}: interval") / factor
    timeout = durations.seconds(endpoint.get("scrapeTimeout", f"{TIMEOUT:g}s"), f"{where}: scrapeTimeout")
    port = endpoint.get("port")
    listening = [
        each
        for each in template["spec"]["containers"]
        if port in [str(found.get("name")) for found in each.get("ports") or []]
    ]
    if not listening:
        raise Refusal(f"{where} scrapes the port {port}, which no container of the Rollout has.")
    named = monitor["spec"].get("podTargetLabels") or []
    kept = {each: re.sub(r"[^a-zA-Z0-9_]", "_", each) for each in named}  # as Prometheus writes labels
    targets = []
    for pod in pods:
        own = {**template["metadata"]["labels"], "rollouts-pod-template-hash": pod.hash}
        labels = {
            "job": own.get(monitor["spec"].get("jobLabel"), f"{namespace}/{name}"),
            "namespace": namespace,
            "pod": pod.name,
            "container": str(listening[0]["name"]),
            "endpoint": str(port),
            **{label: own[each] for each, label in kept.items() if each in own},
        }
        targets.append({"targets": [pod.address.removeprefix("http://")], "labels": labels})
    scrape = {
        "job_name": f"podMonitor/{namespace}/{name}/0",
        "scrape_interval": f"{round(1000 * interval)}ms",
        "scrape_timeout": f"{round(1000 * min(interval, timeout))}ms",
        "metrics_path": endpoint.get("path", "/metrics"),
        "honor_timestamps": True,
        "static_configs": targets,
    }
    return {"scrape_configs": [scrape]}
