"""A share of requests and answers as gzipped JSON lines in $REQUEST_LOG, without what is personal.

A thread writes them and no request waits for it: what cannot be kept is dropped and counted.
"""

import contextlib
import gzip
import logging
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from serving.runtime.telemetry import family

FOLDER = "/var/log/requests"  # in a pod a volume of 256 MiB, beyond which it would be evicted
TOTAL, FILE, BLOCK = 192_000_000, 16_000_000, 4096  # bytes: of all files, of one, and the least that one takes
SECONDS, PAUSE, LAST = 600.0, 60.0, 2.0  # of a file, from a failure to the next try, and for what waits at the end
WAITING, CELL = 16_000_000, 64  # bytes that wait in memory, and what a value takes there
COUNTED = ("ml_log_written_total", "ml_log_dropped_total")  # sampled requests
logger = logging.getLogger("bentoml.serving")


class Log(Collector):
    """Of one model in one worker. Each count is changed by one thread alone, so none needs a lock."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        self._labels = {"model": contract["model"], "version": contract["version"]}
        self._share, self._kept_for = contract["log"]["share"], 86_400 * contract["log"]["days"]
        self._field, features = contract["answer"]["field"], contract["features"]
        self._columns = [(place, each["name"]) for place, each in enumerate(features) if not each["personal"]]
        self._row = CELL * (1 + len(features) + len(contract["answer"]["names"] or ()))  # bytes in memory
        self._folder = Path(os.environ.get("REQUEST_LOG", FOLDER))
        self._queue = queue.SimpleQueue[tuple[int, datetime, Sequence[Any], Mapping[str, Any]] | None]()
        self._given = self._taken = self._full = self._lost = self._written = 0  # the first two are bytes
        self._file: gzip.GzipFile | None = None
        self._end = self._again = 0.0  # monotonic seconds: of the file, and of a pause
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def take(self, size: int, rows: Sequence[Any], fields: Mapping[str, Any]) -> None:
        """Keep a request with a body of `size` bytes and the fields of its answer, by chance."""
        if random.random() >= self._share:  # noqa: S311
            return
        if self._given - self._taken > WAITING:
            self._full += 1
            return
        size += self._row * len(rows)
        self._given += size
        self._queue.put((size, datetime.now(UTC), rows, fields))

    def close(self) -> None:
        """Write what waits and end the file: the server stops."""
        self._ending = True
        self._queue.put(None)
        self._thread.join(LAST)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's seam."""
        for name, count in zip(COUNTED, (self._written, self._full + self._lost), strict=True):
            yield family(name, "Requests of the sample, by what became of them", self._labels, (), {(): count})

    def _work(self) -> None:
        while True:
            given, written = None, False
            with contextlib.suppress(queue.Empty):
                given = self._queue.get(timeout=1)
            ending = self._ending and given is None
            try:
                if ending or time.monotonic() >= max(self._again, self._end):
                    self._turn()
                written = given is not None and time.monotonic() >= self._again and self._write(*given[1:])
            except Exception as error:
                self._again, self._end = time.monotonic() + PAUSE, 0.0
                reason = getattr(error, "strerror", None) or type(error).__name__  # no message: it may hold values
                logger.error("the request log pauses: %s; ml_log_dropped_total counts what it lacks", reason)
            if given is not None:
                self._written, self._lost = self._written + written, self._lost + (not written)
                self._taken += given[0]
            if ending:
                return

    def _write(self, when: datetime, rows: Sequence[Any], fields: Mapping[str, Any]) -> bool:
        kept = []
        for place, row in enumerate(rows):
            kept.append(msgspec.Raw(msgspec.json.encode({name: row[column] for column, name in self._columns})))
            if not place % 50:
                time.sleep(0)  # requests go first
        found = {"time": when, **self._labels, "rows": kept, "values": fields[self._field]}
        line = msgspec.json.encode(found | {key: fields[key] for key in fields if key == "prediction_ids"}) + b"\n"
        if len(line) > FILE:
            return False
        if self._file and os.fstat(self._file.fileno()).st_size + len(line) > FILE:
            self._turn()
        if not self._file:
            name = f"requests-{when:%Y%m%dT%H%M%S.%fZ}-{socket.gethostname()}.jsonl.gz"
            self._file = gzip.GzipFile(self._folder / name, "xb", 6)
        self._file.write(line)
        self._file.flush()  # a file that is cut short can be read up to here
        return True

    def _turn(self) -> None:
        """End the file; remove what is old, then the oldest until a file more has room."""
        self._end, room = time.monotonic() + SECONDS, TOTAL - FILE
        with contextlib.suppress(OSError), self._file or contextlib.nullcontext():  # its lines are there anyway
            self._file = None
        found = ((path.stat(), path) for path in self._folder.glob("requests-*.jsonl.gz"))
        for stat, path in sorted(found, key=lambda each: (each[0].st_mtime, each[1]), reverse=True):
            room -= stat.st_size + BLOCK
            if room < 0 or not stat.st_size or stat.st_mtime < time.time() - self._kept_for:
                path.unlink(missing_ok=True)
