"""Rules judge a record of the past: promtool makes blocks of it, and a Prometheus on them evaluates group by group.

What a group records becomes blocks before the next is evaluated, so a rule reads what was scraped and what earlier
groups record. Everything is evaluated every 15 minutes, the time between two scrapes of a record.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deploy.canary import durations
from deploy.checks import promql
from deploy.rehearsal import prometheus
from repo.lib import process
from repo.lib.refusal import Refusal
from serving import serve

STEP = 900  # seconds
AT_ONCE = 2  # queries
POINTS = 10_000  # of a series in one answer; Prometheus gives 11,000
Group = Mapping[str, Any]


@dataclass
class Alert:
    """One series of an alerting rule. Times are Unix seconds."""

    name: str
    labels: dict[str, str]
    since: int = 0  # when it became pending
    last: int = -STEP  # when its expression last gave it
    firing: list[list[int]] = field(default_factory=list)  # first and last evaluation at which it fired

    def active(self, at: int, hold: float, keep: float) -> None:
        """Its expression gives it: pending until it did for `hold` seconds (`for`), or fired `keep` seconds ago."""
        if at - self.last > STEP:
            self.since = at
        self.last = at
        if self.firing and at - self.firing[-1][1] <= STEP + keep:
            self.firing[-1][1] = at
        elif at - self.since >= hold:
            self.firing.append([at, at])


class Past:
    """Blocks in `folder`, and the groups of a rule file."""

    def __init__(self, groups: Sequence[Group], folder: Path) -> None:
        self._groups, self._store, self._port = groups, folder / "store", serve.free_port()
        self._folder, self._alerts = folder, dict[tuple[str, ...], Alert]()
        self._store.mkdir(parents=True)
        if not (shutil.which("promtool") and prometheus.find()):
            raise Refusal("promtool and prometheus are not on PATH; install them with `apt-get install prometheus`.")
        self._refuse_same_group()

    @property
    def alerts(self) -> list[Alert]:
        """Every alert that was pending once, the first that fired first."""
        return sorted(self._alerts.values(), key=lambda each: each.firing[0][0] if each.firing else 1 << 62)

    @property
    def names(self) -> frozenset[str]:
        """The metrics that the rules read and none of them records."""
        recorded = {rule.get("record") for group in self._groups for rule in group["rules"]}
        return frozenset().union(*(map(_read, self._groups))) - recorded

    def add(self, file: Path) -> None:
        """Make blocks of OpenMetrics text, and remove it."""
        # One block a file: promtool reads all of it again for each.
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=99999h"]
        process.run([*command, str(file), str(self._store)], f"{file.name} makes no blocks", "report it")
        file.unlink()

    def judge(self, first: int, last: int) -> None:
        """Evaluate every group from `first` to `last`; spans follow each other."""
        for place, group in enumerate(self._groups):
            file = self._folder / f"group-{place}.txt"
            with self.running() as server, ThreadPoolExecutor(AT_ONCE) as pool, file.open("w") as text:
                asked = partial(server.range, first=first, last=last)
                answers = pool.map(asked, (rule["expr"] for rule in group["rules"]))
                for rule, series in zip(group["rules"], answers, strict=True):
                    for labels, values in series:
                        if "record" in rule:
                            text.write(_lines(rule["record"], labels | (rule.get("labels") or {}), values))
                        else:
                            self._seen(rule, labels, [at for at, _ in values])
                text.write("# EOF\n")
            if any("record" in rule for rule in group["rules"]):
                self.add(file)

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """A Prometheus on the blocks that there are now, at the same address each time."""
        flags = ("--storage.tsdb.retention.time=100y", f"--storage.tsdb.path={self._store}")
        with prometheus.running({}, self._folder, self._port, *flags) as address:
            yield Server(address)

    def _seen(self, rule: Mapping[str, Any], labels: dict[str, str], times: list[int]) -> None:
        name, own = rule["alert"], labels | (rule.get("labels") or {})
        alert = self._alerts.setdefault((name, *map(str, sorted(own.items()))), Alert(name, own))
        hold, keep = (durations.seconds(rule.get(key, 0), f"{name}: {key}") for key in ("for", "keep_firing_for"))
        for at in times:
            alert.active(at, hold, keep)

    def _refuse_same_group(self) -> None:
        for group in self._groups:
            if both := _read(group) & {rule.get("record") for rule in group["rules"]}:
                name = group["name"]
                raise Refusal(f"group {name} reads {min(both)}, which it records itself; move one into another group.")


class Server:
    """A running Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    def range(self, query: str, first: int, last: int) -> list[tuple[dict[str, str], list[tuple[int, str]]]]:
        """(labels, [(Unix seconds, value)]) of each series of a query, every 15 minutes; without the metric's name."""
        found: dict[str, tuple[dict[str, str], list[tuple[int, str]]]] = {}
        for start in range(first, last + 1, POINTS * STEP):
            end = min(last, start + (POINTS - 1) * STEP)
            form = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": STEP}).encode()
            try:
                with urllib.request.urlopen(f"{self.address}/api/v1/query_range", form) as response:  # noqa: S310
                    series = json.load(response)["data"]["result"]
            except urllib.error.HTTPError as error:
                raise Refusal(f"Prometheus refuses {query!r}: {json.load(error)['error']}; fix the rule.") from None
            for each in series:
                each["metric"].pop("__name__", None)
                _, values = found.setdefault(json.dumps(each["metric"]), (each["metric"], []))
                values += each["values"]
        return list(found.values())


def _read(group: Group) -> frozenset[str]:
    """The metrics that the rules of a group read."""
    queries = (promql.parse(rule["expr"], f"group {group['name']}") for rule in group["rules"])
    return frozenset(series.metric for query in queries for series in query.series)


def _lines(name: str, labels: Mapping[str, str], values: list[tuple[int, str]]) -> str:
    escaped = (f'{key}="{_escaped(str(value))}"' for key, value in labels.items())
    series = f"{name}{{{','.join(escaped)}}}"
    return "".join(f"{series} {value} {at}\n" for at, value in values)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
