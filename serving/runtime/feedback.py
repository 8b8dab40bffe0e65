"""POST /feedback: outcomes of earlier predictions, each by the signed id that came with it; nothing is stored.

An id says when, by which version and what was predicted, so that whatever pod answers counts it. Only a repetition
needs memory: it is noticed by the same pod within ten minutes.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from serving.runtime.errors import RequestError
from serving.runtime.outcomes import Outcomes, Predicted
from serving.runtime.request import FLOAT32_MAX
from serving.runtime.telemetry import family

FOLDER = "/var/run/secrets/feedback"  # of a Secret that Git names and never holds; $FEEDBACK_KEYS elsewhere
LEAST = 32  # bytes of a key
AGAIN = 60.0  # seconds after which the keys are read again
FIELDS = struct.Struct(">BI8sBd6s4s")  # key, Unix time, nonce, flags and bin, value, version, model
SIGNED = 16  # bytes of the HMAC-SHA256
LENGTH = (FIELDS.size + SIGNED) * 4 // 3  # of an id in base64, which needs no padding
LABELLED, BY_FILE = 0x80, 0x40  # flags: the label was 1; the version begins with onnx-
REMEMBERED, SECONDS = 50_000, 600.0  # ids, against repetition
# What ml_feedback_total calls an outcome -> status of a request with one like it.
RESULTS = {
    "counted": 200,
    "duplicate": 200,
    "malformed": 400,
    "forged": 403,
    "foreign": 404,
    "expired": 410,
    "unknown_version": 410,
}
OFF = "is off: this service has no key, a file `current` of at least 32 bytes in $FEEDBACK_KEYS"
logger = logging.getLogger("bentoml.serving")


class FeedbackError(Exception):
    """A request that is refused as a whole, and of which nothing is counted."""

    def __init__(self, status: int, field: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.error = status, RequestError("invalid", field, reason)


class Keys:
    """`current`, which signs, and `previous`, which is still taken; without the first there is no feedback."""

    def __init__(self) -> None:
        self._folder, self._read, self._found = Path(os.environ.get("FEEDBACK_KEYS", FOLDER)), -AGAIN, list[bytes]()

    def found(self) -> list[bytes]:
        if time.monotonic() - self._read >= AGAIN:
            self._read, self._found = time.monotonic(), [*self._keys()]
        return self._found

    def _keys(self) -> Iterator[bytes]:
        for name in ("current", "previous"):
            try:
                key = (self._folder / name).read_bytes().strip()
            except OSError:
                key = b""
            if len(key) >= LEAST:
                yield key
            elif key:
                logger.error("the feedback key `%s` is shorter than %d bytes and is not used", name, LEAST)
            if len(key) < LEAST and name == "current":
                return


class Item(NamedTuple):
    """An outcome that is in order."""

    predicted: Predicted
    outcome: Any
    nonce: bytes


class Feedback(Collector):
    """Of one model in one worker."""

    def __init__(self, contract: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self._labels = {"model": contract["model"], "version": contract["version"]}
        self._clock, self._keys, self._seconds = clock, Keys(), 86_400 * contract["feedback_days"]
        self._model = hashlib.sha256(contract["model"].encode()).digest()[:4]
        self._own, self._flags = _version(contract["version"])
        self._outcomes = Outcomes(contract)
        self._results = dict.fromkeys(RESULTS, 0)
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._expected, kind = _outcome(contract["answer"])
        item = msgspec.defstruct("Feedback", [("prediction_id", str), ("outcome", kind)], forbid_unknown_fields=True)
        items = Annotated[list[item], msgspec.Meta(min_length=1, max_length=contract["max_rows"])]  # type: ignore[valid-type]
        body = msgspec.defstruct("Request", [("feedback", items)], forbid_unknown_fields=True)
        self._most: int = contract["max_rows"]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode

    @property
    def on(self) -> bool:
        return bool(self._keys.found())

    def sign(self, values: Sequence[float]) -> list[str] | None:
        """An id for each value that an answer counts; None where feedback is off."""
        if not (keys := self._keys.found()):
            return None
        found = []
        for value in values:
            fine, label = self._outcomes.fine(value)
            flags = self._flags | (LABELLED if label else 0) | fine
            given = _key_id(keys[0]), int(self._clock()), os.urandom(8), flags, value, self._own, self._model
            payload = FIELDS.pack(*given)
            found.append(base64.urlsafe_b64encode(payload + _signature(keys[0], payload)).decode())
        return found

    def take(self, body: bytes) -> dict[str, int]:
        """{"counted": …, "duplicates": …}, or FeedbackError."""
        if not self._keys.found():
            raise FeedbackError(503, "feedback", OFF)
        try:
            given = self._decode(body).feedback
        except ValueError as error:  # msgspec's own errors among them, which may repeat a value
            at = re.search(r"at `\$\.?(.*)`$", str(error))
            raise self._refused("malformed", at[1] if at else "body", self._belongs(at[1] if at else "")) from None
        items = [self._checked(f"feedback[{place}]", each) for place, each in enumerate(given)]
        fresh = {item.nonce: item for item in items if not self._repeated(item.nonce)}
        if not self._outcomes.room({each.predicted.version for each in fresh.values()}):
            raise self._refused("unknown_version", "feedback", "names more versions than are counted at once")
        for item in fresh.values():
            self._seen[item.nonce] = time.monotonic()
            self._outcomes.count(item.predicted, item.outcome)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        self._results["counted"] += len(fresh)
        self._results["duplicate"] += len(items) - len(fresh)
        return {"counted": len(fresh), "duplicates": len(items) - len(fresh)}

    def _belongs(self, field: str) -> str:
        if field.endswith(".outcome"):
            return f"must be {self._expected}"
        if field.endswith(".prediction_id"):
            return f"must be an id that /predict gave, {LENGTH} characters"
        return f'must be {{"feedback": [{{"prediction_id": …, "outcome": …}}, …]}} with 1 to {self._most} of them'

    def _checked(self, where: str, given: Any) -> Item:
        field = f"{where}.prediction_id"
        try:
            content = base64.b64decode(given.prediction_id[: LENGTH + 1].encode("ascii"), b"-_", validate=True)
            payload, signature = content[:-SIGNED], content[-SIGNED:]
            key, when, nonce, flags, value, version, model = FIELDS.unpack(payload)
        except (ValueError, binascii.Error, struct.error):
            raise self._refused("malformed", field, self._belongs(field)) from None
        keys = [each for each in self._keys.found() if _key_id(each) == key]
        if not any(hmac.compare_digest(_signature(each, payload), signature) for each in keys):
            raise self._refused("forged", field, "was not signed by this service, or by a key that is out of use")
        if model != self._model:
            raise self._refused("foreign", field, "is of another model; send its outcome there")
        if self._clock() - when > self._seconds:
            days = self._seconds // 86_400
            raise self._refused("expired", field, f"is older than the {days} days for which outcomes are taken")
        name = self._labels["version"]
        if version != self._own or flags & BY_FILE != self._flags:
            name = ("onnx-" if flags & BY_FILE else "") + version.hex()
        return Item(Predicted(name, flags & ~LABELLED & ~BY_FILE, value, flags >> 7), given.outcome, nonce)

    def _repeated(self, nonce: bytes) -> bool:
        while self._seen and next(iter(self._seen.values())) < time.monotonic() - SECONDS:
            self._seen.popitem(last=False)
        return nonce in self._seen

    def _refused(self, result: str, field: str, reason: str) -> FeedbackError:
        self._results[result] += 1
        return FeedbackError(RESULTS[result], field, reason)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's seam."""
        yield family(
            "ml_feedback_total", "Outcomes sent, by what became of them", self._labels, ["result"], self._results
        )
        yield from self._outcomes.families({"model": self._labels["model"]})


def _key_id(key: bytes) -> int:
    return hashlib.sha256(key).digest()[0]


def _signature(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:SIGNED]


def _version(name: str) -> tuple[bytes, int]:
    """(six bytes, flags); of a name that is no version of a release, those of its hash."""
    digits = name.removeprefix("onnx-")
    if re.fullmatch("[0-9a-f]{12}", digits):
        return bytes.fromhex(digits), 0 if digits == name else BY_FILE
    return hashlib.sha256(name.encode()).digest()[:6], 0


def _outcome(answer: Mapping[str, Any]) -> tuple[str, Any]:
    """What an outcome has to be, in words and as a type."""
    if answer["names"]:
        return "the name of a class; see /docs.json", Literal[tuple(answer["names"])]
    if answer["threshold"] is not None:
        return "0 or 1", Literal[0, 1]
    return "a finite number", Annotated[float, msgspec.Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
