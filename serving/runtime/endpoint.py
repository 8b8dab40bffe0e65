"""What answers first: predictions, /feedback, /metrics and the OpenAPI page as bare ASGI; BentoML has the rest.

A fraction of the CPU of a typed route: no routing, no request object, no schema a response (tests/bench/serving.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic

from serving.runtime.answer import Answer, Values, former
from serving.runtime.batching import Row, Turns
from serving.runtime.body import Bodies, DisconnectedError, Message, Receive, drain
from serving.runtime.errors import KINDS, NotFiniteError, RefusedError, RequestError, explain
from serving.runtime.feedback import OFF, Feedback, FeedbackError
from serving.runtime.inference import Inference, named
from serving.runtime.log import Log
from serving.runtime.request import Contract, decoder, models
from serving.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from serving.runtime.predictor import Predictor

Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Gets = dict[str, Callable[[Send], Awaitable[None]]]
Header = tuple[bytes, bytes]
Answered = tuple[bytes, Iterable[Header], list[float], int]  # of a 200: body, headers, what to count, positives
Answering = Callable[[Message, Receive], Awaitable[Answered]]

IN_FLIGHT = 256  # requests at once in one worker, reading or waiting; the next one gets 503 at once
JSON = (b"content-type", b"application/json")
PAGE = Path(__file__).with_name("page.html").read_bytes()  # now: a Bento without it cannot be built
# Paths that BentoML answers; static_content holds the assets of the OpenAPI page.
PASSED = ("/livez", "/readyz", "/healthz", "/schema.json")
QUERIES = {b"": False, b"prediction_ids=false": False, b"prediction_ids=true": True}  # of /predict
ASSETS = "/static_content/"
V2 = "/v2"  # whose errors are text
logger = logging.getLogger("bentoml.serving")


class Endpoint:
    """One worker's front. `predictor` is set once the model is loaded, which is before the server accepts anything."""

    predictor: Predictor

    def __init__(self, app: App, contract: Contract, specification: Callable[[], dict[str, Any]]) -> None:
        self._app = app
        self._contract = contract
        self._specification = specification
        self.feedback = Feedback(contract)
        self._log = Log(contract) if contract["log"] else None
        self.telemetry = Telemetry(contract, *filter(None, (self.feedback, self._log)))
        self._decode = decoder(contract, self.telemetry.noticed)
        self._request = models(contract)[0]
        self.bodies = Bodies(contract["max_body_bytes"])
        self._field: str = contract["answer"]["field"]
        self._form = former(contract["answer"])
        self._tail = {"model": contract["model"], "version": contract["version"]}
        self._encode = msgspec.json.Encoder().encode
        self._in_flight = 0
        self._turns = Turns(self._predicted, contract["max_rows"])
        self._complained = -3600.0
        self._inference = Inference(contract)
        self._posts: dict[str, App] = {"/predict": partial(self._judged, self._predict), "/feedback": self._learn}
        self._posts |= dict.fromkeys(self._inference.paths, partial(self._judged, self._infer))
        self._gets: Gets = {"/": self._page, "/docs.json": self._docs, "/metrics": self._metrics}
        self._gets |= {path: partial(_given, content) for path, content in self._inference.documents.items()}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if self._log and scope["type"] == "lifespan":
                self._log.close()
            return None
        path, method = scope["path"], scope["method"]
        if post := self._posts.get(path):
            if method == "POST":
                return await post(scope, receive, send)
            return await _refuse(scope, send, 405, RequestError("", "method", "must be POST"), (b"allow", b"POST"))
        own = self._gets.get(path)
        if own is None and path not in PASSED and not path.startswith(ASSETS):
            known = "/predict, /feedback, /docs.json, /metrics, /livez, /readyz, /v2"
            if path.startswith(V2):
                known = ", ".join((*self._inference.documents, *self._inference.paths))
            return await _refuse(scope, send, 404, RequestError("", "path", f"is not one of {known}"))
        if method not in ("GET", "HEAD"):
            return await _refuse(scope, send, 405, RequestError("", "method", "must be GET"), (b"allow", b"GET, HEAD"))
        return await (own(send) if own else self._app(scope, receive, send))

    async def _judged(self, answer: Answering, scope: Message, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        self._in_flight += 1
        try:
            content, headers, counted, positives = await answer(scope, receive)
        except RefusedError as refusal:
            self.telemetry.failed(time.perf_counter() - started, refusal.error.kind, refusal.error.broken)
            await self._send_error(refusal.error, scope, receive, send)
        except DisconnectedError:
            pass
        else:
            self.telemetry.answered(time.perf_counter() - started, counted, positives)
            await _send(send, 200, content, *headers)
        finally:
            self._in_flight -= 1

    async def _send_error(self, error: RequestError, scope: Message, receive: Receive, send: Send) -> None:
        """Send the error; a caller that is still sending gets the answer first and a closed connection at the end."""
        status = KINDS[error.kind][0]
        if error.kind not in ("too_large", "timeout"):
            return await _refuse(scope, send, status, error)
        await _refuse(scope, send, status, error, (b"connection", b"close"), more=True)
        await drain(receive)
        return await send({"type": "http.response.body", "body": b""})

    async def _predict(self, scope: Message, receive: Receive) -> Answered:
        body = await self._body(scope, receive)
        if (identified := QUERIES.get(scope["query_string"])) is None:
            raise RefusedError("invalid", "query", "must be prediction_ids=true, or nothing", ("", "unknown"))
        fields, counted, positives = await self._fields(body, len(body), identified)
        return self._encode({**fields, **self._tail}), (JSON,), counted, positives

    async def _infer(self, scope: Message, receive: Receive) -> Answered:
        """As _predict, by the Open Inference Protocol."""
        body = await self._body(scope, receive)
        content, asked = self._inference.read(body, scope["headers"])
        try:
            fields, counted, positives = await self._fields(content, len(body), "prediction_ids" in asked[0])
        except RefusedError as refusal:
            raise RefusedError(*named(refusal.error)) from None
        return *self._inference.answer(asked, fields), counted, positives

    async def _fields(self, content: bytes, size: int, identified: bool) -> Answer:
        """The answer to rows as JSON, from a body of `size` bytes, or RefusedError."""
        try:
            rows = self._decode(content)
        except (ValueError, RecursionError) as error:  # msgspec's own errors among them
            raise self._explained(content) from error
        fields, counted, positives = self._form(await self._values(rows))
        if identified:
            if (ids := self.feedback.sign(counted)) is None:
                raise RefusedError("invalid", "prediction_ids", f"cannot be given: feedback {OFF}", ("", "shape"))
            fields["prediction_ids"] = ids
        if self._log is not None:
            self._log.take(size, rows, fields)
        return fields, counted, positives

    async def _learn(self, scope: Message, receive: Receive, send: Send) -> None:
        self._in_flight += 1
        try:
            counted = self.feedback.take(await self._body(scope, receive))
        except RefusedError as refusal:
            await self._send_error(refusal.error, scope, receive, send)
        except FeedbackError as refusal:
            await _refuse(scope, send, refusal.status, refusal.error)
        except DisconnectedError:
            pass
        else:
            await _send(send, 200, self._encode(counted), JSON)
        finally:
            self._in_flight -= 1

    async def _body(self, scope: Message, receive: Receive) -> bytes:
        if self._in_flight > IN_FLIGHT:
            raise RefusedError("overload", "service", "has too many requests at once; try again")
        return await self.bodies.read(scope, receive) or b"{}"  # as BentoML reads an empty one

    def _predicted(self, rows: list[Row], sizes: list[int]) -> Values:
        values = self.predictor.values(rows)
        self.telemetry.features.count(rows, sizes, self.predictor.feed)
        return values

    async def _values(self, rows: list[Row]) -> Values:
        try:
            return await self._turns.values(rows)
        except NotFiniteError:
            raise RefusedError("not_finite", self._field, "the model gave a value that is not finite") from None
        except Exception as error:
            # Once a minute, and without the message, which may hold the caller's values; the counter has the rest.
            if time.monotonic() - self._complained > 60:
                self._complained = time.monotonic()
                logger.error("inference failed with %s; ml_errors_total counts how often", type(error).__name__)
            raise RefusedError("inference", self._field, "the model failed on this request") from None

    def _explained(self, body: bytes) -> RefusedError:
        """The error in the words of the typed API, which knows it in more detail than the fast decoder."""
        try:
            self._request.model_validate_json(body)
        except pydantic.ValidationError as found:
            return RefusedError(*explain(found.errors(include_url=False)[0], self._contract))
        # As with a key that is there twice: pydantic looks at the last, the decoder at both.
        reason = "must fit the contract and name every key once; see /docs.json"
        return RefusedError("invalid", "body", reason, ("", "shape"))

    async def _page(self, send: Send) -> None:
        # The page needs its own host only; BentoML's would load a tag manager from elsewhere.
        policy = b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
        html = (b"content-type", b"text/html; charset=utf-8")
        await _send(send, 200, PAGE, html, (b"content-security-policy", policy))

    async def _docs(self, send: Send) -> None:
        await _send(send, 200, self._encode(self._specification()), JSON)

    async def _metrics(self, send: Send) -> None:
        await _send(
            send, 200, self.telemetry.exposition(), (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        )


async def _given(content: bytes, send: Send) -> None:
    await _send(send, 200, content, JSON)


async def _send(send: Send, status: int, content: bytes, *headers: Header, more: bool = False) -> None:
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def _refuse(
    scope: Message, send: Send, status: int, error: RequestError, *headers: Header, more: bool = False
) -> None:
    """{"error": {"field": …, "reason": …}}, at most 2 KB; the Open Inference Protocol has one text."""
    field, reason = error.field[:200], error.reason[:1000]
    told = f"{field}: {reason}" if scope["path"].startswith(V2) else {"field": field, "reason": reason}
    await _send(send, status, msgspec.json.encode({"error": told}), JSON, *headers, more=more)
