"""The BentoML service of any model, from contract.json and model.onnx: a typed API, answered by the lean endpoint.

`service_class` is public in BentoML 1.4.39 but hardly documented: the version is pinned, and tests/serving/ holds it.
"""

import gc
import json
from pathlib import Path
from typing import Any

import bentoml
import pydantic
from _bentoml_sdk import Service  # type: ignore[import-untyped]

from serving.runtime import openapi
from serving.runtime.answer import former
from serving.runtime.endpoint import Endpoint, logger
from serving.runtime.feedback import OFF
from serving.runtime.request import models

# BentoML's own metrics, tracing and access log cost more than the model, and its limits do not see the lean endpoint.
SETTINGS: dict[str, Any] = {
    "metrics": {"enabled": False},
    "tracing": {"excluded_urls": [".*"]},
    "logging": {"access": {"enabled": False}},
    "traffic": {"timeout": 5},  # seconds
    "workers": 1,  # counters live in the worker; replicas scale
}


class Lean(Service[Any]):  # type: ignore[misc]
    """A BentoML service whose ASGI application has the endpoint in front."""

    def to_asgi(self, is_main: bool = True) -> Any:
        if (bentoml.server_context.worker_index or 1) > 1:
            raise RuntimeError("one worker a server: /metrics would show one worker's counters; add replicas instead")
        endpoint = Endpoint(super().to_asgi(is_main), self.inner.served, lambda: self.openapi_spec.asdict())
        self._endpoint = endpoint
        if not endpoint.feedback.on:
            logger.info("feedback %s", OFF)
        return endpoint

    def __call__(self) -> Any:
        """One instance a worker, made before it accepts connections."""
        instance = super().__call__()
        gc.collect()
        gc.freeze()  # what is here now lives as long as the worker; a collection need not look at it
        self._endpoint.predictor = instance.predictor
        return instance

    @property
    def openapi_spec(self) -> Any:
        return openapi.amended(super().openapi_spec, self.inner.served)


def create(folder: Path) -> Lean:
    """The service of the model in `folder`, which holds contract.json and model.onnx."""
    contract = json.loads((folder / "contract.json").read_text())
    request, answer = models(contract)
    many, form = len(contract["features"]), former(contract["answer"])

    class Prediction:
        __doc__ = contract["description"]
        served = contract

        def __init__(self) -> None:
            # Here, because BentoML's supervisor imports this file too and needs neither numpy nor the runtime.
            from serving.runtime.predictor import Predictor

            self.predictor = Predictor(folder / "model.onnx", contract)

        @bentoml.api(  # type: ignore[untyped-decorator]
            route="/predict", input_spec=request, output_spec=answer
        )
        def predict(self, rows: list[pydantic.BaseModel]) -> pydantic.BaseModel:
            values = self.predictor.values([tuple(row.model_dump().values())[:many] for row in rows])
            return answer(**form(values)[0], model=contract["model"], version=contract["version"])

    service: Lean = bentoml.service(name=contract["model"], service_class=Lean, **SETTINGS)(Prediction)
    return service
