"""The Open Inference Protocol, version 2, as JSON and with binary tensors: the tensors of a request become the rows of
a /predict, which its decoder takes, so that contract, errors and counts are the same; the answer becomes tensors again.
"""

import math
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from serving.runtime.answer import labels
from serving.runtime.errors import SHOWN, RefusedError, RequestError
from serving.runtime.request import FLOAT32_MAX

LENGTH = "Inference-Header-Content-Length"  # bytes of the JSON before the binary tensors
HEADER = LENGTH.lower().encode()
Headers = Iterable[tuple[bytes, bytes]]
INTEGERS = {"INT64": "q", "INT32": "i", "INT16": "h", "INT8": "b", "UINT64": "Q", "UINT32": "I", "UINT16": "H"}
INTEGERS |= {"UINT8": "B", "BOOL": "?"}
CODES = INTEGERS | {"FP32": "f", "FP64": "d"}  # of struct
TAKEN = {"string": ("BYTES",), "integer": (*INTEGERS,), "number": ("FP32", "FP64", *INTEGERS)}  # the first: metadata's
ROW = re.compile(r"rows\[(\d+)\]\.(.+)", re.DOTALL)
SIZE, SINGLE = struct.Struct("<I"), struct.Struct("<f")


class Parameters(msgspec.Struct):
    """Those that mean something here, of a request, an input or an output; all others are ignored."""

    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False
    prediction_ids: bool = False


class Tensor(msgspec.Struct):
    """An input, or an output that is asked for by its name."""

    name: str
    datatype: str = ""
    shape: list[int] = []
    data: list[str | int | float | bool | None] | None = None
    parameters: Parameters | None = None


class Request(msgspec.Struct):
    inputs: list[Tensor]
    outputs: list[Tensor] | None = None
    parameters: Parameters | None = None
    id: str | None = None


NONE = Parameters()
Asked = tuple[dict[str, bool], str | None]  # the outputs, each binary or not, and an id that the answer repeats


class Inference:
    """The protocol for one model. `documents`: path -> what a GET answers; `paths`: of a POST."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        self._types = {each["name"]: each["type"] for each in contract["features"]}
        self._dropped = set(contract.get("dropped", ()))
        self._most: int = contract["max_rows"]
        self._decode = msgspec.json.Decoder(Request).decode
        self._encode = msgspec.json.Encoder().encode
        answer, name, version = contract["answer"], contract["model"], contract["version"]
        self._head = {"model_name": name, "model_version": version}
        self._field, names = answer["field"], answer["names"]
        # FP64, because /predict answers in double precision, whatever the graph has.
        outputs = [_tensor(self._field, "FP64", *([len(names)] if names else []))]
        if names:  # as text: a parameter of this protocol is no list
            outputs[0]["parameters"] = {"names": self._encode(names).decode()}
        if labels(answer):
            outputs.append(_tensor("labels", "BYTES" if names else "INT64"))
        self._defaults = [Tensor(each["name"]) for each in outputs]
        self._outputs = {each["name"]: each for each in (*outputs, _tensor("prediction_ids", "BYTES"))}
        inputs = [_tensor(key, TAKEN[kind][0]) for key, kind in self._types.items()]
        about = {"name": name, "versions": [version], "platform": "onnx_onnxv1", "inputs": inputs, "outputs": outputs}
        own = f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"
        self.paths = [f"{path}/infer" for path in own]
        documents = {
            "/v2": {"name": name, "version": version, "extensions": ["binary_tensor_data"]},
            "/v2/health/live": {"live": True},
            "/v2/health/ready": {"ready": True},  # before the model is loaded nothing is accepted
            **dict.fromkeys(own, about),
            **{f"{path}/ready": {"name": name, "ready": True} for path in own},
        }
        self.documents = {path: self._encode(content) for path, content in documents.items()}

    def read(self, body: bytes, headers: Headers) -> tuple[bytes, Asked]:
        """(the rows as JSON for /predict, what the answer holds), or RefusedError."""
        length = dict(headers).get(HEADER, b"%d" % len(body))
        if not (length.isdigit() and len(length) < 12 and int(length) <= len(body)):
            raise _wrong(LENGTH, f"must be the length of the JSON, at most the {len(body)} bytes of the body")
        try:
            request = self._decode(body[: int(length)])
        except msgspec.ValidationError as error:
            reason, _, field = str(error).replace("Expected", "must be").partition(" - at `$.")
            reason = reason.replace("Object missing required field", "must have the key")
            raise _wrong(field.rstrip("`") or "body", reason) from None
        except (ValueError, RecursionError) as error:  # msgspec's own errors among them
            detail = str(error).removeprefix("JSON is malformed: ")
            reason = f"must be JSON, null for NaN, and {LENGTH} its length if tensors follow: {detail}"
            raise RefusedError("malformed", "body", reason) from None
        columns = self._columns(request.inputs, body[int(length) :])
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return self._encode({"rows": rows}), (self._selected(request), request.id)

    def _columns(self, inputs: list[Tensor], tail: bytes) -> dict[str, list[Any]]:
        """Input -> its values as in JSON, as many of each."""
        columns: dict[str, list[Any]] = {}
        rows = 0
        for each in inputs:
            field, data, size = f"inputs[{each.name[:SHOWN]}]", each.data, (each.parameters or NONE).binary_data_size
            if each.name in columns:
                raise _wrong(field, "must be there once")
            if (data is None) == (size is None):
                raise _wrong(field, "must have one of data and parameters.binary_data_size")
            if size is not None and size > len(tail):
                raise _wrong(f"{field}.parameters.binary_data_size", f"must be in the body, after a JSON of {LENGTH}")
            given, tail = (data, tail) if size is None else (tail[:size], tail[size:])
            if each.name in self._dropped:
                columns[each.name] = []
                continue
            if each.name not in self._types:
                raise _wrong(field, "is not an input of this model; see /docs.json", ("", "unknown"))
            shape = each.shape[:1] if each.shape[1:] in ([], [1]) else []
            if not shape or not 1 <= shape[0] <= self._most or shape[0] != (rows or shape[0]):
                belongs = f"{rows} rows, as its first input" if rows else f"1 to {self._most} rows"
                raise _wrong(f"{field}.shape", f"must be [rows] or [rows, 1] with {belongs}")
            (rows,) = shape
            kinds, of_type = TAKEN[self._types[each.name]], (each.name, "type")
            if each.datatype not in kinds:
                raise _wrong(f"{field}.datatype", f"must be one of {', '.join(kinds)}", of_type)
            try:
                columns[each.name] = _values(each.datatype, given, rows)
            except ValueError as error:
                raise _wrong(field, str(error), of_type) from None
        if tail or not rows:
            raise _wrong("inputs", f"must be tensors of 1 to {self._most} rows that fill the body; see /docs.json")
        return {name: values or [None] * rows for name, values in columns.items()}

    def _selected(self, request: Request) -> dict[str, bool]:
        every, found = request.parameters or NONE, dict[str, bool]()
        ids = [Tensor("prediction_ids")] if every.prediction_ids else []
        for each in (*(request.outputs or self._defaults), *ids):
            if each.name not in self._outputs:
                broken = "", "unknown"
                raise _wrong(f"outputs[{each.name[:SHOWN]}]", f"must be one of {', '.join(self._outputs)}", broken)
            binary = (each.parameters or NONE).binary_data
            found.setdefault(each.name, every.binary_data_output if binary is None else binary)
        return found

    def answer(self, asked: Asked, fields: Mapping[str, Any]) -> tuple[bytes, Headers]:
        """Body and headers of a 200, from the fields of /predict's answer."""
        outputs, parts = [], []
        for name, binary in asked[0].items():
            values, output = fields[name], dict(self._outputs[name])
            output["shape"] = [len(values), *output["shape"][1:]]
            if isinstance(values[0], dict):
                values = [share for row in values for share in row.values()]
            if binary:
                parts.append(_packed(output["datatype"], values))
                output["parameters"] = {**output.get("parameters", {}), "binary_data_size": len(parts[-1])}
            else:
                output["data"] = values
            outputs.append(output)
        repeated = {} if asked[1] is None else {"id": asked[1]}
        head = self._encode({**self._head, **repeated, "outputs": outputs})
        if not parts:
            return head, [(b"content-type", b"application/json")]
        kind = b"content-type", b"application/octet-stream"
        return b"".join((head, *parts)), [kind, (HEADER, b"%d" % len(head))]


def named(error: RequestError) -> RequestError:
    """An error of the rows in the words of who sent tensors: rows[3].distance is inputs[distance][3]."""
    if not (found := ROW.fullmatch(error.field)):
        return error
    missing = error.broken is not None and error.broken[1] == "missing"
    return error._replace(field=f"inputs[{found[2]}]" + ("" if missing else f"[{found[1]}]"))


def _wrong(field: str, reason: str, broken: tuple[str, str] = ("", "shape")) -> RefusedError:
    return RefusedError("invalid", field, reason, broken)


def _tensor(name: str, datatype: str, *width: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *width]}


def _values(datatype: str, given: Any, rows: int) -> list[Any]:
    """What /predict would get in JSON; ValueError says what belongs there instead."""
    if isinstance(given, bytes):
        texts = datatype == "BYTES"
        try:
            given = _texts(given) if texts else [each for (each,) in struct.iter_unpack("<" + CODES[datatype], given)]
        except (ValueError, struct.error):
            belongs = "texts in UTF-8, each after its length in four bytes" if texts else f"whole values of {datatype}"
            raise ValueError(f"must be {belongs}") from None
    if len(given) != rows:
        raise ValueError(f"must have as many values as its shape says, {rows}")
    return [_value(datatype, each) for each in given] if {bool, float} & {*map(type, given)} else given


def _value(datatype: str, value: Any) -> Any:
    if isinstance(value, bool):
        return int(value) if datatype == "BOOL" else value
    if not isinstance(value, float) or math.isnan(value):
        return None if value != value else value
    if math.isinf(value):
        return msgspec.Raw(b"1e999")  # for the decoder to refuse; the encoder would write null
    if datatype in INTEGERS and value.is_integer():
        return int(value)  # JSON has one kind of number, and some clients write 3 as 3.0
    if datatype == "FP32" and abs(value) <= FLOAT32_MAX:
        # The 0.1 that a caller had, not 0.10000000149: limits and bins know the difference, the graph does not.
        short = float(f"{value:.7g}")
        return short if SINGLE.pack(short) == SINGLE.pack(value) else value
    return value


def _texts(content: bytes) -> list[str]:
    found, end = [], 0
    while end < len(content):
        start = end + SIZE.size
        end = start + SIZE.unpack_from(content, end)[0]
        found.append(content[start:end].decode())
    if end > len(content):
        raise ValueError
    return found


def _packed(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(SIZE.pack(len(text)) + text for text in map(str.encode, values))
    return struct.pack(f"<{len(values)}{CODES[datatype]}", *values)
