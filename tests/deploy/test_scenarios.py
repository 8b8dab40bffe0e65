"""What each AnalysisTemplate says of typical situations, by the real PromQL engine: promtool on made-up counters.

Ten minutes at a scrape every 15 s, three stable pods and a canary pod with five requests a second each, unless a
scenario says otherwise.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from deploy.canary import template
from deploy.canary.template import Metric
from deploy.lib.passport import Promise
from deploy.lib.promise import vector
from deploy.rehearsal.rendered import LABELS
from repo.lib.files import LOADER
from tests.conftest import Once

FOLDER = Path("deploy/base/analysis")
SCRAPE, SCRAPES = 15, 41  # seconds, and how many in ten minutes
END = f"{SCRAPE * (SCRAPES - 1)}s"
ARGUMENTS = {
    "model": "specimen-delay",
    "namespace": "models-production",
    "canary-hash": "canary",
    "stable-hash": "stable",
    "slow": "0.005",
    "stable-slow": "0.002",  # what is measured of a model is its own
    "budget": "0.02",
    "stable-budget": "0.01",
    "champion": "0123456789ab",
}
BINS = (0.3, 0.2, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02)  # shares of scores in each tenth of [0, 1]
NAMES = ("errors", "refusals", "latency", "budget", "score-shift", "success", "downtime", "evidence")
# The candidate promises to hand six of ten rows of each bin on to the next one.
PROMISE = Promise(
    champion=ARGUMENTS["champion"],
    counts=[[400 * (to == row) + 600 * (to == min(row + 1, 9)) for to in range(10)] for row in range(10)],
)

Share = float | Callable[[int], float]  # of requests; a function of the scrape's number

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool; install it (Debian: apt-get install prometheus)"
)


@dataclass(frozen=True)
class Pod:
    arm: str
    rate: float = 5.0  # requests a second
    errors: Share = 0.002
    refused: Share = 0.0  # for a fault of the caller's
    slow: Share = 0.10  # by its own bound
    late: Share = 0.0  # beyond its own budget
    bins: tuple[float, ...] = BINS
    version: str = ARGUMENTS["champion"]
    restart: int | None = None  # the scrape at which its counters begin again
    down: range = field(default=range(0))  # scrapes that it does not answer
    silent: bool = False  # no series at all

    def series(self, number: int) -> dict[str, list[float]]:
        """Cumulative counters at each scrape by metric and own labels, and `up`."""
        steps: dict[str, list[float]] = {}

        def add(name: str, amount: float) -> None:
            steps.setdefault(name, [0.0]).append(amount)

        for scrape in range(1, SCRAPES):
            requests = self.rate * SCRAPE
            errors, refused = requests * _at(self.errors, scrape), requests * _at(self.refused, scrape)
            add("ml_requests_total{", requests)
            add('ml_errors_total{reason="inference",', errors)
            add('ml_errors_total{reason="invalid",', refused)
            add("ml_request_duration_seconds_count{", requests)
            slow, budget = ("stable-slow", "stable-budget") if self.arm == "stable" else ("slow", "budget")
            for bound, share in ((slow, self.slow), (budget, self.late)):
                name = f'ml_request_duration_seconds_bucket{{le="{ARGUMENTS[bound]}",'
                add(name, requests * (1 - _at(share, scrape)))
            for index, share in enumerate(self.bins):
                add(f'ml_score_bin_total{{bin="{index}",', (requests - errors - refused) * share)
        counters = {name: self._cumulative(amounts) for name, amounts in steps.items()}
        found = {} if self.silent else {**counters, "up{": [float(each not in self.down) for each in range(SCRAPES)]}
        pod = f'job="models-production/specimen-delay",rollouts_pod_template_hash="{self.arm}",pod="{number}"}}'
        own = f'version="{self.version}",'
        return {name + (pod if name == "up{" else own + pod): values for name, values in found.items()}

    def _cumulative(self, amounts: list[float]) -> list[float]:
        at = self.restart or 0
        return [*accumulate(amounts[:at]), *accumulate(amounts[at:])]


def _at(share: Share, scrape: int) -> float:
    return share(scrape) if callable(share) else share


def incident(scrape: int) -> float:
    """Two minutes in which everybody fails one request in six."""
    return 1 / 6 if 12 <= scrape < 20 else 0.001


def flood(scrape: int) -> float:
    """From the third minute on more requests than anybody takes."""
    return 0.6 if scrape >= 12 else 0.001


def promised(bins: tuple[float, ...] = BINS) -> tuple[float, ...]:
    """What a canary scores that keeps its promise, where the stable pods have these shares."""
    table = np.array(PROMISE.counts) / 1000
    return tuple(float(share) for share in np.array(bins) @ table)


MARCH = (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)  # another month: everybody's scores are others


def pods(stable: int = 3, canary: int = 1, **of_canary: Any) -> list[Pod]:
    return [Pod("stable")] * stable + [new(**of_canary)] * canary


def new(**of_canary: Any) -> Pod:
    return Pod("canary", **{"version": "ba9876543210", "bins": promised(), **of_canary})


def stables(count: int = 3, **of_stable: Any) -> list[Pod]:
    return [Pod("stable", **of_stable)] * count


UNKNOWN = {"score-shift": "nothing", "evidence": "waiting"}  # whether the canary keeps its promise
SCENARIOS: dict[str, tuple[list[Pod], dict[str, str]]] = {
    # name -> pods, and what is said by each template that does not call them healthy
    "healthy": (pods(), {}),
    "5 % errors": (pods(errors=0.05), {"errors": "abort"}),
    "6 % errors": (pods(errors=0.06), {"errors": "abort", "success": "abort"}),
    "all 500": (pods(errors=1.0), {"errors": "abort", "success": "abort"}),
    "all 500, stable as well": ([*stables(errors=1.0), new(errors=1.0)], {"success": "nothing"}),
    "a tenth of a percent of errors, stable none": ([*stables(errors=0.0), new(errors=0.001)], {}),
    "careless callers in both arms": ([*stables(refused=0.1, rate=25.0), new(refused=0.1, rate=25.0)], {}),
    "a flood in both arms": ([*stables(errors=flood), new(errors=flood)], {"success": "nothing"}),
    "callers who are careless for two minutes": ([*stables(refused=incident), new(refused=incident)], {}),
    "a contract that refuses what the champion takes": (pods(refused=0.05), {"refusals": "abort"}),
    "the same among careless callers": ([*stables(refused=0.1), new(refused=0.3)], {"refusals": "abort"}),
    "slower": (pods(slow=0.25), {"latency": "abort"}),
    "beyond its budget": (pods(late=0.04), {"budget": "abort"}),
    "beyond their budgets alike": ([*stables(late=0.04), new(late=0.04)], {}),
    "a little slower": (pods(slow=0.115), {}),
    "other scores than promised": (pods(bins=promised(promised())), {"score-shift": "abort"}),
    "the champion in the candidate's place": (pods(bins=BINS), {"score-shift": "abort"}),
    "as promised, in another month": ([*stables(bins=MARCH), new(bins=promised(MARCH))], {}),
    "another champion": ([*stables(version="aaaaaaaaaaaa"), new()], UNKNOWN),
    "another champion, bad scores": ([*stables(version="aaaaaaaaaaaa"), new(bins=MARCH)], UNKNOWN),
    "one stable pod of another version": ([*stables(2), *stables(1, version="aaaaaaaaaaaa"), new()], UNKNOWN),
    "one request": (pods(rate=1 / 600), {"success": "nothing", "evidence": "waiting"}),
    "idle": (pods(rate=0.0), {"success": "nothing", "evidence": "waiting"}),
    "both idle": ([*stables(rate=0.0), new(rate=0.0)], {"success": "nothing", "evidence": "waiting"}),
    "missing series": (pods(silent=True), UNKNOWN | {"success": "nothing", "downtime": "nothing"}),
    "no stable pods": (pods(stable=0), UNKNOWN | {"downtime": "nothing"}),
    "pod restart": (pods(restart=25), {}),
    "stable pod restart": ([Pod("stable", restart=25), *pods(2)], {}),
    "down": (pods(down=range(20, 30)), {"downtime": "abort"}),
    "slow start": (pods(down=range(4)), {}),
    "nobody is reached": ([*stables(down=range(41)), new(down=range(41))], {"downtime": "nothing"}),
    "shared incident": ([*stables(errors=incident), new(errors=incident)], {}),
    "ten pods, 5 % errors": (pods(8, 2, errors=0.05), {"errors": "abort"}),
}
# What success and failure condition say: 1 it holds, 0 it does not, None there is no value to hold.
VERDICTS = {"healthy": (1, 0), "abort": (0, 1), "waiting": (0, 0), "nothing": (None, None)}


@cache
def metrics() -> dict[str, Metric]:
    found = {}
    for name in NAMES:
        content = yaml.load((FOLDER / f"{name}.yaml").read_bytes(), Loader=LOADER)  # noqa: S506 - a safe loader
        declared = {each["name"] for each in content["spec"]["args"]}
        values = ARGUMENTS | {"promised": vector(PROMISE), "promised-rows": str(PROMISE.rows)}
        given = {key: value for key, value in values.items() if key in declared}
        (found[name],) = template.metrics([content], template.arguments([content], given, name) | LABELS)
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
                    "eval_time": END,
                    "exp_samples": [] if holds is None else [{"labels": f'{{of="{named}"}}', "value": holds}],
                }
            )
    return tests


def scenario(name: str, cast: list[Pod], said: dict[str, str], ones: Sequence[str] = ()) -> dict[str, Any]:
    """A test of promtool: what each template says, and that each further query, of `ones`, gives 1."""
    series = {key: values for number, pod in enumerate(cast) for key, values in pod.series(number).items()}
    written = {key: " ".join(f"{value:.9g}" for value in values) for key, values in series.items()}
    return {
        "interval": f"{SCRAPE}s",
        "input_series": [{"series": key, "values": values} for key, values in written.items()],
        "promql_expr_test": [
            *expectations(name, said),
            *({"expr": one, "eval_time": END, "exp_samples": [{"labels": "{}", "value": 1}]} for one in ones),
        ],
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
