"""Outcomes of predictions: who may tell them, and what is counted of them."""

import base64
import contextlib
import copy
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import brier_score_loss, log_loss

from models.lib.metrics import score_bin
from serving.runtime.feedback import LENGTH, RESULTS, Feedback, FeedbackError
from serving.runtime.telemetry import Telemetry
from tests.serving import toy
from tests.support.answers import CLASSES, NUMBERS, SCORES

FINE = [place / 20 for place in range(1, 20)]
CONTRACT: dict[str, Any] = {
    "model": "specimen_toy",
    "version": "0123456789ab",
    "answer": SCORES | {"fine": FINE},
    "max_rows": 300,
    "feedback_days": 2,
    "latency_budget_ms": 10.0,
    "slow_ms": 4.2,
}
NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the keys, with a `current` one."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "current").write_bytes(b"c" * 32 + b"\n")
    monkeypatch.setenv("FEEDBACK_KEYS", str(folder))
    return folder


def service(now: float = NOW, **changes: Any) -> Feedback:
    return Feedback({**CONTRACT, **changes}, lambda: now)


def sent(feedback: Feedback, *pairs: tuple[str, Any]) -> dict[str, int]:
    items = [{"prediction_id": each, "outcome": outcome} for each, outcome in pairs]
    return feedback.take(json.dumps({"feedback": items}).encode())


def ids(feedback: Feedback, *values: float) -> list[str]:
    found = feedback.sign(values)
    assert found is not None
    return found


def counts(feedback: Feedback) -> dict[tuple[str, ...], float]:
    """(metric without ml_, its own labels' values …) -> count, of what is not 0."""
    text = Telemetry(CONTRACT, feedback).exposition().decode()
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    found = {}
    for name, labels, value, *_ in samples:
        if name.startswith(("ml_outcome", "ml_feedback")) and value:
            own = [each for label, each in sorted(labels.items()) if label not in ("model", "version")]
            found[(name.removeprefix("ml_"), *own)] = value
    return found


def refused(feedback: Feedback, status: int, told: str, *pairs: tuple[str, Any]) -> None:
    """Answered with this status and these words, and nothing counted but the refusal."""
    before = counts(feedback)
    with pytest.raises(FeedbackError, match=told) as raised:
        sent(feedback, *pairs)
    assert raised.value.status == status
    changed = {key: value for key, value in counts(feedback).items() if before.get(key) != value}
    assert [key[0] for key in changed] == ["feedback_total"]


def test_scores_are_counted_as_numpy_and_scikit_learn_have_them() -> None:
    draw = np.random.default_rng(1)
    scores, outcomes = draw.uniform(0, 1, 300).round(3), draw.integers(0, 2, 300)
    feedback = service()
    assert sent(feedback, *zip(ids(feedback, *scores), outcomes.tolist(), strict=True)) == {
        "counted": 300,
        "duplicates": 0,
    }
    found = counts(feedback)
    fine = np.searchsorted(FINE, scores, side="right")
    assert found["outcome_log_loss_sum",] == pytest.approx(300 * log_loss(outcomes, scores))
    assert found["outcome_squared_error_sum",] == pytest.approx(300 * brier_score_loss(outcomes, scores))
    for outcome in (0, 1):
        for place in range(20):
            assert (
                found["outcome_bin_total", str(place), str(outcome)] == ((fine == place) & (outcomes == outcome)).sum()
            )
        for label in (0, 1):
            both = ((scores >= 0.35) == label) & (outcomes == outcome)
            assert found["outcome_label_total", str(label), str(outcome)] == both.sum()
    for tenth in range(10):
        assert found["outcome_score_sum", str(tenth)] == pytest.approx(scores[score_bin(scores) == tenth].sum())


def test_classes_are_counted_by_name_and_many_share_the_last() -> None:
    feedback = service(answer=CLASSES)
    first, _, third = CLASSES["names"]
    sent(feedback, *zip(ids(feedback, 0, 2, 2), [first, third, first], strict=True))
    assert {key[1:] for key in counts(feedback) if key[0] == "outcome_label_total"} == {
        (first, first),
        (third, third),
        (third, first),
    }
    many = service(answer=CLASSES | {"names": [f"c{place}" for place in range(12)]})
    sent(many, *zip(ids(many, 8, 9, 11), ["c8", "c10", "c3"], strict=True))
    assert counts(many)["outcome_label_total", "other", "other"] == 1
    assert counts(many)["outcome_label_total", "other", "c3"] == 1


def test_numbers_are_counted_by_their_sums() -> None:
    feedback, values, outcomes = service(answer=NUMBERS), [100.0, -3.5, 7.0], [90.0, -4, 7.25]
    sent(feedback, *zip(ids(feedback, *values), outcomes, strict=True))
    errors, found = np.subtract(values, outcomes), counts(feedback)
    wanted = [3, (errors**2).sum(), np.abs(errors).sum(), errors.sum(), np.sum(outcomes), np.square(outcomes).sum()]
    names = ("count_total", "squared_error_sum", "absolute_error_sum", "error_sum", "value_sum", "value_squared_sum")
    assert [found[f"outcome_{name}",] for name in names] == pytest.approx(wanted)


def test_an_outcome_counts_once() -> None:
    feedback = service()
    one, two = ids(feedback, 0.1, 0.2)
    assert sent(feedback, (one, 1), (one, 1), (two, 0)) == {"counted": 2, "duplicates": 1}
    assert sent(feedback, (two, 0)) == {"counted": 0, "duplicates": 1}
    assert counts(feedback)["feedback_total", "duplicate"] == 2
    assert counts(feedback)["outcome_score_sum", "1"] == pytest.approx(0.1)


def test_it_counts_under_the_version_that_predicted_whatever_answers_now() -> None:
    feedback = service(version="onnx-0123456789ab")
    for version in ("0123456789ab", "onnx-0123456789ab", "onnx-ba9876543210"):
        sent(feedback, (ids(service(version=version), 0.5)[0], 1))
    versions = {each["version"] for each, value in labels(feedback, "ml_outcome_tenth_total") if value}
    assert versions == {"0123456789ab", "onnx-0123456789ab", "onnx-ba9876543210"}


def labels(feedback: Feedback, name: str) -> list[tuple[dict[str, str], float]]:
    return [(each.labels, each.value) for family in feedback.collect() for each in family.samples if each.name == name]


def test_eight_versions_have_series_and_the_next_is_gone() -> None:
    feedback = service()
    others = [ids(service(version=f"{number:012x}"), 0.5)[0] for number in range(8)]
    for each in others[:7]:
        sent(feedback, (each, 1))
    refused(feedback, 410, "more versions than are counted", (others[7], 1))
    assert sent(feedback, (others[3], 0))["duplicates"] == 1


def test_what_is_wrong_is_said_and_counts_nothing() -> None:
    feedback = service()
    (good, other) = ids(feedback, 0.4, 0.6)
    foreign, old = ids(service(model="specimen_other"), 0.4)[0], ids(service(NOW - 2 * 86_400 - 1), 0.4)[0]
    refused(feedback, 404, "another model", (good, 1), (foreign, 1))
    refused(feedback, 410, "older than the 2 days", (good, 1), (old, 1))
    for wrong in ("", "x", good[:-1], good + "AAAA", f"{good[:-1]}ü", "=" * LENGTH, " " + good[1:]):
        refused(feedback, 400, f"an id that /predict gave, {LENGTH} characters", (wrong, 1))
    for outcome in (2, True, "1", None, 0.5, -1, [1]):
        refused(feedback, 400, "must be 0 or 1", (other, outcome))
    refused(service(answer=NUMBERS), 400, "finite number", (good, "12"))
    refused(service(answer=CLASSES), 400, "name of a class", (good, "secret-of-the-caller"))
    assert sent(feedback, (good, 1), (other, 0))["counted"] == 2


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"feedback": []}', b'{"feedback": [{}]}', b'{"feedback": {}, "x": 1}', b"\xff"]
)
def test_a_body_that_is_none_is_said(body: bytes) -> None:
    feedback = service()
    with pytest.raises(FeedbackError, match=r"feedback|id that /predict") as raised:
        feedback.take(body)
    assert (raised.value.status, counts(feedback)) == (400, {("feedback_total", "malformed"): 1})


def test_nobody_makes_an_id_without_the_key() -> None:
    feedback, draw = service(), random.Random(1)  # noqa: S311
    content = bytearray(base64.urlsafe_b64decode(ids(feedback, 0.4)[0]))
    for turn in range(5000):
        changed = copy.copy(content)
        if turn % 2:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        else:
            changed = bytearray(content[:1] + draw.randbytes(len(content) - 1))
        with pytest.raises(FeedbackError):
            sent(feedback, (base64.urlsafe_b64encode(changed).decode(), 1))
    assert counts(feedback) == {("feedback_total", "forged"): 5000}


def test_two_keys_are_valid_while_one_replaces_the_other(keys: Path) -> None:
    before = service()
    first, second = ids(before, 0.1, 0.2)
    (keys / "previous").write_bytes((keys / "current").read_bytes())
    (keys / "current").write_bytes(os.urandom(48))
    during = service()
    assert sent(during, (first, 1), (ids(during, 0.3)[0], 1))["counted"] == 2
    (keys / "previous").unlink()
    refused(service(), 403, "a key that is out of use", (second, 1))


def test_keys_are_read_again(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feedback, clock = service(), [1000.0]
    monkeypatch.setattr("serving.runtime.feedback.time.monotonic", lambda: clock[0])
    (keys / "current").unlink()
    assert feedback.sign([0.5]) is None
    (keys / "current").write_bytes(b"n" * 32)
    assert feedback.sign([0.5]) is None
    clock[0] += 61
    assert len(ids(feedback, 0.5)[0]) == LENGTH


@pytest.mark.parametrize("key", [None, b"", b"short", b"s" * 31])
def test_without_a_key_it_is_off_and_the_service_answers(key: bytes | None, keys: Path, endpoint: Any) -> None:
    (keys / "current").unlink()
    (keys / "previous").write_bytes(b"p" * 32)  # alone it is not enough
    if key is not None:
        (keys / "current").write_bytes(key)
    feedback = service()
    assert feedback.sign([0.4]) is None
    with pytest.raises(FeedbackError, match="is off: this service has no key") as raised:
        feedback.take(b"{}")
    assert raised.value.status == 503
    assert toy.answer(endpoint, toy.rows())[0] == 200
    status, found = toy.answer(endpoint, toy.rows(), "prediction_ids=true")
    assert status == 400
    assert "feedback is off" in found["error"]["reason"]


def test_the_service_gives_an_id_a_row_and_takes_outcomes(endpoint: Any) -> None:
    assert "prediction_ids" not in toy.answer(endpoint, toy.rows())[1]
    assert "prediction_ids" not in toy.answer(endpoint, toy.rows(), "prediction_ids=false")[1]
    for query in ("prediction_ids=1", "prediction_id=true", "prediction_ids=true&x=1", "&".join(["x=1"] * 25)):
        status, found = toy.answer(endpoint, toy.rows(), query)
        assert (status, found["error"]) == (
            400,
            {"field": "query", "reason": "must be prediction_ids=true, or nothing"},
        )
    status, found = toy.answer(endpoint, toy.rows({}, {}), "prediction_ids=true")
    assert (status, len(set(found["prediction_ids"]))) == (200, 2)
    items = [{"prediction_id": each, "outcome": 1} for each in found["prediction_ids"]]
    assert toy.answer(endpoint, {"feedback": items}, path="/feedback") == (200, {"counted": 2, "duplicates": 0})
    assert toy.answer(endpoint, {"feedback": items[:1]}, path="/feedback")[1]["duplicates"] == 1
    assert toy.answer(endpoint, {"feedback": [{"prediction_id": "?", "outcome": 1}]}, path="/feedback")[0] == 400
    assert toy.answer(endpoint, b"x" * 2_000_000, path="/feedback")[0] == 413


def test_every_series_is_there_from_the_start_and_none_is_added() -> None:
    feedback = service()
    names = [(each.name, *each.labels.values()) for family in feedback.collect() for each in family.samples]
    assert len(names) == len(RESULTS) + 2 * 20 + 2 * 10 + 10 + 4 + 2
    one = ids(feedback, 0.99)[0]
    for body in (b"{}", b"x", json.dumps({"feedback": [{"prediction_id": one, "outcome": 1}] * 3}).encode()):
        with contextlib.suppress(FeedbackError):
            feedback.take(body)
    assert [(each.name, *each.labels.values()) for family in feedback.collect() for each in family.samples] == names
