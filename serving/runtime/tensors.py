"""Values of tensors, as lists or as the bytes of the binary extension: little-endian, a text after its length."""

import math
import struct
from typing import Any

import msgspec

from serving.runtime.request import FLOAT32_MAX

INTEGERS = {"INT64": "q", "INT32": "i", "INT16": "h", "INT8": "b", "BOOL": "?"}
INTEGERS |= {"UINT64": "Q", "UINT32": "I", "UINT16": "H", "UINT8": "B"}
CODES = INTEGERS | {"FP32": "f", "FP64": "d"}  # of struct
TAKEN = {"string": ("BYTES",), "integer": (*INTEGERS,), "number": ("FP32", "FP64", *INTEGERS)}  # the first: metadata's
SIZE, SINGLE = struct.Struct("<I"), struct.Struct("<f")


def values(datatype: str, given: Any, rows: int) -> list[Any]:
    """What /predict would get in JSON; ValueError says what belongs there instead."""
    if isinstance(given, bytes):
        try:
            given = _texts(given) if datatype == "BYTES" else _numbers(datatype, given)
        except (ValueError, struct.error):
            belongs = f"whole values of {datatype}"
            if datatype == "BYTES":
                belongs = "texts in UTF-8, each after its length in four bytes"
            raise ValueError(f"must be {belongs}") from None
    if len(given) != rows:
        raise ValueError(f"must have as many values as its shape says, {rows}")
    return [_value(datatype, each) for each in given]


def packed(datatype: str, given: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(SIZE.pack(len(text)) + text for text in map(str.encode, given))
    return struct.pack(f"<{len(given)}{CODES[datatype]}", *given)


def _value(datatype: str, value: Any) -> Any:
    if isinstance(value, bool):
        return int(value) if datatype == "BOOL" else value
    if not isinstance(value, float):
        return value
    if math.isinf(value):
        return msgspec.Raw(b"1e999")  # for the decoder to refuse; the encoder would write null
    if math.isnan(value):
        return None
    if datatype in INTEGERS:  # JSON has one kind of number, and some clients write 3 as 3.0
        return int(value) if value.is_integer() else value
    if datatype == "FP32" and abs(value) <= FLOAT32_MAX:
        # The 0.1 that a caller had, not 0.10000000149: limits and bins know the difference, the graph does not.
        short = float(f"{value:.7g}")
        return short if SINGLE.pack(short) == SINGLE.pack(value) else value
    return value


def _numbers(datatype: str, content: bytes) -> list[Any]:
    return [each for (each,) in struct.iter_unpack(f"<{CODES[datatype]}", content)]


def _texts(content: bytes) -> list[str]:
    found, end = [], 0
    while end < len(content):
        start = end + SIZE.size
        end = start + SIZE.unpack_from(content, end)[0]
        if end > len(content):
            raise ValueError
        found.append(content[start:end].decode())
    return found
