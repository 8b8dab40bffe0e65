"""The Open Inference Protocol, version 2, as JSON and with binary tensors: the tensors of a request become the rows of
a /predict, which its decoder takes, so that contract, errors and counts are the same; the answer becomes tensors again.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from serving.runtime import tensors
from serving.runtime.answer import labels
from serving.runtime.errors import SHOWN, RefusedError, RequestError

LENGTH = "Inference-Header-Content-Length"  # bytes of the JSON before the binary tensors
HEADER = LENGTH.lower().encode()
ROW = re.compile(r"rows\[(\d+)\]\.(.+)", re.DOTALL)


class Parameters(msgspec.Struct):
    """Those that mean something here, of a request, an input or an output; all others are ignored."""

    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False
    prediction_ids: bool = False


class Tensor(msgspec.Struct):
    """An input, or the name of an output."""

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


class Asked(NamedTuple):
    """The rows as JSON for /predict, the outputs that are wanted, each binary or not, and what the answer repeats."""

    rows: bytes
    outputs: dict[str, bool]
    id: str | None


NONE = Parameters()


class Inference:
    """The protocol for one model. `documents`: path -> what a GET answers; `paths`: of a POST."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        self._features = {each["name"]: each for each in contract["features"]}
        self._dropped = set(contract.get("dropped", ()))
        self._most: int = contract["max_rows"]
        self._decode = msgspec.json.Decoder(Request).decode
        self._encode = msgspec.json.Encoder().encode
        answer, name, version = contract["answer"], contract["model"], contract["version"]
        self._names, self._field = answer["names"], answer["field"]
        # FP64, because /predict answers in double precision, whatever the graph has.
        shares: dict[str, Any] = {"name": self._field, "datatype": "FP64", "shape": [-1]}
        if self._names:  # as text: a parameter of this protocol is no list
            shares |= {"shape": [-1, len(self._names)], "parameters": {"names": self._encode(self._names).decode()}}
        kind = "BYTES" if self._names else "INT64"
        outputs = [shares, *([{"name": "labels", "datatype": kind, "shape": [-1]}] if labels(answer) else [])]
        self._defaults = [Tensor(each["name"]) for each in outputs]
        identities = {"name": "prediction_ids", "datatype": "BYTES", "shape": [-1]}
        self._outputs = {each["name"]: each for each in (*outputs, identities)}
        self._head = {"model_name": name, "model_version": version}
        about = {"name": name, "versions": [version], "platform": "onnx_onnxv1", "outputs": outputs}
        about["inputs"] = [
            {"name": key, "datatype": tensors.TAKEN[each["type"]][0], "shape": [-1]}
            for key, each in self._features.items()
        ]
        own = f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"
        documents: dict[str, Any] = {
            "/v2": {"name": name, "version": version, "extensions": ["binary_tensor_data"]},
            "/v2/health/live": {"live": True},
            "/v2/health/ready": {"ready": True},  # before the model is loaded nothing is accepted
            **dict.fromkeys(own, about),
            **{f"{path}/ready": {"name": name, "ready": True} for path in own},
        }
        self.documents = {path: self._encode(content) for path, content in documents.items()}
        self.paths = [f"{path}/infer" for path in own]

    def read(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Asked:
        """What a body asks for, or RefusedError."""
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
        return Asked(self._encode({"rows": rows}), self._selected(request), request.id)

    def _columns(self, inputs: list[Tensor], tail: bytes) -> dict[str, list[Any]]:
        """Input -> its values, as many of each."""
        columns: dict[str, list[Any]] = {}
        dropped, rows = set(), 0
        for each in inputs:
            field, data, size = f"inputs[{each.name[:SHOWN]}]", each.data, (each.parameters or NONE).binary_data_size
            if (data is None) == (size is None):
                raise _wrong(field, "must have data, or parameters.binary_data_size")
            if size is not None and size > len(tail):
                raise _wrong(f"{field}.parameters.binary_data_size", f"must be in the body, after a JSON of {LENGTH}")
            if each.name in columns or each.name in dropped:
                raise _wrong(field, "must be there once")
            given, tail = (data, tail) if size is None else (tail[:size], tail[size:])
            if each.name in self._dropped:
                dropped.add(each.name)
                continue
            if each.name not in self._features:
                raise _wrong(field, "is not an input of this model; see /docs.json", "unknown")
            shape = each.shape[:1] if each.shape[1:] in ([], [1]) else []
            if not shape or not 1 <= shape[0] <= self._most or shape[0] != (rows or shape[0]):
                belongs = f"{rows} rows, as its first input" if rows else f"1 to {self._most} rows"
                raise _wrong(f"{field}.shape", f"must be [rows] or [rows, 1] with {belongs}")
            (rows,) = shape
            columns[each.name] = self._values(field, each, given)
        if tail:
            raise _wrong("body", "must end where the last binary_data_size of its inputs does")
        if not rows:
            raise _wrong("inputs", f"must be tensors of 1 to {self._most} rows, one a feature; see /docs.json")
        return columns | dict.fromkeys(dropped, [None] * rows)

    def _values(self, field: str, tensor: Tensor, given: Any) -> list[Any]:
        """As many as the shape has rows, as /predict would get them."""
        feature = self._features[tensor.name]
        kinds = tensors.TAKEN[feature["type"]]
        if tensor.datatype not in kinds:
            broken = feature["name"], "type"
            raise RefusedError("invalid", f"{field}.datatype", f"must be one of {', '.join(kinds)}", broken)
        try:
            return tensors.values(tensor.datatype, given, tensor.shape[0])
        except ValueError as error:
            raise RefusedError("invalid", field, str(error), (feature["name"], "type")) from None

    def _selected(self, request: Request) -> dict[str, bool]:
        """Output -> whether it is binary."""
        every = request.parameters or NONE
        chosen = request.outputs or self._defaults
        if every.prediction_ids:
            chosen = [Tensor("prediction_ids"), *chosen]
        found = {}
        for each in chosen:
            if each.name not in self._outputs:
                raise _wrong(f"outputs[{each.name[:SHOWN]}]", f"must be one of {', '.join(self._outputs)}", "unknown")
            binary = (each.parameters or NONE).binary_data
            found[each.name] = every.binary_data_output if binary is None else binary
        return found

    def answer(self, asked: Asked, fields: Mapping[str, Any]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Body and headers of a 200, from the fields of /predict's answer."""
        outputs, parts = [], []
        for name, binary in asked.outputs.items():
            values, about = fields[name], self._outputs[name]
            output = {**about, "shape": [len(values), *about["shape"][1:]]}
            if self._names and name == self._field:
                values = [share for row in values for share in row.values()]
            if binary:
                parts.append(tensors.packed(about["datatype"], values))
                output["parameters"] = {**about.get("parameters", {}), "binary_data_size": len(parts[-1])}
            else:
                output["data"] = values
            outputs.append(output)
        repeated = {} if asked.id is None else {"id": asked.id}
        head = self._encode({**self._head, **repeated, "outputs": outputs})
        if not parts:
            return head, [(b"content-type", b"application/json")]
        kind = b"content-type", b"application/octet-stream"
        return b"".join((head, *parts)), [kind, (HEADER, str(len(head)).encode())]


def named(error: RequestError) -> RequestError:
    """An error of the rows in the words of who sent tensors: rows[3].distance is inputs[distance][3]."""
    if not (found := ROW.fullmatch(error.field)):
        return error
    missing = error.broken is not None and error.broken[1] == "missing"
    return error._replace(field=f"inputs[{found[2]}]" + ("" if missing else f"[{found[1]}]"))


def _wrong(field: str, reason: str, rule: str = "shape") -> RefusedError:
    return RefusedError("invalid", field, reason, ("", rule))
