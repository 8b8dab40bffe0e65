"""Rules judge a record of the past: promtool makes blocks of it, and a Prometheus on them evaluates group by group.

What a group records becomes blocks before the next is evaluated, so a rule reads what was scraped and what earlier
groups record. Everything is evaluated every 15 minutes, the time between two scrapes of a record.
"""

import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
# One block a file: promtool reads all of it again for each.
BLOCKS = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=99999h")
Series = list[tuple[dict[str, str], list[tuple[int, str]]]]  # labels, and (Unix seconds, value) of each sample


@dataclass
class Alert:
    """One series of an alerting rule. Times are Unix seconds."""

    name: str
    labels: dict[str, str]
    since: int = 0  # when it became pending
    last: int = -STEP  # when its expression gave it last
    firing: list[list[int]] = field(default_factory=list)  # first and last evaluation of each interval

    def active(self, at: int, hold: float) -> None:
        """Its expression gives it: pending until it did so for `hold` seconds, the rule's `for`, then firing."""
        if at - self.last > STEP:
            self.since = at
        if self.firing and self.firing[-1][1] == self.last == at - STEP:
            self.firing[-1][1] = at
        elif at - self.since >= hold:
            self.firing.append([at, at])
        self.last = at


class Past:
    """Blocks in `folder`, and what the groups of a rule file say of them, in `alerts`."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], folder: Path) -> None:
        self.alerts: dict[tuple[str, ...], Alert] = {}
        self._groups, self._folder, self._port = groups, folder, serve.free_port()
        (folder / "store").mkdir(parents=True)

    @property
    def names(self) -> frozenset[str]:
        """The metrics that the rules read and none of them records."""
        rules = [rule for group in self._groups for rule in group["rules"]]
        queries = (promql.parse(rule["expr"], str(rule.get("record") or rule["alert"])) for rule in rules)
        return frozenset(each.metric for query in queries for each in query.series) - {
            rule.get("record") for rule in rules
        }

    def add(self, file: Path) -> None:
        """Make blocks of OpenMetrics text."""
        process.run([*BLOCKS, str(file), str(self._folder / "store")], f"promtool makes no blocks of {file}")

    def judge(self, first: int, last: int) -> None:
        """Evaluate every group from `first` to `last` (Unix seconds); spans follow each other."""
        for group in self._groups:
            with self.running() as address, ThreadPoolExecutor(AT_ONCE) as pool:
                found = list(pool.map(lambda rule: query(address, rule["expr"], first, last), group["rules"]))
            lines = []
            for rule, series in zip(group["rules"], found, strict=True):
                for labels, values in series:
                    own = labels | rule.get("labels", {})
                    if "record" in rule:
                        text = f"{rule['record']}{{{','.join(f'{key}={_quoted(own[key])}' for key in own)}}}"
                        lines += [f"{text} {value} {at}\n" for at, value in values]
                        continue
                    hold = durations.seconds(rule.get("for", 0), f"{rule['alert']}: for")
                    key = (rule["alert"], *map(str, sorted(own.items())))
                    alert = self.alerts.setdefault(key, Alert(rule["alert"], own))
                    for at, _ in values:
                        alert.active(at, hold)
            if lines:
                file = self._folder / "recorded.txt"
                file.write_text("".join([*lines, "# EOF\n"]))
                self.add(file)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """A Prometheus on the blocks that there are now; its address, the same each time."""
        flags = (f"--storage.tsdb.path={self._folder / 'store'}", "--storage.tsdb.retention.time=100y")
        with prometheus.running({}, self._folder, self._port, *flags) as address:
            yield address


def query(address: str, text: str, first: int, last: int) -> Series:
    """What a query gives every 15 minutes, without the metric's name; a Prometheus gives 11,000 points at most."""
    form = urllib.parse.urlencode({"query": text, "start": first, "end": last, "step": STEP}).encode()
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query_range", form) as response:  # noqa: S310 - on this machine
            series = json.load(response)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise Refusal(f"Prometheus refuses {text!r}: {json.load(error)['error']}; fix the rule.") from None
    return [({k: v for k, v in each["metric"].items() if k != "__name__"}, each["values"]) for each in series]


def _quoted(value: object) -> str:
    escaped = str(value).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'"{escaped}"'
