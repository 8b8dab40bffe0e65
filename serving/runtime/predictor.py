"""The model file behind the service: checked against the contract, on one thread, warm before it answers."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serving.runtime.errors import NotFiniteError

DTYPES: dict[str, Any] = {"string": object, "integer": np.int64, "number": np.float32}
TENSORS = {"string": "tensor(string)", "integer": "tensor(int64)", "number": "tensor(float)"}


class Predictor:
    """Rows in the order of the contract's features to scores; one call at a time."""

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
        # The first run of each size allocates, and a cold server would look slow to the judge of a canary. A model that
        # fails on its own example is never ready.
        example = tuple(feature["example"] for feature in features)
        for rows in (1, contract["max_rows"]) * 3:
            self.scores([example] * rows)

    def scores(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        """One finite score a row; null is "" for text and NaN, which numpy makes of None, for numbers.

        NotFiniteError, ValueError for a wrong number of scores, or whatever the runtime raises.
        """
        feed = self._one(rows[0]) if len(rows) == 1 else self._many(rows)
        scores: list[float] = self._run(["score"], feed, None)[0].tolist()
        if len(scores) != len(rows):
            raise ValueError(f"{len(scores)} scores for {len(rows)} rows")
        if not math.isfinite(sum(scores)):  # finite float32 scores cannot overflow a double
            raise NotFiniteError
        return scores

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
