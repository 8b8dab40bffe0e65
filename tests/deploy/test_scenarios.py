"""What each AnalysisTemplate says of typical situations, by the real PromQL engine: promtool on made-up counters.

Ten minutes at a scrape every 15 s, three stable pods and a canary pod with five requests a second each, unless a
scenario says otherwise.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_schemas.files import LOADER
from deploy.analysis import template
from deploy.analysis.template import Metric
from tests.conftest import Once

FOLDER = Path("deploy/base/analysis")
SCRAPE, SCRAPES = 15, 41  # seconds, and how many in ten minutes
ARGUMENTS = {
    "model": "specimen-delay",
    "namespace": "models-production",
    "canary-hash": "canary",
    "stable-hash": "stable",
    "slow": "0.005",
}
BINS = (0.3, 0.2, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02)  # shares of scores in each tenth of [0, 1]
NAMES = ("errors", "latency", "positive-up", "positive-down", "score-shift", "success", "downtime", "evidence")

Share = float | Callable[[int], float]  # of requests; a function of the scrape's number

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool; install it (Debian: apt-get install prometheus)"
)


@dataclass(frozen=True)
class Pod:
    arm: str
    rate: float = 5.0  # requests a second
    errors: Share = 0.002
    slow: Share = 0.10
    positive: Share = 0.30
    bins: tuple[float, ...] = BINS
    restart: int | None = None  # the scrape at which its counters begin anew
    down: range = field(default=range(0))  # scrapes that it does not answer
    silent: bool = False  # no series at all

    def series(self, number: int) -> dict[str, list[float]]:
        """Cumulative counters at each scrape by metric and own labels, and `up`."""
        steps: dict[str, list[float]] = {}

        def add(name: str, amount: float) -> None:
            steps.setdefault(name, [0.0]).append(amount)

        for scrape in range(1, SCRAPES):
            requests = self.rate * SCRAPE
            errors = requests * _at(self.errors, scrape)
            add("ml_requests_total{", requests)
            add('ml_errors_total{reason="inference",', errors)
            add("ml_request_duration_seconds_count{", requests)
            add('ml_request_duration_seconds_bucket{le="0.005",', requests * (1 - _at(self.slow, scrape)))
            add("ml_positive_total{", (requests - errors) * _at(self.positive, scrape))
            for index, share in enumerate(self.bins):
                add(f'ml_score_bin_total{{bin="{index}",', (requests - errors) * share)
        counters = {name: self._cumulative(amounts) for name, amounts in steps.items()}
        found = {} if self.silent else {**counters, "up{": [float(each not in self.down) for each in range(SCRAPES)]}
        labels = f'job="models-production/specimen-delay",rollouts_pod_template_hash="{self.arm}",pod="{number}"}}'
        return {name + labels: values for name, values in found.items()}

    def _cumulative(self, amounts: list[float]) -> list[float]:
        at = self.restart or 0
        return [*accumulate(amounts[:at]), *accumulate(amounts[at:])]


def _at(share: Share, scrape: int) -> float:
    return share(scrape) if callable(share) else share


def incident(scrape: int) -> float:
    """Two minutes in which everybody fails one request in six."""
    return 1 / 6 if 12 <= scrape < 20 else 0.001


def shifted(bins: tuple[float, ...]) -> tuple[float, ...]:
    """Other scores below the threshold: as many positives as before."""
    low = (bins[0] - 0.12, bins[1], bins[2] + 0.12)
    return low + bins[3:]


def pods(stable: int = 3, canary: int = 1, **of_canary: Any) -> list[Pod]:
    return [Pod("stable")] * stable + [Pod("canary", **of_canary)] * canary


SCENARIOS: dict[str, tuple[list[Pod], dict[str, str]]] = {
    # name -> pods, and what is said by each template that does not call them healthy
    "healthy": (pods(), {}),
    "5 % errors": (pods(errors=0.05), {"errors": "abort"}),
    "all 500": (pods(errors=1.0), {"errors": "abort", "success": "abort"}),
    "all 500, stable as well": ([Pod("stable", errors=1.0)] * 3 + pods(0, errors=1.0), {"success": "abort"}),
    "never an error anywhere": ([Pod("stable", errors=0.0)] * 3 + pods(0, errors=0.0), {}),
    "a tenth of a percent of errors, stable none": ([Pod("stable", errors=0.0)] * 3 + pods(0, errors=0.001), {}),
    "slower": (pods(slow=0.25), {"latency": "abort"}),
    "a little slower": (pods(slow=0.115), {}),
    "more positives": (pods(positive=0.45), {"positive-up": "abort"}),
    "fewer positives": (pods(positive=0.20), {"positive-down": "abort"}),
    "a few more positives": (pods(positive=0.31), {}),
    "scores shifted": (pods(bins=shifted(BINS)), {"score-shift": "abort"}),
    "idle": (pods(rate=0.0), {"success": "nothing", "evidence": "waiting"}),
    "both idle": ([Pod("stable", rate=0.0)] * 3 + pods(0, rate=0.0), {"success": "nothing", "evidence": "waiting"}),
    "missing series": (pods(silent=True), {"success": "nothing", "downtime": "nothing", "evidence": "waiting"}),
    "no stable pods": (pods(stable=0), {}),
    "pod restart": (pods(restart=25), {}),
    "stable pod restart": ([Pod("stable", restart=25), *pods(2)], {}),
    "down": (pods(down=range(20, 30)), {"downtime": "abort"}),
    "slow start": (pods(down=range(4)), {}),
    "shared incident": ([Pod("stable", errors=incident)] * 3 + pods(0, errors=incident), {}),
    "ten pods": (pods(8, 2), {}),
    "ten pods, 5 % errors": (pods(8, 2, errors=0.05), {"errors": "abort"}),
    "stable pods with 1 % errors": ([Pod("stable", errors=0.01)] * 3 + pods(0, errors=0.01), {}),
}
# What success and failure condition say: 1 it holds, 0 it does not, None there is no value to hold.
VERDICTS = {"healthy": (1, 0), "abort": (0, 1), "waiting": (0, 0), "nothing": (None, None)}


@cache
def metrics() -> dict[str, Metric]:
    found = {}
    for name in NAMES:
        content = yaml.load((FOLDER / f"{name}.yaml").read_bytes(), Loader=LOADER)  # noqa: S506 - a safe loader
        declared = {each["name"] for each in content["spec"]["args"]}
        given = {key: value for key, value in ARGUMENTS.items() if key in declared}
        (found[name],) = template.metrics([content], template.arguments([content], given, name))
    return found


def test_there_is_a_name_for_each_template() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*NAMES, "kustomization"}


def expectations(scenario: str, said: dict[str, str]) -> list[dict[str, Any]]:
    tests = []
    for name, metric in metrics().items():
        named = f"{scenario}: {name}"
        for condition, holds in zip((metric.success, metric.failure), VERDICTS[said.get(name, "healthy")], strict=True):
            assert condition.limit is not None
            operator, limit = condition.limit
            tests.append(
                {
                    # Named, so that a failure says which; promtool shows the expression.
                    "expr": f'label_replace(({metric.query}) {operator} bool {limit}, "of", "{named}", "", "")',
                    "eval_time": f"{SCRAPE * (SCRAPES - 1)}s",
                    "exp_samples": [] if holds is None else [{"labels": f'{{of="{named}"}}', "value": holds}],
                }
            )
    return tests


def scenario(name: str, cast: list[Pod], said: dict[str, str]) -> dict[str, Any]:
    """A test of promtool."""
    series = {key: values for number, pod in enumerate(cast) for key, values in pod.series(number).items()}
    written = {key: " ".join(f"{value:.9g}" for value in values) for key, values in series.items()}
    return {
        "interval": f"{SCRAPE}s",
        "input_series": [{"series": key, "values": values} for key, values in written.items()],
        "promql_expr_test": expectations(name, said),
    }


@pytest.fixture(scope="module")
def output(once: Once) -> str:
    """What one call of promtool says of all scenarios, and of one that it must find wrong."""
    said = (once("scenarios", ask_promtool) / "said").read_text()
    assert '"a wrong expectation: errors"' in said, said
    return said


def ask_promtool(folder: Path) -> None:
    tests = [scenario(name, *each) for name, each in SCENARIOS.items()]
    tests.append(scenario("a wrong expectation", SCENARIOS["5 % errors"][0], {}))
    folder.mkdir()
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": f"{SCRAPE}s", "tests": tests}, width=100_000))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    (folder / "said").write_text(done.stdout + done.stderr)


@needs_promtool
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_template_says_what_it_should(name: str, output: str) -> None:
    assert [line for line in output.splitlines() if f'"{name}: ' in line] == []


@needs_promtool
def test_a_wrong_expectation_fails_for_its_template_alone(output: str) -> None:
    assert set(re.findall(r'"a wrong expectation: ([a-z-]+)"', output)) == {"errors"}
