"""The service as callers and Kubernetes meet it: over HTTP on a real server; the endpoint's limits in this process."""

import asyncio
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from serving.runtime import body
from serving.runtime import endpoint as endpoints
from serving.runtime.predictor import Predictor
from tests.serving import toy
from tests.serving.toy import answer, ask, rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what BentoML calls
    pytest.mark.xdist_group("toy-server"),
]

SAMPLE = json.dumps(rows()).encode()


def http_(server: Any, method: str, path: str, content: Any = None, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, content, headers, encode_chunked=bool(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def counted(server: Any) -> dict[str, float]:
    """Every series and its value."""
    lines = http_(server, "GET", "/metrics")[2].decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def one(series: dict[str, float], name: str, **labels: str) -> float:
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = [value for key, value in series.items() if key.startswith(f"{name}{{") and all(w in key for w in wanted)]
    assert len(found) == 1, f"{name} {labels}: {len(found)} series"
    return found[0]


def test_these_tests_share_one_server(request: pytest.FixtureRequest) -> None:
    """Side by side they run in one process, else each process would start a server."""
    assert request.node.nodeid.endswith("@toy-server") == getattr(request.config.option, "loadgroup", False)


def test_probes_answer(server: Any) -> None:
    assert [http_(server, "GET", path)[0] for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]


def test_the_openapi_text_shows_the_contract_and_an_example(server: Any, contract: dict[str, Any]) -> None:
    documented = json.loads(http_(server, "GET", "/docs.json")[2])
    schemas = documented["components"]["schemas"]
    fields = schemas["Row"]["properties"]
    assert fields["kind"]["enum"] == ["a", "b", "ü"]
    assert fields["count"]["description"] == "How many [pieces]."
    assert (fields["count"]["minimum"], fields["count"]["maximum"], fields["count"]["x-unit"]) == (0, 150, "pieces")
    assert fields["weight"]["exclusiveMaximum"] == 50
    assert "Null or left out when unknown" in fields["amount"]["description"]
    assert schemas["Row"]["required"] == ["kind", "count", "size", "weight", "free"]
    assert schemas["Row"]["additionalProperties"] is False
    assert schemas["Request"]["properties"]["rows"]["maxItems"] == 5
    assert set(documented["paths"]["/predict"]["post"]["responses"]) == {"200", "400", "408", "413", "500", "503"}
    assert documented["info"]["title"] == toy.NAME
    assert "This is API 1 of the model" in documented["paths"]["/predict"]["post"]["description"]
    assert list(schemas["Row"]["example"]) == [feature["name"] for feature in contract["features"]]
    for schema in (schemas["Request"], {"example": {"rows": [schemas["Row"]["example"]]}}):
        assert http_(server, "POST", "/predict", json.dumps(schema["example"]).encode())[0] == 200
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(documented)))
    assert references == {"Request", "Row", "Answer", "Error", "Feedback"}


def test_the_openapi_page_loads_nothing_from_elsewhere(server: Any) -> None:
    status, headers, content = http_(server, "GET", "/")
    assert status == 200
    assert b"//" not in content
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assets = re.findall(r'(?:src|href)="\./(static_content/[^"]+)"', content.decode())
    assert len(assets) == 5
    assert [http_(server, "GET", f"/{asset}")[0] for asset in assets] == [200] * 5
    assert b'url: "./docs.json"' in http_(server, "GET", "/static_content/swagger-initializer.js")[2]


def test_whatever_is_sent_the_number_of_series_stays(server: Any) -> None:
    before = set(counted(server))
    for number in range(40):
        http_(server, "GET", f"/nonsense/{number}")
        http_(server, "POST", f"/predict/{number}", SAMPLE)
        http_(server, "GET", f"/predict?number={number}")
        http_(server, "POST", "/predict", json.dumps(rows({f"field{number}": 1})).encode())
        http_(server, "POST", "/predict", SAMPLE, **{"x-request-id": str(number), "user-agent": f"agent{number}"})
    assert set(counted(server)) == before
    assert all(f'model="{toy.NAME}"' in name for name in before)  # nothing of BentoML's own


def test_unknown_paths_are_404_and_wrong_methods_405_in_the_shape_of_every_error(server: Any) -> None:
    for method, path, expected in (
        ("GET", "/nonsense", 404),
        ("POST", "/predict/", 404),
        ("GET", "/static_content/nothing.js", 404),
        ("GET", "/predict", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/livez", 405),
    ):
        status, headers, content = http_(server, method, path)
        assert status == expected, path
        if "static" not in path:
            assert set(json.loads(content)["error"]) == {"field", "reason"}
        assert ("allow" in headers) == (expected == 405)


def test_requests_errors_and_scores_are_counted(server: Any, contract: dict[str, Any]) -> None:
    labels = {"model": toy.NAME, "version": contract["version"]}
    before = counted(server)
    http_(server, "POST", "/predict", json.dumps(rows({"amount": 1000, "kind": "b"}, {"amount": -1000})).encode())
    for content, status in ((b"{", 400), (b"{}", 400), (b" " * 5000, 413)):
        assert http_(server, "POST", "/predict", content)[0] == status
    failing = json.dumps(rows({"amount": 666})).encode(), json.dumps(rows({"count": 120})).encode()
    assert [http_(server, "POST", "/predict", content)[0] for content in failing] == [500, 500]
    after = counted(server)
    for name, more, difference in (
        ("ml_requests_total", {}, 6),
        ("ml_request_duration_seconds_count", {}, 6),
        ("ml_errors_total", {"reason": "malformed"}, 1),
        ("ml_errors_total", {"reason": "invalid"}, 1),
        ("ml_errors_total", {"reason": "too_large"}, 1),
        ("ml_errors_total", {"reason": "not_finite"}, 1),
        ("ml_errors_total", {"reason": "inference"}, 1),
        ("ml_errors_total", {"reason": "overload"}, 0),
        ("ml_positive_total", {}, 0.5),
        ("ml_score_bin_total", {"bin": "0"}, 0.5),
    ):
        assert one(after, name, **labels, **more) - one(before, name, **labels, **more) == difference, name


def test_a_failing_model_is_a_500_without_values(endpoint: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert answer(endpoint, rows({"amount": 666}))[0] == 500
    assert answer(endpoint, rows({"amount": 666}))[1]["error"]["reason"] == "the model gave a value that is not finite"
    for _ in range(3):
        status, found = answer(endpoint, rows({"count": 120}))
        assert (status, found["error"]["reason"]) == (500, "the model failed on this request")
    assert len([record for record in caplog.records if "inference failed" in record.message]) == 1
    assert "120" not in caplog.text


def test_a_body_over_the_limit_is_413_however_it_is_sent(server: Any) -> None:
    def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100

    for content, headers in (
        (b" " * 4001, {}),
        (b" " * 3_000_000, {}),
        (chunks(), {"transfer-encoding": "chunked"}),
    ):
        status, found, text = http_(server, "POST", "/predict", content, **headers)
        assert status == 413
        assert json.loads(text) == {"error": {"field": "body", "reason": "must have at most 4000 bytes"}}
        assert found["connection"] == "close"
    assert http_(server, "POST", "/predict", SAMPLE + b" " * (4000 - len(SAMPLE)))[0] == 200


def test_a_huge_body_neither_fills_memory_nor_blocks_the_probes(server: Any) -> None:
    worker = max(server.processes(), key=lambda process: process.create_time())
    before, meanwhile = worker.memory_info().rss, 0
    sender = threading.Thread(target=http_, args=(server, "POST", "/predict", b" " * 60_000_000))
    sender.start()
    while sender.is_alive():
        assert http_(server, "GET", "/readyz")[0] == 200
        meanwhile += sender.is_alive()
    sender.join()
    assert meanwhile
    assert worker.memory_info().rss - before < 10_000_000


def test_a_body_that_does_not_arrive_is_408(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "bodies", body.Bodies(4000, seconds=0.2))
    monkeypatch.setattr(body, "DRAIN_SECONDS", 0.1)

    async def silent() -> Any:
        await asyncio.sleep(60)

    status, found = asyncio.run(ask(endpoint, b"", silent))
    assert (status, found["error"]) == (408, {"field": "body", "reason": "must arrive within 0.2 seconds"})


def test_a_caller_that_leaves_gets_no_answer_and_is_not_counted(endpoint: Any) -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(IndexError):  # nothing was sent
        asyncio.run(ask(endpoint, b"", gone))
    assert b'ml_requests_total{model="specimen_toy",version=' in endpoint.telemetry.exposition()
    assert re.search(rb"ml_requests_total{[^}]*} 0\.0", endpoint.telemetry.exposition())


def test_more_requests_at_once_than_allowed_are_503_at_once(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "IN_FLIGHT", 3)

    async def crowd() -> list[tuple[int, Any]]:
        arrived = asyncio.Event()

        async def slow() -> dict[str, Any]:
            await arrived.wait()
            return {"type": "http.request", "body": SAMPLE, "more_body": False}

        waiting = [asyncio.create_task(ask(endpoint, b"", slow)) for _ in range(3)]
        await asyncio.sleep(0)
        surplus = [await ask(endpoint, SAMPLE), await ask(endpoint, SAMPLE)]
        arrived.set()
        return [*await asyncio.gather(*waiting), *surplus, await ask(endpoint, SAMPLE)]

    found = asyncio.run(crowd())
    assert [status for status, _ in found] == [200, 200, 200, 503, 503, 200]
    assert found[3][1]["error"]["reason"] == "has too many requests at once; try again"


def test_probes_are_answered_between_slow_inferences(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def values(self, rows: Any) -> list[float]:
            time.sleep(0.02)
            return [0.5] * len(rows)

    monkeypatch.setattr(endpoint, "predictor", Slow())
    full = json.dumps(rows(*[{}] * 5)).encode()  # as many rows as one inference may have

    async def crowd() -> list[str]:
        order = []

        async def named(name: str, path: str) -> None:
            await ask(endpoint, full, path=path)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(named("predict", "/predict"))
            group.create_task(named("probe", "/livez"))
        return order

    assert asyncio.run(crowd()).index("probe") <= 2


def test_the_worker_runs_on_uvloop_and_httptools(server: Any) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux shows what a process has loaded")
    worker = max(server.processes(), key=lambda process: process.create_time())
    loaded = Path(f"/proc/{worker.pid}/maps").read_text()
    assert "uvloop" in loaded
    assert "httptools" in loaded


def test_the_bento_imports_nothing_of_the_stages_before_it_and_its_supervisor_no_runtime(bento: Path) -> None:
    script = "import sys, serving.runtime.{}; print(*sys.modules)"
    script = f"{script.format('entry')}; {script.format('predictor')}"
    done = subprocess.run([sys.executable, "-c", script], cwd=bento / "src", capture_output=True, text=True, check=True)
    supervisor, worker = ({name.split(".")[0] for name in line.split()} for line in done.stdout.splitlines())
    assert not {"numpy", "onnxruntime"} & supervisor
    assert {"serving", "bentoml", "onnxruntime"} <= worker
    heavy = {"pandera", "polars", "torch", "pandas", "pyarrow", "onnx", "sklearn", "matplotlib", "dvc"}
    assert not worker & {"repo", "data_schemas", "models", "deploy", *heavy}


def test_a_file_that_is_not_the_contract_s_is_not_served(bento: Path, contract: dict[str, Any]) -> None:
    path = bento / "src" / "model.onnx"
    with pytest.raises(ValueError, match=r"but contract\.json was built with 0000"):
        Predictor(path, {**contract, "onnx_sha256": "0" * 64})
    with pytest.raises(ValueError, match=r"but contract\.json gives"):
        Predictor(path, {**contract, "features": contract["features"][:-1]})


def test_a_model_that_fails_on_its_own_example_is_never_ready(bento: Path, contract: dict[str, Any]) -> None:
    features = [{**each, "example": 666.0} if each["name"] == "amount" else each for each in contract["features"]]
    with pytest.raises(ArithmeticError):
        Predictor(bento / "src" / "model.onnx", {**contract, "features": features})


def test_a_second_worker_is_refused(bento: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bentoml

    from serving.runtime.service import create

    monkeypatch.setattr(bentoml.server_context, "worker_index", 2)
    with pytest.raises(RuntimeError, match="add replicas instead"):
        create(bento / "src").to_asgi()


def test_bentoml_s_own_client_knows_the_service(server: Any) -> None:
    import bentoml

    with bentoml.SyncHTTPClient(server.address) as client:
        assert client.predict(rows=rows()["rows"])["model"] == toy.NAME
