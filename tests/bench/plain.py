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
from pydantic import BaseModel, Field, create_model

TYPES: dict[str, Any] = {"string": str, "integer": int, "number": float}
DTYPES: dict[str, Any] = {"string": object, "integer": np.int64, "number": np.float32}
LIMITS = {"ge": "min", "gt": "above", "le": "max", "lt": "below"}


def _field(feature: dict[str, Any]) -> tuple[Any, Any]:
    if feature["allowed"]:
        kind: Any = Literal[tuple(feature["allowed"])]
    else:
        limits = {name: feature[key] for name, key in LIMITS.items() if feature[key] is not None}
        kind = Annotated[TYPES[feature["type"]], Field(pattern=feature["pattern"], **limits)]
    return (kind | None, None) if feature["nullable"] else (kind, ...)


def application(folder: Path) -> FastAPI:
    contract = json.loads((folder / "contract.json").read_text())
    features = contract["features"]
    columns: dict[str, Any] = {feature["name"]: _field(feature) for feature in features}
    row = create_model("Row", **columns)
    rows: Any = Annotated[list[row], Field(max_length=contract["max_rows"])]  # type: ignore[valid-type]
    request: Any = create_model("Request", rows=(rows, ...))

    class Answer(BaseModel):
        scores: list[float]
        labels: list[int]
        model: str
        version: str

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: request) -> Answer:
        feed = {
            feature["name"]: np.array([getattr(row, feature["name"]) for row in body.rows], DTYPES[feature["type"]])
            for feature in features
        }
        scores = session.run(["score"], feed)[0]
        labels = (scores >= contract["threshold"]).astype(int)
        return Answer(
            scores=scores.tolist(), labels=labels.tolist(), model=contract["model"], version=contract["version"]
        )

    return app


if __name__ == "__main__":
    uvicorn.run(application(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="error", access_log=False)
