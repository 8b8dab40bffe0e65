"""The Open Inference Protocol: the answers, errors and counts of /predict, for its clients and whatever is sent."""

import asyncio
import contextlib
import json
import math
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.errors import BadRequestError
from open_inference.openapi.types import InferenceRequest

from serving.runtime import endpoint as endpoints
from tests.serving import toy
from tests.serving.conftest import in_process
from tests.serving.test_log import lines, settled
from tests.serving.toy import ROW, answer, rows
from tests.support.repository import ROOT

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.xdist_group("toys-of-every-task"),
]
CLIENTS = ROOT / "tests/build/clients"
CODES = {"INT64": "q", "INT8": "b", "UINT32": "I", "BOOL": "?", "FP32": "f", "FP64": "d"}
KINDS = {name: {str: "BYTES", int: "INT64", float: "FP32"}[type(value)] for name, value in ROW.items()}
REQUEST = rows({"amount": 100.5, "kind": "ü"}, {"amount": None, "kind": "b"}, {"amount": -0.1, "weight": 0.3})["rows"]
WHERE = f"/v2/models/{toy.NAME}/infer"


def packed(kind: str, values: list[Any]) -> bytes:
    if kind == "BYTES":
        texts = [each.encode() if isinstance(each, str) else each for each in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{CODES[kind]}", *(math.nan if each is None else each for each in values))


def tensor(name: str, values: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": KINDS.get(name, "FP32"), "shape": [len(values)], "data": values} | more


def table(*given: dict[str, Any]) -> list[dict[str, Any]]:
    return [tensor(name, [row[name] for row in given]) for name in given[0]]


def changed(name: str, **more: Any) -> list[dict[str, Any]]:
    """The inputs of two sample rows, one of them with other keys; None takes a key away."""
    found = {each["name"]: each for each in table(ROW, ROW)}
    found[name] = {key: value for key, value in (found[name] | more).items() if value is not None}
    return list(found.values())


def binary(inputs: list[dict[str, Any]], **more: Any) -> tuple[bytes, int]:
    """Body and length of its JSON, all tensors in binary that have data."""
    parts, heads = [], []
    for each in inputs:
        head = dict(each)
        if "data" in head:
            parts.append(packed(each["datatype"], head.pop("data")))
            head["parameters"] = {"binary_data_size": len(parts[-1])}
        heads.append(head)
    head_ = json.dumps({"inputs": heads, **more}).encode()
    return b"".join((head_, *parts)), len(head_)


def send(
    endpoint: Any, body: Any, length: Any = None, path: str = WHERE, method: str = "POST"
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of an answer; no Content-Type is sent."""
    content, sent = body if isinstance(body, bytes) else json.dumps(body).encode(), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def take(message: Any) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"inference-header-content-length", str(length).encode())]
    scope = {"type": "http", "path": path, "method": method, "query_string": b"", "headers": headers}
    asyncio.run(endpoint(scope, receive, take))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:])


def outputs(headers: dict[bytes, bytes], content: bytes) -> dict[str, list[Any]]:
    """Values of an answer's tensors, binary or not."""
    length = int(headers.get(b"inference-header-content-length", len(content)))
    rest, found = content[length:], dict[str, list[Any]]()
    for each in json.loads(content[:length])["outputs"]:
        if (size := each.get("parameters", {}).get("binary_data_size")) is not None:
            part, rest = rest[:size], rest[size:]
            assert "data" not in each
            if each["datatype"] == "BYTES":
                found[each["name"]] = []
                while part:
                    end = 4 + struct.unpack_from("<I", part)[0]
                    found[each["name"]].append(part[4:end].decode())
                    part = part[end:]
            else:
                found[each["name"]] = list(struct.unpack(f"<{size // 8}{CODES[each['datatype']]}", part))
        else:
            found[each["name"]] = each["data"]
        assert math.prod(each["shape"]) == len(found[each["name"]])
    assert rest == b""
    return found


def wanted(endpoint: Any, given: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What /predict answers, as flat lists."""
    status, found = answer(endpoint, {"rows": given})
    assert status == 200, found
    return {
        key: [number for each in value for number in (each.values() if isinstance(each, dict) else [each])]
        for key, value in found.items()
        if key not in ("model", "version")
    }


def counts(endpoint: Any) -> list[str]:
    """Every sample but those of time."""
    text = endpoint.telemetry.exposition().decode().splitlines()
    return [line for line in text if "duration" not in line and "start_time" not in line]


def name_of(endpoint: Any) -> str:
    found: str = answer(endpoint, b"", path="/v2")[1]["name"]
    return found


def test_values_are_those_of_predict_in_json_and_in_binary(endpoint_of_task: Any) -> None:
    path = f"/v2/models/{name_of(endpoint_of_task)}/infer"
    empty: dict[str, Any] = {}
    for given in (REQUEST, REQUEST[:1]):
        expected = wanted(endpoint_of_task, given)
        for asked in empty, {"parameters": {"binary_data_output": True}}:
            for body, length in ({"inputs": table(*given), **asked}, None), binary(table(*given), **asked):
                status, headers, content = send(endpoint_of_task, body, length, path)
                assert (status, outputs(headers, content)) == (200, expected)
                assert (b"inference-header-content-length" in headers) == bool(asked)
    names = [*expected]
    chosen = [{"name": name, "parameters": {"binary_data": name == names[0]}} for name in reversed(names)]
    body = {"id": "é7", "inputs": table(*given), "outputs": chosen}
    status, headers, content = send(endpoint_of_task, body, None, path)
    assert outputs(headers, content) == expected
    head = json.loads(content[: int(headers[b"inference-header-content-length"])])
    assert (head["id"], [each["name"] for each in head["outputs"]]) == ("é7", [*reversed(names)])
    if names[0] == "probabilities":
        assert head["outputs"][-1]["shape"] == [1, 3]
        assert json.loads(head["outputs"][-1]["parameters"]["names"]) == toy.CLASSES


def test_other_shapes_and_types_hold_the_same_values(endpoint: Any) -> None:
    given = [ROW | {"size": 1}, ROW | {"code": None, "amount": None, "size": 1}]
    inputs = {each["name"]: each for each in table(*given)}
    inputs["amount"] |= {"datatype": "FP64", "shape": [2, 1], "parameters": {"content_type": "np", "shared": [1]}}
    inputs["count"] |= {"datatype": "INT8", "data": [3.0, 3.0]}  # by a client whose numbers are all of one kind
    inputs["size"] |= {"datatype": "BOOL", "data": [True, True]}
    found = outputs(*send(endpoint, {"inputs": list(inputs.values()), "more": 1, "model_name": "x"})[1:])
    assert found == wanted(endpoint, given)
    inputs["count"] |= {"datatype": "UINT32", "data": [3, 3]}
    del inputs["code"]  # may be null
    found = outputs(*send(endpoint, *binary(list(inputs.values())))[1:])
    assert found == wanted(endpoint, [each | {"code": None} for each in given])


def test_what_is_counted_is_what_predict_counts(bento: Path, contract: dict[str, Any]) -> None:
    """By bin and by rule, also of a float32 that was 0.1, which is above 0.1 in double precision."""
    known = contract | {"dropped": ["old"]}
    ours, theirs = (in_process(bento / "src", known) for _ in range(2))
    good: list[Any] = [ROW | {"amount": value, "free": 0.1, "weight": 0.7} for value in (0.1, None, 10.0, -10.0, 0.1)]
    wrong: list[dict[str, Any]] = [
        {"kind": "c"},
        {"code": 1},
        {"count": None},
        {"count": 151},
        {"amount": "x"},
        {"size": True},
    ]
    for given in (good, good[:1], [ROW | {"amount": 666.0}], *([ROW, ROW | each] for each in wrong)):
        inputs = table(*given)
        status = answer(theirs, {"rows": given})[0]
        assert send(ours, {"inputs": inputs})[0] == status
        if status == 200:
            for each in inputs:
                if each["datatype"] == "FP32":  # as numpy's `item` writes them
                    single = struct.unpack(f"{len(given)}f", packed("FP32", each["data"]))
                    each["data"] = [None if math.isnan(value) else value for value in single]
            for body in (({"inputs": inputs}, None), binary(inputs)):
                answer(theirs, {"rows": given})
                assert send(ours, *body)[0] == 200
    old = {"name": "old", "datatype": "BYTES", "shape": [-9], "data": ["x"]}
    for request, inputs in (
        (rows({"old": 1}), [*table(ROW), old]),
        (toy.without("free"), table(ROW)[:-1]),
        (rows({"more": 1}), [*table(ROW), tensor("more", [1])]),
        ({"rows": []}, []),
        (rows({"free": 1e39}), changed("free", datatype="FP64", data=[math.inf, 0.1])),
    ):
        assert send(ours, *binary(inputs))[0] == answer(theirs, request)[0]
    assert counts(ours) == counts(theirs)


HUGE = {"name": "free", "shape": [10**18], "datatype": "FP32"}
PLAIN = json.dumps({"inputs": table(ROW)}).encode()
WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "body: must be JSON, "),
    "NaN": (PLAIN.replace(b"1.5", b"NaN"), "body: must be JSON, null for NaN, "),
    "deep": (b'{"inputs": ' + b"[" * 3000, "inputs[0]: must be `object`, "),
    "deep where nothing is known": (b'{"x": ' + b"[" * 1500 + b"]" * 1500 + b"}", "body: must be JSON, "),
    "broken UTF-8": (PLAIN.replace(b"ABC", b"\xff"), "body: must be JSON, "),
    "half a pair": (PLAIN.replace(b"ABC", rb"\ud800"), "body: must be JSON, "),
    "a list": ([], "body: must be `object`, got `array`"),
    "nothing": (b"", "body: must have the key `inputs`"),
    "no inputs": ({"inputs": []}, "inputs: must be tensors of 1 to 5 rows that fill the body; see /docs.json"),
    "an id that is no text": ({"inputs": [], "id": 1}, "id: must be `str | null`, got `int`"),
    "no name": ({"inputs": [{}]}, "inputs[0]: must have the key `name`"),
    "twice": ([*table(ROW), tensor("free", [1])], "inputs[free]: must be there once"),
    "unknown": ([*table(ROW), tensor("x" * 99, [1])], f"inputs[{'x' * 60}]: is not an input of this model; see "),
    "missing": (table(ROW)[1:], "inputs[kind]: is missing; it must be one of a, b, ü"),
    "nested": (changed("free", data=[[1.5], [1.5]]), "inputs[6].data[0]: must be `bool | int | float | str | null`, "),
    "no shape": (changed("free", shape=None), "inputs[free].shape: must be [rows] or [rows, 1] with 2 rows, as its"),
    "wide": (changed("kind", shape=[1, 2]), "inputs[kind].shape: must be [rows] or [rows, 1] with 1 to 5 rows"),
    "negative": (changed("kind", shape=[-2]), "inputs[kind].shape: must be [rows] or [rows, 1] with 1 to 5 rows"),
    "huge": ([HUGE | {"data": [1]}], "inputs[free].shape: must be [rows] or [rows, 1] with 1 to 5 rows"),
    "many rows": (table(*[ROW] * 6), "inputs[kind].shape: must be [rows] or [rows, 1] with 1 to 5 rows"),
    "unequal": (
        [*table(ROW, ROW)[:-1], tensor("free", [1])],
        "inputs[free].shape: must be [rows] or [rows, 1] with 2 ",
    ),
    "short": (changed("kind", data=["a"]), "inputs[kind]: must have as many values as its shape says, 2"),
    "type": (changed("free", datatype="BYTES"), "inputs[free].datatype: must be one of FP32, FP64, INT64, INT32, "),
    "no type": (changed("kind", datatype=None), "inputs[kind].datatype: must be one of BYTES"),
    "no data": (changed("kind", data=None), "inputs[kind]: must have one of data and parameters.binary_data_size"),
    "value": (
        changed("amount", data=[1, 1000.5]),
        "inputs[amount][1]: must be a finite number from -1000 to 1000 (EUR",
    ),
    "fraction": (changed("count", data=[1, 1.5]), "inputs[count][1]: must be an integer from 0 to 150 (pieces)"),
    "text": (changed("code", data=["ABC", "abc"]), "inputs[code][1]: must be text that matches ^[A-Z]{3}$ or null"),
    "true": (changed("size", data=[1, True]), "inputs[size][1]: must be one of 1, 2, 3"),
    "outputs": ({"inputs": table(ROW), "outputs": [{"name": "x"}]}, "outputs[x]: must be one of scores, labels, "),
    "ids": ({"inputs": table(ROW), "parameters": {"prediction_ids": 1}}, "parameters.prediction_ids: must be `bool`, "),
    "ids without keys": (
        {"inputs": table(ROW), "parameters": {"prediction_ids": True}},
        "prediction_ids: cannot be given: feedback is off",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_a_400_with_one_text(name: str, endpoint: Any) -> None:
    body, told = WRONG[name]
    status, headers, content = send(endpoint, {"inputs": body} if isinstance(body, list) and body else body)
    assert (status, headers[b"content-type"]) == (400, b"application/json")
    found = json.loads(content)
    assert list(found) == ["error"]
    assert found["error"].startswith(told), found
    assert len(content) < 1400
    assert sum("ml_errors_total" in each and each.endswith(" 1.0") for each in counts(endpoint)) == 1


def sized(size: Any, at: int = 0) -> tuple[bytes, int]:
    """A binary request, of which one input says another size."""
    body, length = binary(table(ROW))
    head = json.loads(body[:length])
    head["inputs"][at]["parameters"]["binary_data_size"] = size
    text = json.dumps(head).encode()
    return text + body[length:], len(text)


def of_bytes(raw: bytes) -> tuple[bytes, int]:
    """A binary request whose first input has these bytes."""
    head, rest = sized(len(raw))[0], b"".join(packed(KINDS[name], [ROW[name]]) for name in ROW if name != "kind")
    text = head[: sized(len(raw))[1]]
    return text + raw + rest, len(text)


BODY, SIZE = binary(table(ROW))
BINARY: dict[str, tuple[bytes, Any, str]] = {
    "no header": (BODY, None, "body: must be JSON, "),
    "no number": (BODY, "+9", "Inference-Header-Content-Length: must be the length of the JSON, at most the"),
    "negative": (BODY, -1, "Inference-Header-Content-Length: must be "),
    "beyond the end": (BODY, len(BODY) + 1, "Inference-Header-Content-Length: must be "),
    "of 5000 digits": (BODY, "9" * 5000, "Inference-Header-Content-Length: must be "),
    "too short": (BODY, SIZE - 1, "body: must be JSON, "),
    "nothing": (BODY, 0, "body: must be JSON, "),
    "cut": (BODY[:-1], SIZE, "inputs[free].parameters.binary_data_size: must be in the body, "),
    "more": (BODY + b"x", SIZE, "inputs: must be tensors of 1 to 5 rows that fill the body; see /docs.json"),
    "negative size": (*sized(-1), "inputs[0].parameters.binary_data_size: must be `int` >= 0"),
    "true as size": (*sized(True), "inputs[0].parameters.binary_data_size: must be `int | null`, got `bool`"),
    "huge size": (*sized(10**25), "inputs[kind].parameters.binary_data_size: must be in the body, "),
    "odd size": (*sized(7, 2), "inputs[count]: must be whole values of INT64"),
    "prefix beyond": (*of_bytes(b"\xff\xff\xff\xffa"), "inputs[kind]: must be texts in UTF-8, each after its length"),
    "half a prefix": (*of_bytes(b"\1\0\0\0a\0"), "inputs[kind]: must be texts in UTF-8, each after its length"),
    "no UTF-8": (*of_bytes(b"\1\0\0\0\xff"), "inputs[kind]: must be texts in UTF-8, each after its length"),
    "two for one": (*of_bytes(b"\1\0\0\0a" * 2), "inputs[kind]: must have as many values as its shape says, 1"),
    "NaN": (*binary(changed("weight", data=[1, math.nan])), "inputs[weight][1]: must be a finite number above 0 below"),
    "infinity": (*binary(changed("amount", data=[-math.inf, 1])), "inputs[amount][0]: must be a finite number from"),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_tensors_that_do_not_add_up_are_a_400(name: str, endpoint: Any) -> None:
    body, length, told = BINARY[name]
    status, _, content = send(endpoint, body, length)
    assert (status, json.loads(content)["error"][: len(told)]) == (400, told)


def containers(node: Any) -> list[Any]:
    found = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    return [node, *(each for child in found for each in containers(child))] if found else []


def test_requests_of_chance_are_never_a_500(endpoint: Any) -> None:
    chance, statuses = random.Random(5), []  # noqa: S311
    values = [
        "null",
        "true",
        "-1",
        "0",
        "3",
        "9223372036854775808",
        "1e300",
        "3.0",
        '""',
        '"a"',
        '"\\u0000"',
        '"INT64"',
    ]
    values += ["[]", "[1]", "{}", "[-1]", "[1, 1]", "[1000000000]", "1" + "0" * 25, '"BYTES"']
    values += ['{"binary_data_size": 3}', '{"binary_data_output": true}']
    for _ in range(1500):
        body, length = binary(table(*[ROW] * chance.randint(1, 5))) if chance.random() < 0.5 else (PLAIN, len(PLAIN))
        head = json.loads(body[:length])
        for _ in range(chance.choice([0, 0, 1, 2])):
            place = chance.choice(containers(head))
            keys = [*place, "parameters", "outputs", "id"] if isinstance(place, dict) else range(len(place))
            place[chance.choice(keys)] = json.loads(chance.choice(values))
        text = json.dumps(head).encode()
        sent = bytearray(text + body[length:])
        for _ in range(chance.choice([0, 0, 1, 5])):
            sent[chance.randrange(len(sent))] = chance.randrange(256)
        given = chance.choice([len(text)] * 9 + [chance.randrange(len(sent) + 5)])
        statuses.append(send(endpoint, bytes(sent), given)[0])
    assert set(statuses) == {200, 400}
    assert min(statuses.count(200), statuses.count(400)) > 150


def test_limits_are_those_of_predict(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    status, headers, content = send(endpoint, b" " * 4001)
    assert (status, headers[b"connection"]) == (413, b"close")
    assert json.loads(content) == {"error": "body: must have at most 4000 bytes"}
    assert send(endpoint, {"inputs": table(ROW | {"amount": 666.0})})[::2] == (
        500,
        b'{"error":"scores: the model gave a value that is not finite"}',
    )
    monkeypatch.setattr(endpoints, "IN_FLIGHT", 0)
    assert send(endpoint, PLAIN)[::2] == (503, b'{"error":"service: has too many requests at once; try again"}')


def test_the_log_and_feedback_take_it_as_a_predict(
    bento: Path, contract: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/current").write_bytes(b"c" * 32)
    (tmp_path / "log").mkdir()
    monkeypatch.setenv("FEEDBACK_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("REQUEST_LOG", str(tmp_path / "log"))
    endpoint = in_process(bento / "src", contract | {"log": {"share": 1, "days": 7}})
    answer(endpoint, {"rows": REQUEST})
    asked = {"parameters": {"prediction_ids": True, "binary_data_output": True}, "outputs": [{"name": "labels"}]}
    _, headers, content = send(endpoint, *binary(table(*REQUEST), **asked))
    found = outputs(headers, content)
    assert settled(endpoint, 2) == (2, 0)
    plain, ours = lines(tmp_path / "log")
    assert ours.pop("prediction_ids") == found["prediction_ids"]
    assert set(found) == {"labels", "prediction_ids"}
    assert plain | {"time": ""} == ours | {"time": ""}
    outcomes = [{"prediction_id": each, "outcome": 1} for each in found["prediction_ids"]]
    assert answer(endpoint, {"feedback": outcomes}, path="/feedback")[1] == {"counted": 3, "duplicates": 0}


def test_paths_are_those_of_the_protocol(endpoint: Any, contract: dict[str, Any]) -> None:
    base, version = f"/v2/models/{toy.NAME}", contract["version"]
    for path, told in {
        "/v2": {"name": toy.NAME, "version": version, "extensions": ["binary_tensor_data"]},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        f"{base}/ready": {"name": toy.NAME, "ready": True},
        f"{base}/versions/{version}/ready": {"name": toy.NAME, "ready": True},
    }.items():
        assert (send(endpoint, b"", path=path, method="GET")[0], answer(endpoint, b"", path=path)[1]) == (200, told)
        assert send(endpoint, b"", path=path)[0] == 405
    about = answer(endpoint, b"", path=base)[1]
    assert about == answer(endpoint, b"", path=f"{base}/versions/{version}")[1]
    assert (about["versions"], about["platform"]) == ([version], "onnx_onnxv1")
    assert {each["name"]: (each["datatype"], each["shape"]) for each in about["inputs"]} == {
        name: (kind, [-1]) for name, kind in KINDS.items()
    }
    assert [each["name"] for each in about["outputs"]] == ["scores", "labels"]
    assert send(endpoint, PLAIN, path=f"{base}/versions/{version}/infer")[0] == 200
    status, headers, content = send(endpoint, b"", path=WHERE, method="GET")
    assert (status, headers[b"allow"], content) == (405, b"POST", b'{"error":"method: must be POST"}')
    for path in ("/v2/", "/v2x", "/v2/models/other", f"{base}/versions/1/infer", "/v2/repository/index"):
        status, _, content = send(endpoint, PLAIN, path=path)
        assert status == 404
        assert f", {base}/infer" in json.loads(content)["error"]


@contextlib.contextmanager
def server(endpoint: Any) -> Iterator[str]:
    """Of uvicorn, which BentoML has too; its address."""
    found = uvicorn.Server(uvicorn.Config(endpoint, port=0, lifespan="off", log_level="error"))
    thread = threading.Thread(target=found.run)
    thread.start()
    try:
        while not found.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{found.servers[0].sockets[0].getsockname()[1]}"
    finally:
        found.should_exit = True
        thread.join()


def test_the_smallest_client_gets_the_scores_of_predict(endpoint_of_task: Any) -> None:
    model, given = name_of(endpoint_of_task), [ROW, REQUEST[0], REQUEST[2]]  # it has no null
    with server(endpoint_of_task) as address:
        client = OpenInferenceClient(base_url=address)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness(model)
        assert client.read_server_metadata().extensions == ["binary_tensor_data"]
        (version,) = client.read_model_metadata(model).versions or [""]
        client.check_model_version_readiness(model, version)
        asked = InferenceRequest.parse_obj({"id": "7", "inputs": table(*given)})
        found = [client.model_infer(model, request=asked), client.model_version_infer(model, version, request=asked)]
        with pytest.raises(BadRequestError) as refused:
            client.model_infer(model, request=InferenceRequest.parse_obj({"inputs": table(*given)[1:]}))
    assert refused.value.body == {"error": "inputs[kind]: is missing; it must be one of a, b, ü"}
    for each in found:
        assert (each.id, each.model_name, each.model_version) == ("7", model, version)
        assert {tensor.name: tensor.data.__root__ for tensor in each.outputs} == wanted(endpoint_of_task, given)


@pytest.mark.slow
@pytest.mark.skipif(not CLIENTS.is_dir(), reason="optional: Triton's and KServe's clients by `make clients`")
def test_triton_s_and_kserve_s_clients_get_the_scores_of_predict(tasks_repository: Path) -> None:
    """In a process of their own, in binary and in JSON; their answers are printed beside those of /predict."""
    given, expected, addresses = [ROW, REQUEST[0], REQUEST[2]], {}, []
    with contextlib.ExitStack() as stack:
        for name, *_ in toy.TASKS.values():
            (source,) = (tasks_repository / "models" / name).glob("build/bento/*/src")
            endpoint = in_process(source, json.loads((source / "contract.json").read_text()))
            _, expected[name] = answer(endpoint, {"rows": given})
            addresses += [stack.enter_context(server(endpoint)), name]
        line = [sys.executable, str(Path(__file__).with_name("v2clients.py")), *addresses]
        inputs = json.dumps({each["name"]: [each["datatype"], each["data"]] for each in table(*given)})
        environment = os.environ | {"PYTHONPATH": str(CLIENTS)}
        done = subprocess.run(line, input=inputs, text=True, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    for name, found in json.loads(done.stdout).items():
        assert found.pop("refused") == "400 inputs[kind]: is missing; it must be one of a, b, ü"
        assert len(found) == 4
        for client, values in {"/predict": expected[name], **found}.items():
            print(name, client, values)
        for key in expected[name].keys() - {"model", "version"}:
            shares = [[*each.values()] if isinstance(each, dict) else each for each in expected[name][key]]
            assert [values[key] for values in found.values()] == [shares] * 4
