"""The yardstick of tests/bench/serving.py: the same model behind plain FastAPI, pydantic and onnxruntime.

python tests/bench/plain.py FOLDER PORT    (FOLDER holds contract.json and model.onnx)
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import Field, create_model

TYPES: dict[str, Any] = {"string": str, "integer": int, "number": float}
DTYPES: dict[str, Any] = {"string": object, "integer": np.int64, "number": np.float32}
LIMITS = {"ge": "min", "gt": "above", "le": "max", "lt": "below"}


def _field(feature: dict[str, Any]) -> tuple[Any, Any]:
    """Named by place, as a column may have any name."""
    if feature["allowed"]:
        kind: Any = Literal[tuple(feature["allowed"])]
    else:
        limits = {name: feature[key] for name, key in LIMITS.items() if feature[key] is not None}
        kind = Annotated[TYPES[feature["type"]], Field(pattern=feature["pattern"], **limits)]
    kind, default = (kind | None, None) if feature["nullable"] else (kind, ...)
    return kind, Field(default, alias=feature["name"])


def application(folder: Path) -> FastAPI:
    contract = json.loads((folder / "contract.json").read_text())
    features, told = contract["features"], contract["answer"]
    field, names, threshold = told["field"], told["names"], told["threshold"]
    columns: dict[str, Any] = {f"column_{place}": _field(feature) for place, feature in enumerate(features)}
    row = create_model("Row", **columns)
    rows: Any = Annotated[list[row], Field(max_length=contract["max_rows"])]  # type: ignore[valid-type]
    request: Any = create_model("Request", rows=(rows, ...))

    fields: dict[str, Any] = {field: list[dict[str, float]] if names else list[float]}
    if names or threshold is not None:
        fields["labels"] = list[str] if names else list[int]
    answer: Any = create_model("Answer", **fields, model=str, version=str)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: request) -> answer:
        feed = {
            feature["name"]: np.array([getattr(row, f"column_{place}") for row in body.rows], DTYPES[feature["type"]])
            for place, feature in enumerate(features)
        }
        values = session.run([told["output"]], feed)[0]
        found = {field: values.tolist(), "model": contract["model"], "version": contract["version"]}
        if names:
            found[field] = [dict(zip(names, row, strict=True)) for row in found[field]]
            found["labels"] = [names[place] for place in values.argmax(axis=1)]
        elif threshold is not None:
            found["labels"] = (values >= threshold).astype(int).tolist()
        return answer(**found)

    return app


if __name__ == "__main__":
    uvicorn.run(application(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="error", access_log=False)
