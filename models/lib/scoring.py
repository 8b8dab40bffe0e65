"""Scores from an ONNX file, the way production computes them: one thread, raw columns, no framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    import polars as pl
    from numpy.typing import NDArray


ROWS = 100_000  # that are scored at once


def session(source: Path | bytes) -> onnxruntime.InferenceSession:
    """A session on one thread; a missing or broken file becomes a Refusal."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if isinstance(source, Path) and not source.is_file():
        raise Refusal(f"{source} is missing; make it with `python -m models run {source.parent.name}`.")
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for every error, all without a common base
        name, reason = source if isinstance(source, Path) else "the model", " ".join(str(error).split())[:200]
        raise Refusal(f"{name} cannot be loaded ({reason}); export it again or check it out again.") from None


def feed(runtime: onnxruntime.InferenceSession, table: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """One array of shape [rows] per input of the file: null is "" for strings and NaN for numbers."""
    import numpy as np
    import polars as pl

    arrays: dict[str, NDArray[Any]] = {}
    for each in runtime.get_inputs():
        if each.name not in table.columns:
            wrong = f"the model's input {each.name!r} is not a column of the table"
            raise Refusal(f"{wrong}; evaluate it on data that has it.")
        column = table[each.name]
        if each.type == "tensor(string)":
            arrays[each.name] = column.fill_null("").to_numpy().astype(object)
        elif each.type == "tensor(int64)":
            arrays[each.name] = column.cast(pl.Int64).to_numpy()
        else:
            arrays[each.name] = column.cast(pl.Float32).fill_null(float("nan")).to_numpy().astype(np.float32)
    return arrays


def scores(runtime: onnxruntime.InferenceSession, table: pl.DataFrame) -> NDArray[np.float64]:
    """What the file answers: float64 [rows], or [rows, classes]."""
    import numpy as np

    pieces = [*table.iter_slices(ROWS)] or [table]
    return np.concatenate([runtime.run(None, feed(runtime, each))[0] for each in pieces]).astype(np.float64)


def note(runtime: onnxruntime.InferenceSession, key: str) -> Any:
    """What `models export` noted in the file, such as `edges`; None where it noted nothing."""
    found = runtime.get_modelmeta().custom_metadata_map.get(key)
    return None if found is None else json.loads(found)
