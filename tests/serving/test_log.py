"""The sampled log of requests and answers."""

import asyncio
import gzip
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.lib import logged
from serving.runtime import log
from tests.serving import toy
from tests.serving.conftest import in_process

Start = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$REQUEST_LOG, with a key for prediction ids beside it."""
    for name in ("log", "keys"):
        (tmp_path / name).mkdir()
    (tmp_path / "keys/current").write_bytes(b"c" * 32)
    monkeypatch.setenv("FEEDBACK_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("REQUEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def start(bento: Path, contract: dict[str, Any], folder: Path) -> Start:  # noqa: ARG001
    """Make the toy's endpoint with a log."""
    return lambda share=1.0: in_process(bento / "src", contract | {"log": {"share": share, "days": 7}})


def send(endpoint: Any, *bodies: Any) -> None:
    async def every() -> None:
        for body in bodies:
            assert (await toy.ask(endpoint, json.dumps(body).encode()))[0] == 200

    asyncio.run(every())


def counts(endpoint: Any) -> dict[str, float]:
    families = text_string_to_metric_families(endpoint.telemetry.exposition().decode())
    samples = [each for family in families for each in family.samples if each.name.startswith("ml_log")]
    return {each.name.removeprefix("ml_log_"): each.value for each in samples}


def settled(endpoint: Any, many: int) -> tuple[float, float]:
    """(written, dropped) once they are `many` together."""
    until = time.monotonic() + 20
    while sum((found := counts(endpoint)).values()) < many and time.monotonic() < until:
        time.sleep(0.002)
    assert sum(found.values()) == many
    return found["written_total"], found["dropped_total"]


def text(path: Path) -> str:
    """Of a file that may have no end yet."""
    found = ""
    try:
        with gzip.open(path, "rt") as file:
            for line in file:
                found += line
    except EOFError:
        pass
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.gz")) for line in text(path).splitlines()]


def test_it_holds_rows_and_values_as_sent_and_nothing_personal(served: Path, folder: Path) -> None:
    contract = json.loads((served / "contract.json").read_text())
    endpoint = in_process(served, contract | {"log": {"share": 1, "days": 7}})
    asked = [toy.rows({"free": 123456.5, "amount": None}, {"kind": "ü"}), toy.rows({"free": 123456.5}, {})]
    got = [toy.answer(endpoint, asked[0])[1], toy.answer(endpoint, asked[1], "prediction_ids=true")[1]]
    assert toy.answer(endpoint, toy.rows({"kind": "123456.5"}))[0] == 400
    assert settled(endpoint, 2) == (2, 0)
    (path,) = folder.iterdir()
    assert "free" not in text(path)
    assert "123456.5" not in text(path)
    for line, sent, answer in zip(lines(folder), asked, got, strict=True):
        assert line.pop("time")[:2] == "20"
        rows = [{name: value for name, value in row.items() if name != "free"} for row in sent["rows"]]
        wanted = {
            "model": contract["model"],
            "version": contract["version"],
            "rows": rows,
            "values": answer[contract["answer"]["field"]],
        }
        ids = {"prediction_ids": answer["prediction_ids"]} if "prediction_ids" in answer else {}
        assert line == wanted | ids
    for cut, many in ((0, 1), (8, 0)):  # the pod was killed now, or while it wrote the second line
        path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
        found = list(logged.lines(folder, contract["model"]))
        assert [len(found), sum("prediction_ids" in each for each in found)] == [1 + many, many]
    path.write_bytes(path.read_bytes()[:1])
    assert list(logged.lines(folder, contract["model"])) == []


def test_without_it_there_is_no_thread_and_no_series(bento: Path, contract: dict[str, Any], folder: Path) -> None:
    before = threading.active_count()
    endpoint = in_process(bento / "src", contract)
    send(endpoint, toy.rows())
    assert (threading.active_count(), counts(endpoint), list(folder.iterdir())) == (before, {}, [])


@pytest.mark.parametrize("wrong", ["missing", "a file", "full"])
def test_what_cannot_be_written_is_dropped_and_requests_go_on(
    wrong: str, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "PAUSE", 0.7)
    with monkeypatch.context() as patch:
        if wrong == "full":
            if not Path("/dev/full").exists():
                pytest.skip("no /dev/full; run it on Linux")
            device, kind = Path("/dev/full"), gzip.GzipFile
            patch.setattr(gzip, "GzipFile", lambda *_: kind(fileobj=device.open("wb"), mode="wb"))
        else:
            folder.rmdir()
        if wrong == "a file":
            folder.touch()
        endpoint = start()
        send(endpoint, *[toy.rows({"code": "QQQ"})] * 3)
        assert settled(endpoint, 3) == (0, 3)
        (told,) = [each.getMessage() for each in caplog.records if "request log" in each.getMessage()]  # not each time
        assert {"full": "No space", "missing": "No such", "a file": "Not a dir"}[wrong] in told
    if wrong == "a file":
        folder.unlink()
    folder.mkdir(exist_ok=True)
    time.sleep(0.7)
    send(endpoint, toy.rows())
    assert settled(endpoint, 4) == (1, 3)


def test_a_full_queue_drops_and_no_request_waits(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    go, kind = threading.Event(), gzip.GzipFile

    def late(*given: Any) -> gzip.GzipFile:
        assert go.wait(20)
        return kind(*given)

    monkeypatch.setattr(gzip, "GzipFile", late)
    monkeypatch.setattr(log, "WAITING", 2000)
    endpoint = start()
    send(endpoint, *[toy.rows()] * 20)  # of which each takes 600 to 700 bytes
    assert counts(endpoint) == {"written_total": 0, "dropped_total": 16}
    go.set()
    assert settled(endpoint, 20) == (4, 16)


def test_files_end_by_size_and_the_oldest_go_first(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE", 4000)
    monkeypatch.setattr(log, "BLOCK", 0)
    monkeypatch.setattr(log, "TOTAL", 12_000)
    for name, days in (("requests-a.jsonl.gz", 8), ("requests-b.jsonl.gz", 6), ("others.gz", 8)):
        (folder / name).write_bytes(b"x" * 10)
        os.utime(folder / name, times=(time.time() - 86_400 * days,) * 2)
    endpoint = start()
    send(endpoint, toy.rows())
    assert settled(endpoint, 1) == (1, 0)
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 3
    assert names > {"requests-b.jsonl.gz", "others.gz"}
    (folder / "requests-b.jsonl.gz").unlink()
    (folder / "others.gz").unlink()
    for part in range(20):
        send(endpoint, *[toy.rows({"amount": part + each / 50}) for each in range(20)])
        assert settled(endpoint, 1 + 20 * (part + 1))[1] == 0
        sizes = [path.stat().st_size for path in folder.iterdir()]
        assert max(sizes) <= 4100
        assert sum(sizes) <= 12_100
    amounts = [line["rows"][0]["amount"] for line in lines(folder)]
    assert 40 < len(amounts) < 400
    assert amounts == [each / 50 for part in range(20) for each in range(50 * part, 50 * part + 20)][-len(amounts) :]


def test_files_end_by_time(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SECONDS", 0.0)
    endpoint = start()
    for many in range(1, 4):
        send(endpoint, toy.rows())
        assert settled(endpoint, many) == (many, 0)
    assert [gzip.decompress(path.read_bytes()).count(b"\n") for path in sorted(folder.iterdir())[:2]] == [1, 1]
    assert len(list(folder.iterdir())) == 3


def test_a_server_that_stops_ends_its_file(start: Start, folder: Path) -> None:
    endpoint = start()
    send(endpoint, *[toy.rows()] * 20)

    async def nothing() -> None:
        return

    asyncio.run(endpoint({"type": "lifespan"}, nothing, lambda _: nothing()))
    (path,) = folder.iterdir()
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 20


def test_a_line_beyond_a_file_is_dropped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE", 300)
    endpoint = start()
    send(endpoint, toy.rows({}, {}, {}, {}), toy.rows())
    assert settled(endpoint, 2) == (1, 1)


def test_it_takes_a_share_of_the_requests(start: Start) -> None:
    endpoint = start(0.3)
    send(endpoint, *[toy.rows()] * 500)
    time.sleep(0.05)
    assert 90 < sum(counts(endpoint).values()) < 210  # six standard deviations
