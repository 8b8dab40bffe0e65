"""What a change of the contract does to callers: every kind of break and of widening, and the verb in a repository."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import contract
from serving.lib import compatibility
from serving.runtime import request
from serving.runtime.request import FLOAT32_MAX, INT64
from serving.runtime.telemetry import Telemetry
from tests.conftest import Once
from tests.serving import toy
from tests.support import trees
from tests.support.answers import CLASSES, NUMBERS, SCORES
from tests.support.process import Answer
from tests.support.repository import commit, git

EMPTY = dict.fromkeys(("min", "max", "above", "below", "allowed", "pattern", "unit"))


def feature(name: str = "x", kind: str = "integer", **keys: Any) -> dict[str, Any]:
    """As derive makes it: a number without a limit has that of its tensor."""
    found = {"name": name, "type": kind, "nullable": False, "description": "x", "example": 1, **EMPTY} | keys
    low, high = {"integer": INT64, "number": (-FLOAT32_MAX, FLOAT32_MAX)}.get(kind, (None, None))
    if found["allowed"] is None and found["min"] is found["above"] is None:
        found["min"] = low
    if found["allowed"] is None and found["max"] is found["below"] is None:
        found["max"] = high
    return found


def whole(*features: dict[str, Any], **keys: Any) -> dict[str, Any]:
    limits = {"max_rows": 200, "max_body_bytes": 9000, "latency_budget_ms": 10.0, "slow_ms": 1.0, "answer": SCORES}
    of_file = {"model": "m", "description": "d", "version": "v", "onnx_sha256": None, "api": 1}
    return {**of_file, **limits, "features": list(features), **keys}


def lines(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(each) for each in compatibility.between(before, after)]


text, number = ({"kind": kind} for kind in ("string", "number"))
# One feature -> another -> the line; read backwards, what breaks widens, and the other way round.
NARROWER: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "null": ({"nullable": True}, {}, "null: allowed -> refused"),
    "type": (number, {}, "type: number -> integer"),
    "min": ({"min": 1}, {"min": 2}, "lower limit: at least 1 -> at least 2"),
    "new min": ({}, {"min": 2}, "lower limit: none -> at least 2"),
    "max": ({"max": 9}, {"max": 8}, "upper limit: at most 9 -> at most 8"),
    "new max": ({}, {"max": 8}, "upper limit: none -> at most 8"),
    "above": (number | {"above": 1}, number | {"above": 1.5}, "lower limit: above 1 -> above 1.5"),
    "below": (number | {"below": 9}, number | {"below": 8}, "upper limit: below 9 -> below 8"),
    "open below": (number | {"min": 0}, number | {"above": 0}, "lower limit: at least 0 -> above 0"),
    "open above": (number | {"max": 0}, number | {"below": 0}, "upper limit: at most 0 -> below 0"),
    "allowed": (text | {"allowed": ["a", "b"]}, text | {"allowed": ["b"]}, "allowed: a -> no longer allowed"),
    "a list": (text, text | {"allowed": ["a"]}, "allowed: any -> a"),
    "a list for a range": ({"min": 1, "max": 9}, {"allowed": [1, 2]}, "allowed: any -> 1, 2"),
    "new pattern": (text, text | {"pattern": "^a"}, "pattern: none -> ^a"),
}


@pytest.mark.parametrize("name", NARROWER)
def test_what_narrows_breaks_and_backwards_it_widens(name: str) -> None:
    old, new, breaks = NARROWER[name]
    wider, narrower = (whole(feature(**keys)) for keys in (old, new))
    (broken,), (widened,) = lines(wider, narrower), lines(narrower, wider)
    assert broken.startswith(f"breaks: x: {breaks}: callers ")
    assert broken.endswith("refused")
    what, _, change = breaks.partition(": ")
    before, after = change.split(" -> ")
    backwards = f"{after} -> {before}"
    if what == "allowed":
        backwards = f"not allowed -> {'others' if before == 'any' else before}"
    assert widened.startswith(f"widens: x: {what}: {backwards}: callers may ")


def test_a_break_is_one_that_the_service_refuses() -> None:
    """Some value that the contract before takes is refused by the one after, and none the other way round."""
    values = [*range(-3, 12), 0.5, -0.5, 1.2, 8.5, None, "a", "b", "", "ab"]

    def taken(keys: dict[str, Any]) -> set[Any]:
        decode = request.decoder({"features": [feature(**keys)], "max_rows": 9})
        return {value for value in values if _passes(decode, value)}

    for name, (old, new, *_) in NARROWER.items():
        assert taken(new) < taken(old), name


def _passes(decode: Callable[[bytes], Any], value: Any) -> bool:
    try:
        decode(json.dumps({"rows": [{"x": value}]}).encode())
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("key", "unit"), [("max_rows", "rows"), ("max_body_bytes", "bytes")])
def test_a_smaller_request_breaks_and_a_larger_one_widens(key: str, unit: str) -> None:
    before, after = whole(), whole(**{key: 100})
    assert lines(before, after) == [f"breaks: {key}: {before[key]} -> 100: callers that send more {unit} are refused"]
    assert lines(after, before) == [f"widens: {key}: 100 -> {before[key]}: callers may send more {unit}"]


@pytest.mark.parametrize(("nullable", "effect"), [(False, "breaks"), (True, "widens")])
def test_a_new_feature_breaks_unless_it_may_be_left_out(nullable: bool, effect: str) -> None:
    (line,) = lines(whole(feature()), whole(feature(), feature("y", nullable=nullable)))
    assert line.startswith(f"{effect}: y: none -> a feature: callers ")


def test_a_feature_that_goes_breaks_even_if_it_could_be_left_out() -> None:
    (line,) = lines(whole(feature(), feature("y", nullable=True)), whole(feature()))
    assert line.startswith("breaks: y: a feature -> none: callers that send it are refused: the key is unknown")


@pytest.mark.parametrize(("old", "new"), [("integer", "string"), ("number", "string"), ("string", "number")])
def test_text_and_numbers_have_nothing_in_common(old: str, new: str) -> None:
    limits = {"min": 1} if old != "string" else {"pattern": "a"}
    (line,) = lines(whole(feature(kind=old, **limits)), whole(feature(kind=new)))
    assert line == f"breaks: x: type: {old} -> {new}: callers that send a value of type {old} are refused"


def test_another_pattern_breaks_because_two_cannot_be_compared() -> None:
    (line,) = lines(whole(feature(**text, pattern="^a")), whole(feature(**text, pattern="^[ab]")))
    assert line == "breaks: x: pattern: ^a -> ^[ab]: callers that send text that does not match are refused"


def test_some_values_may_come_while_others_go() -> None:
    first, second = lines(whole(feature(**text, allowed=["a", "b"])), whole(feature(**text, allowed=["b", ""])))
    assert first.startswith("breaks: x: allowed: a -> ")
    assert second.startswith("widens: x: allowed: not allowed -> ")


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        ({"allowed": [0, 5, 9]}, {"min": 1, "below": 9}, "0, 9"),
        ({"allowed": [0, 5, 9]}, {"above": 0, "max": 9}, "0"),
        ({"allowed": ["a", "ab"], **text}, {"pattern": "^a$", **text}, "ab"),
    ],
)
def test_of_a_list_that_goes_what_is_taken_breaks_nobody(old: dict[str, Any], new: dict[str, Any], gone: str) -> None:
    first, second = lines(whole(feature(**old)), whole(feature(**new)))
    assert first.startswith(f"breaks: x: allowed: {gone} -> no longer allowed")
    assert second.startswith("widens: x: allowed: not allowed -> others")


def test_equal_limits_in_other_words_are_no_change() -> None:
    assert lines(whole(feature(above=0, below=9)), whole(feature(min=1, max=8))) == []
    assert lines(whole(feature("x"), feature("y")), whole(feature("y"), feature("x"))) == []
    assert lines(whole(), whole(version="other", onnx_sha256="other", slow_ms=2.0)) == []  # what no caller sees
    counted = whole(feature(bins=[1.0], personal=True), profile="other", feedback_days=1, log={"share": 0.1, "days": 7})
    assert lines(whole(feature()), counted) == []


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (whole(feature(), latency_budget_ms=5.0), "latency_budget_ms: 10.0 -> 5.0: "),
        (whole(feature(), description="other"), "description: d -> other: "),
        (whole(feature(unit="kg")), "x: unit: none -> kg: "),
        (whole(feature(description="other")), "x: description: x -> other: "),
        (whole(feature(example=2)), "x: example: 1 -> 2: "),
    ],
)
def test_what_only_answers_or_words_differ_in_says_otherwise(after: dict[str, Any], line: str) -> None:
    (found,) = lines(whole(feature()), after)
    assert found.startswith(f"changes meaning: {line}")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (SCORES, {"threshold": 0.4}, "changes meaning: answer: threshold: 0.35 -> 0.4: labels change, values do not"),
        (NUMBERS, {"unit": "h"}, "changes meaning: answer: unit: min -> h: the same number means another thing"),
        (NUMBERS, SCORES, "breaks: answer: field: predictions -> scores: callers find no such field in the answer"),
        (SCORES, {"threshold": None}, "breaks: answer: labels: given -> none: callers find no labels in the answer"),
        (
            CLASSES,
            {"names": CLASSES["names"][1:]},
            "breaks: answer: names: <b>fine</b> -> none: callers find no share of it in the answer, ",
        ),
        (
            CLASSES,
            {"names": [*CLASSES["names"], "c"]},
            "breaks: answer: names: none -> c: callers get a label that they do not ",
        ),
    ],
)
def test_what_callers_get_may_break_them_too(old: dict[str, Any], new: dict[str, Any], line: str) -> None:
    (found,) = lines(whole(answer=old), whole(answer=old | new))
    assert found.startswith(line)


def test_of_an_answer_bins_words_and_order_concern_no_caller() -> None:
    others = {"names": CLASSES["names"][::-1], "edges": [1], "output": "x"}
    assert lines(whole(answer=CLASSES), whole(answer=CLASSES | others)) == []
    assert lines(whole(), whole(answer=SCORES | {"edges": [0.2], "description": "other"})) == []


def test_a_contract_that_held_the_threshold_itself_is_one_of_scores() -> None:
    first = whole(threshold=0.35)
    first.pop("answer")
    assert lines(first, whole()) == []
    (line,) = lines(first, whole(answer=SCORES | {"threshold": 0.4}))
    assert line.startswith("changes meaning: answer: threshold: 0.35 -> 0.4: ")
    (line,) = lines(first, whole(answer=NUMBERS))
    assert line.startswith("breaks: answer: field: scores -> predictions: ")


def test_breaks_come_first_and_a_raised_api_declares_them() -> None:
    before = whole(feature(), api=2)
    found = lines(before, whole(feature(description="other", min=0), api=3, max_rows=300))
    assert [line.partition(": ")[0] for line in found] == [
        "breaks, declared by api 3", "widens", "changes meaning", "changes meaning"
    ]  # fmt: skip
    assert found[-1].startswith("changes meaning: api: 2 -> 3: ")
    before.pop("api")  # as contracts had it before there was a number
    assert lines(before, whole(feature(min=0)))[0].startswith("breaks: ")
    assert lines(before, whole(feature(min=0), api=2))[0].startswith("breaks, declared by api 2: ")


def test_an_api_that_goes_back_breaks() -> None:
    assert lines(whole(api=2), whole())[0].startswith("breaks: api: 2 -> 1: ")


def test_markdown_shows_a_pattern_as_it_stands() -> None:
    found = compatibility.between(whole(feature(**text)), whole(feature(**text, pattern=r"^(a|b)\|_x_*$")))
    text_of = compatibility.markdown("m", found, "message")
    (row,) = [line for line in text_of.splitlines() if "❌" in line]
    assert row.count("|") == 5
    assert not set("_*\\^") & set(row.replace("**breaks**", ""))
    assert "&#94;&#40;a&#124;b&#41;&#92;&#124;&#95;x&#95;&#42;&#36;" in row


# A feature that a model no longer reads is accepted and ignored: both arms of a canary answer its callers.

BOTH = whole(feature(), feature("y"))
DROPPED = whole(feature()) | {"dropped": ["y"]}


def decoded(contract: dict[str, Any], *rows: dict[str, Any]) -> tuple[list[tuple[Any, ...]], list[str]]:
    noticed: list[str] = []
    return request.decoder(contract, noticed.append)(json.dumps({"rows": rows}).encode()), noticed


@pytest.mark.parametrize("value", [1.5, None, [1, {"a": 2}]])
def test_whatever_is_sent_of_it_is_accepted_ignored_and_counted_once(value: Any) -> None:
    assert decoded(DROPPED, {"x": 1, "y": value}, {"x": 2, "y": value}) == ([(1,), (2,)], ["y"])
    request.models(DROPPED)[0].model_validate({"rows": [{"x": 1, "y": value}]})


def test_who_does_not_send_it_is_not_counted() -> None:
    assert decoded(DROPPED, {"x": 1}) == ([(1,)], [])


def test_any_other_key_is_refused_as_before() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        decoded(DROPPED, {"x": 1, "z": 1})


def test_openapi_says_that_it_is_deprecated() -> None:
    schema = request.models(DROPPED)[0].model_json_schema()
    row = next(each for name, each in schema["$defs"].items() if name == "Row")
    assert row["properties"]["y"]["deprecated"] is True
    assert "y" not in row["required"]
    assert "deprecated" not in row["properties"]["x"]


def test_metrics_count_who_still_sends_it_from_zero_on() -> None:
    telemetry = Telemetry(DROPPED)
    assert 'ml_dropped_total{feature="y",model="m",version="v"} 0.0' in telemetry.exposition().decode()
    telemetry.noticed("y")
    assert 'ml_dropped_total{feature="y",model="m",version="v"} 1.0' in telemetry.exposition().decode()


def test_to_drop_a_feature_breaks_nobody_and_to_refuse_it_is_declared() -> None:
    (printed,) = lines(BOTH, DROPPED)
    assert printed.startswith("changes meaning: y: a feature -> dropped: they may stop sending it")
    (broken,) = lines(DROPPED, whole(feature()))
    assert broken.startswith("breaks: y: dropped -> none: callers that still send it are refused")
    declared = lines(DROPPED, whole(feature(), api=2))
    assert any(line.startswith("breaks, declared by api 2: y: dropped -> none") for line in declared)


def test_the_message_names_the_way_that_breaks_nobody() -> None:
    assert "name it in serving.dropped" in lines(BOTH, whole(feature()))[0]
    assert "let it be null first" in lines(whole(feature()), BOTH)[0]


REPORT = toy.MODEL / "build/contract.md"
SETTINGS = toy.MODEL / "model.yaml"


@pytest.fixture(scope="session")
def main(once: Once, plain_repository: Path) -> Path:
    """The toy's repository with one commit on main, and a branch for the change."""

    def make(root: Path) -> None:
        trees.copy(plain_repository, root)
        git("init", "--quiet", "--initial-branch=main", "--template=", root=root)
        (root / ".gitignore").write_text("__pycache__\nbuild\n")
        commit(root)
        git("checkout", "--quiet", "-b", "change", root=root)

    return once("toy-on-main", make)


@pytest.fixture(scope="session")
def derived(main: Path) -> dict[str, Any] | None:
    """The contract of the toy on main, by the code there."""
    with toy.inside(main):
        return contract.of_commit(git("rev-parse", "main"), toy.NAME)


@pytest.fixture
def base(main: Path, tmp_path: Path) -> Iterator[Path]:
    with toy.inside(trees.copy(main, tmp_path / "toy")) as root:
        yield root


@pytest.fixture
def derived_once(base: Path, derived: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Most changes start at the one commit on main, whose contract takes a process and two seconds to derive."""
    known, derive = git("rev-parse", "main", root=base), contract.of_commit
    monkeypatch.setattr(contract, "of_commit", lambda *of: derived if of == (known, toy.NAME) else derive(*of))


def ask(base: Path, *arguments: str, model: str = toy.NAME) -> Answer:
    return toy.verb(base, "contract", model, "--report", str(REPORT), *arguments)


@pytest.mark.usefixtures("derived_once")
def test_a_contract_that_did_not_change_is_one_line(base: Path) -> None:
    since = git("rev-parse", "main")[:10]
    trees.append("serving/contract.py")
    done = ask(base)
    assert (done.code, done.error) == (0, "")
    assert done.out == f"contract {toy.NAME}: unchanged since {since}.\n"
    assert REPORT.read_text() == f"## Contract of {toy.NAME}\n\nUnchanged since {since}.\n\n"


@pytest.mark.usefixtures("derived_once")
def test_a_break_is_exit_1_until_the_api_declares_it(base: Path) -> None:
    trees.edit(toy.SCHEMA, "in_range=(0, 150)", "in_range=(0, 100)")
    trees.edit(SETTINGS, "max_rows: 5", "max_rows: 9")
    commit()
    done = ask(base)
    assert (done.code, done.error) == (1, "")
    first, second, third, message = done.out.splitlines()
    assert first == "breaks: count: upper limit: at most 150 -> at most 100: callers that send more are refused"
    assert second == "widens: max_rows: 5 -> 9: callers may send more rows"
    assert third == "changes meaning: count: example: 75 -> 50: only words"
    assert f"new model folder beside {toy.MODEL}, or raise serving.api of {SETTINGS} to 2, which declares" in message
    report = REPORT.read_text()
    assert "| ❌ **breaks**: count&#58; upper limit | at most 150 | at most 100 | callers that send more" in report
    assert message.removeprefix(f"contract {toy.NAME}: c") in report
    trees.edit(SETTINGS, "threshold: 0.5", "api: 2, threshold: 0.5")
    done = ask(base)
    assert (done.code, done.out.partition(": ")[0]) == (0, "breaks, declared by api 2")
    assert "and api 2 declares that callers know" in done.out


@pytest.mark.usefixtures("derived_once")
def test_what_widens_only_passes(base: Path) -> None:
    trees.edit(SETTINGS, "max_rows: 5", "max_rows: 9")
    done = ask(base)
    assert (done.code, "no caller of " in done.out.splitlines()[-1]) == (0, True)


def test_the_base_is_derived_by_its_own_code(base: Path) -> None:
    """There `max_rows` has another name, which the present code does not know."""
    present = SETTINGS.read_bytes()
    git("checkout", "--quiet", "main")
    trees.edit(Path("models/lib/settings.py"), "    max_rows: Annotated", "    most_rows: Annotated")
    trees.edit(Path("serving/lib/derivation.py"), "model.serving.max_rows", "model.serving.most_rows")
    trees.edit(SETTINGS, "max_rows: 5", "most_rows: 6")
    commit()
    git("checkout", "--quiet", "-B", "change")
    SETTINGS.write_bytes(present)
    done = ask(base)
    said = "breaks: max_rows: 6 -> 5: callers that send more rows are refused"
    assert (done.code, done.out.splitlines()[0]) == (1, said)


def test_a_new_model_is_called_by_nobody(base: Path) -> None:
    toy.MODEL.rename("models/specimen_other")
    done = ask(base, model="specimen_other")
    assert (done.code, done.out) == (0, "contract specimen_other: new: nobody calls it yet.\n")
    assert "\n\nNew: nobody calls it yet.\n" in REPORT.read_text()


def test_a_base_whose_schema_is_broken_is_one_sentence(base: Path) -> None:
    """Also where its process ends with 0."""
    sound = toy.SCHEMA.read_text()
    git("checkout", "--quiet", "main")
    toy.SCHEMA.write_text("import sys; sys.exit(0)\n")
    commit()
    git("checkout", "--quiet", "-B", "change")
    toy.SCHEMA.write_text(sound)
    done = ask(base)
    assert (done.code, done.out, done.error.count("\n")) == (2, "", 1)
    assert f"serving contract: the contract of {toy.NAME} at " in done.error
    assert "cannot be derived by the code there (" in done.error
    assert not REPORT.exists()
