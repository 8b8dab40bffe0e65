"""MLServer's runtime for a model's ONNX file, for which it publishes none: the tensors by name, and nothing else."""

from typing import Any

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):  # type: ignore[misc]  # MLServer is installed apart
    """`parameters.uri` of model-settings.json is the file."""

    async def load(self) -> bool:
        where = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(where, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed: dict[str, Any] = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        for each in payload.inputs:
            if each.datatype == "BYTES":
                feed[each.name] = StringCodec.decode_input(each)
        names = [each.name for each in self.session.get_outputs()]
        found = zip(names, self.session.run(names, feed), strict=True)
        outputs = [NumpyCodec.encode_output(name, values) for name, values in found]
        return InferenceResponse(model_name=self.name, outputs=outputs)
