"""Ask served models by Triton's and KServe's clients, in a process that has their packages; print what they got.

python v2clients.py <address> <model> [<address> <model> …] < inputs as JSON: {name: [datatype, values]}
"""

import asyncio
import json
import sys
from typing import Any

import kserve  # type: ignore[import-not-found]
import numpy as np
from tritonclient import http  # type: ignore[import-not-found]


def ask(address: str, model: str, given: dict[str, Any]) -> dict[str, Any]:
    types = {"BYTES": object, "INT64": np.int64, "FP32": np.float32}
    arrays = {name: (kind, np.array(values, types[kind])) for name, (kind, values) in given.items()}
    found = asyncio.run(by_kserve(address, model, arrays))
    triton = http.InferenceServerClient(address.removeprefix("http://"))
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(model)
    about = triton.get_model_metadata(model)
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    names = [each["name"] for each in about["outputs"]]
    for binary in (True, False):
        inputs = []
        for name, (kind, array) in arrays.items():
            inputs.append(http.InferInput(name, array.shape, kind).set_data_from_numpy(array, binary))
        chosen = None if binary else [http.InferRequestedOutput(name, binary) for name in names]
        got = triton.infer(model, inputs, outputs=chosen, request_id="7")
        assert got.get_response()["id"] == "7"
        found[f"tritonclient, binary {binary}"] = {name: listed(got.as_numpy(name)) for name in names}
    try:
        triton.infer(model, inputs[1:])
    except http.InferenceServerException as refused:
        found["refused"] = f"{refused.status()} {refused.message()}"
    return found


async def by_kserve(address: str, model: str, arrays: Any) -> dict[str, Any]:
    found = {}
    async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(address)
        assert await client.is_server_ready(address)
        assert await client.is_model_ready(address, model)
        for binary in (True, False):
            inputs = []
            for name, (kind, array) in arrays.items():
                inputs.append(kserve.InferInput(name, list(array.shape), kind))
                inputs[-1].set_data_from_numpy(array, binary_data=binary)
            asked = kserve.InferRequest(model, inputs, parameters={"binary_data_output": binary})
            got = await client.infer(address, asked, model_name=model)
            found[f"kserve, binary {binary}"] = {each.name: listed(each.as_numpy()) for each in got.outputs}
    return found


def listed(array: Any) -> list[Any]:
    texts = [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]
    found: list[Any] = np.array(texts, object).reshape(array.shape).tolist()
    return found


if __name__ == "__main__":
    given = json.load(sys.stdin)
    pairs = zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    print(json.dumps({model: ask(address, model, given) for address, model in pairs}))
