"""The model file behind the service: checked against the contract, on one thread, warm before it answers."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serving.runtime.answer import Values
from serving.runtime.errors import NotFiniteError

DTYPES: dict[str, Any] = {"string": object, "integer": np.int64, "number": np.float32}
TENSORS = {"string": "tensor(string)", "integer": "tensor(int64)", "number": "tensor(float)"}


class Predictor:
    """Rows in the order of the contract's features to values of the output; one call at a time.

    `feed`: the arrays of the last call, by feature.
    """

    feed: dict[str, NDArray[Any]]

    def __init__(self, path: Path, contract: Mapping[str, Any]) -> None:
        """Load, check and warm the file; ValueError if it is not the one that the contract was built with."""
        content = path.read_bytes()
        found, expected = hashlib.sha256(content).hexdigest(), contract["onnx_sha256"]
        if found != expected:
            raise ValueError(f"{path.name} has sha256 {found}, but contract.json was built with {expected}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # replicas scale; threads of one process only wait for each other
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # a failing request would be a line in the log, thousands a second
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        features = contract["features"]
        inputs = {each.name: each.type for each in session.get_inputs()}
        wanted = {feature["name"]: TENSORS[feature["type"]] for feature in features}
        if inputs != wanted:
            raise ValueError(f"{path.name} takes {inputs}, but contract.json gives {wanted}")
        self._columns = [(feature["name"], DTYPES[feature["type"]]) for feature in features]
        self._texts = [each["name"] for each in features if each["type"] == "string" and each["nullable"]]
        self._single: dict[str, NDArray[Any]] = {name: np.empty(1, dtype) for name, dtype in self._columns}
        # What session.run calls after checks that the decoder has made: a tenth of a request of one row.
        self._run = getattr(session, "_sess", session).run
        self._output, names = [contract["answer"]["output"]], contract["answer"]["names"]
        self._width = (len(names),) if names else ()
        # The first run of each size allocates, and a cold server would look slow to the judge of a canary. A model that
        # fails on its own example is never ready.
        example = tuple(feature["example"] for feature in features)
        for rows in (1, contract["max_rows"]) * 3:
            self.values([example] * rows)

    def values(self, rows: Sequence[Sequence[Any]]) -> Values:
        """One finite number a row, or one for each name; null is "" for text and NaN, made of None, for numbers.

        NotFiniteError, ValueError for a wrong number of values, or whatever the runtime raises.
        """
        self.feed = self._one(rows[0]) if len(rows) == 1 else self._many(rows)
        found = self._run(self._output, self.feed, None)[0]
        if found.shape != (len(rows), *self._width):
            raise ValueError(f"values of shape {found.shape} for {len(rows)} rows")
        values: Values = found.tolist()
        # Finite float32 values cannot overflow a double.
        if not math.isfinite(sum(map(sum, values) if self._width else values)):
            raise NotFiniteError
        return values

    def _one(self, row: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """The feed of a single row, in arrays that are there already: making twelve costs as much as decoding does."""
        for array, value in zip(self._single.values(), row, strict=True):
            array[0] = value
        for name in self._texts:
            if self._single[name][0] is None:
                self._single[name][0] = ""
        return self._single

    def _many(self, rows: Sequence[Sequence[Any]]) -> dict[str, NDArray[Any]]:
        columns = zip(*rows, strict=True)
        feed = {name: np.array(column, dtype) for (name, dtype), column in zip(self._columns, columns, strict=True)}
        for name in self._texts:
            feed[name][feed[name] == None] = ""  # noqa: E711  (elementwise)
        return feed
