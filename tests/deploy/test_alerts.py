"""Each alert fires on its fault, and no other; on healthy traffic, none, a restart, days, a first day none does."""

from pathlib import Path

import pytest

from deploy.lib import monitoring
from tests.deploy.alerts import (
    DAY,
    NAMESPACE,
    RESET,
    USUAL,
    V1,
    V2,
    Rates,
    Series,
    check,
    constants,
    needs_promtool,
    passport,
    pod,
    series,
)
from tests.support.repository import ROOT

FIRED = 'group by (alertname, severity, model, rollout, feature) (max_over_time(ALERTS{alertstate="firing"}[9d]))'
RULES = monitoring.groups([], ROOT)
ROLLOUTS = {"namespace": "argo-rollouts", "exported_namespace": NAMESPACE}  # the first is of who is scraped
pytestmark = needs_promtool


def raised(model: str, alert: str, severity: str, **more: str) -> tuple[str, int]:
    return series("", {"alertname": alert, "severity": severity, **({"model": model} if model else {}), **more}), 1


def started(model: str, times: str) -> Series:
    own = {"namespace": NAMESPACE, "pod": "p1", "model": model, "version": V1}
    return {series("ml_start_time_seconds", own): times}


def test_alerts_of_the_service_fire_on_their_faults_and_on_nothing_else(tmp_path: Path) -> None:
    """Ten hours, all of them a first day. Of `replaced` the release in Git is the canary, and the stable pods fail."""
    end, idle = 40, {key: [(0.0, 40)] for key in USUAL}

    def late(before: float, after: float, quarters: int = 16) -> Rates:
        return [(before, end - quarters), (after, quarters)]

    worse: dict[str, Rates] = {"outcome_0_0": [(15, end)], "outcome_0_1": [(15, end)]}
    models = [
        pod("healthy", end) | pod("healthy", end, pod="p2"),
        pod("restarted", end, {"requests": [(100, 20), (RESET, 0), (100, 19)]})
        | started("restarted", "1000x19 9000x19"),
        pod("idle", end, idle),
        pod("rare", end, {"requests": [(0.5, end)], "errors_inference": [(0.0, 20), (1.0, 2), (0.0, 18)]}),
        pod("canary", end) | pod("canary", end, version=V2, pod="p2", start=end - 6),
        pod("first_release", end, {"errors_inference": late(0, 10)}),  # without a reference
        pod("failing", end, {"errors_inference": late(0, 10)}),
        pod("replaced", end, {"errors_inference": late(0, 10, 6)})
        | pod("replaced", end, version=V2, pod="p2", start=end - 6),
        pod("slow", end, {"in_budget": late(99.9, 50)}),
        pod("crashing", end) | started("crashing", "1000x20 2000+60x18"),
        pod("wrong_for_a_day", end, worse),
        pod("refusing", end, {"errors_invalid": late(0, 20, 8)}),
    ]
    alone = ("healthy", "restarted", "idle", "rare", "failing", "slow", "crashing", "wrong_for_a_day", "refusing")
    written = constants(end, *map(passport, alone), passport("canary", V2), passport("replaced", V2))
    for of, phases in {
        "walking": [("Healthy", 0, 10), ("Paused", 11, 4), ("Progressing", 16, 2), ("Paused", 19, 6)],
        "waiting": [("Healthy", 0, 10), ("Paused", 11, 12)],
        "judged-well": [("Healthy", 0, 10), ("Paused", 11, 4), ("Healthy", 16, 20)],
    }.items():
        for phase, first, many in phases:
            written[series("rollout_info", ROLLOUTS | {"name": of, "phase": phase})] = f"_x{first} 1x{many}"
    for run in ("judged-well-7d8f9c6b5-12-3", "walked-5b6c7d8f9-4"):  # the second one's rollout goes on
        written[series("analysis_run_info", ROLLOUTS | {"name": run, "phase": "Inconclusive"})] = "_x11 1x28"
    expected = [
        *(raised(model, "ModelAvailability", each) for model in ("failing", "replaced") for each in ("page", "ticket")),
        *(raised("slow", "ModelLatency", each) for each in ("page", "ticket")),
        raised("crashing", "ModelRestarts", "ticket"),
        raised("refusing", "ModelContractViolations", "ticket"),
        raised("", "ModelCanaryWaiting", "ticket", rollout="waiting"),
        raised("", "ModelCanaryInconclusive", "ticket", rollout="judged-well"),
    ]
    check(tmp_path, RULES, "15m", {key: text for each in (written, *models) for key, text in each.items()},
        (FIRED, f"{15 * end}m", expected))  # fmt: skip


@pytest.mark.slow  # evaluates all rules for a day and a half
def test_alerts_of_inputs_and_answers_fire_on_their_faults_and_on_nothing_else(tmp_path: Path) -> None:
    """Of `daily` traffic, values and nulls go by the hour; an hour that is broken is no broken day."""
    end = DAY + 40

    def late(before: float, after: float) -> Rates:
        return [(before, end - 28), (after, 28)]

    def days(*rates: float) -> Rates:
        return [(rate, 32) for rate in rates] + [(rates[0], 32), (rates[1], 8)]

    temp = {"temp_0": late(40, 10), "temp_1": late(30, 10), "temp_2": late(30, 80)}
    moved = {f"answer_{each}": late(10, 100.0 * (each == 9)) for each in range(10)}
    hours = {"requests": days(100, 100, 0), "temp_0": days(60, 20, 0), "temp_1": days(20, 40, 0)}
    nulls = [(0.0, 20), (20.0, 8), (0.0, 88), (20.0, 8), (0.0, 12)]
    models = [
        pod("daily", end, {**hours, "temp_2": days(20, 40, 0), "temp_3": nulls}),
        pod("first_day", end, {"temp_3": [(5.0, 40)]}, start=DAY),
        pod("nulls", end, {"temp_0": late(40, 10), "temp_3": late(0, 30), **moved}),
        pod("category", end, {"dest_0": late(50, 10), "dest_2": late(0, 40)}),
        pod("shifted", end, {**temp, **moved}),
        pod("collapsed", end, moved),
    ]
    written = constants(end, *map(passport, ("daily", "first_day", "nulls", "category", "shifted", "collapsed")))
    expected = [
        raised("nulls", "ModelInputBroken", "ticket", feature="temp"),
        raised("category", "ModelInputBroken", "ticket", feature="dest"),
        raised("shifted", "ModelInputDrift", "info", feature="temp"),
        *(raised("collapsed", "ModelPredictionShift", each, feature="(answer)") for each in ("info", "ticket")),
    ]
    check(tmp_path, RULES, "15m", {key: text for each in (written, *models) for key, text in each.items()},
        (FIRED, f"{15 * end}m", expected))  # fmt: skip


@pytest.mark.slow
def test_what_takes_a_week(tmp_path: Path) -> None:
    """From quarters of an hour as they are recorded, looked at each six hours: silence, drift, what is to retrain."""
    end = 8 * DAY
    bins = {f"temp_{each}": rate for each, rate in enumerate((40.0, 30.0, 30.0, 0.0))}
    bins |= {f"dest_{each}": rate for each, rate in enumerate((50.0, 50.0, 0.0, 0.0))}
    bins |= {f"(answer)_{each}": 10.0 for each in range(10)}
    changes: dict[str, dict[str, str]] = {
        "healthy": {},
        "weekly": {"requests": f"0x{DAY - 1} 100x{6 * DAY - 1} 0x{DAY}"},  # nobody calls on one day of a week
        "new": {"requests": f"_x{end - 20} 100x7 0x12"},
        "silent": {"requests": f"100x{end - 40} 0x39"},
        "gone": {"requests": f"100x{end - 40} _x40"},
        "drifting": {"temp_0": f"20x{end}", "temp_2": f"50x{end}", "(answer)_0": f"0x{end}", "(answer)_1": f"20x{end}"},
        "harmless": {"dest_0": f"80x{end}", "dest_1": f"20x{end}"},
        "moved": {"(answer)_0": f"0x{end}", "(answer)_1": f"20x{end}"},
        "broken": {"temp_0": f"40x{3 * DAY} 0x{DAY - 1} 40x{end}", "temp_3": f"0x{3 * DAY} 40x{DAY - 1} 0x{end}"},
    }
    # Its answers are beyond the limit of seven days twelve hours before the feature that explains them is beyond any.
    before, then = 5 * DAY + DAY // 2 - 1, 7 * DAY + DAY // 4 - 1
    answers = {"(answer)_0": f"5x{before} 3.8x{end}", "(answer)_1": f"15x{before} 16.2x{end}"}
    temp = {key: f"{bins[key]}x{then} {100 * (key == 'temp_2')}x{end}" for key in ("temp_0", "temp_1", "temp_2")}
    changes["early"] = answers | temp
    # ROC AUC is 0.55, and was 0.75 at release. Of `lately` the first outcome came a day before the end.
    falls = {"wrong": None, "varied": 0.3, "varied_less": 0.1, "lately": None}
    written = constants(end, *map(passport, changes), *(passport(model, fall=fall) for model, fall in falls.items()))
    for model in falls:
        for key, many in {"0_0": 15, "0_1": 15, "1_0": 10, "1_1": 15}.items():
            own = {"namespace": NAMESPACE, "model": model, "version": V1, "bin": key[0], "outcome": key[2]}
            text = f"0x{end - DAY} {many}x{DAY}" if model == "lately" else f"{many}x{end}"
            written[series("ml:outcome_bin:15m", own)] = text
    for model, changed in changes.items():
        own = {"namespace": NAMESPACE, "model": model, "version": V1}
        written[series("ml:requests:15m", own)] = changed.get("requests", f"100x{end}")
        for key, rate in bins.items():
            feature, _, place = key.partition("_")
            text = changed.get(key, f"{rate}x{end}")
            written[series("ml:bins:15m", own | {"feature": feature, "bin": place})] = text
    retrain = "group by (model, cause, feature) (ml:retrain)"
    expected = [
        raised("silent", "ModelNoTraffic", "ticket"),
        raised("gone", "ModelNoTraffic", "ticket"),
        *(raised("drifting", "ModelInputDrift", each, feature="temp") for each in ("info", "ticket")),
        raised("harmless", "ModelInputDrift", "info", feature="dest"),
        raised("early", "ModelInputDrift", "info", feature="temp"),
        raised("broken", "ModelInputBroken", "ticket", feature="temp"),
        raised("moved", "ModelPredictionShift", "ticket", feature="(answer)"),
        *(raised(model, "ModelQuality", "ticket") for model in ("wrong", "varied_less")),
    ]
    causes = [
        ("drifting", "drift", "temp"),
        *((each, "prediction", "(answer)") for each in ("drifting", "moved", "early")),
    ]
    asked = [(series("", {"model": one, "cause": cause, "feature": of}), 1) for one, cause, of in causes]
    asked += [(series("", {"model": one, "cause": "quality"}), 1) for one in ("wrong", "varied_less")]
    check(tmp_path, RULES[1:], "6h", written, (FIRED, "8d", expected), (retrain, "8d", asked))
