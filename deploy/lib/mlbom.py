"""mlbom.json of a release: a bill of materials of the model and its data, CycloneDX 1.6, beside that of the image.

https://cyclonedx.org/docs/1.6/json/. Without times, and with a serial number that follows from the content.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from models.lib import config
from models.lib.tasks import task

TENSOR = {"string": "string", "integer": "int64", "number": "float32"}  # of the file's inputs, by type in a contract


def text(
    model: config.Model, passport: dict[str, Any], image: str, said: Mapping[str, str], contract: dict[str, Any] | None
) -> str:
    """`said` is what card.md says, by section; what is empty, or not known without a contract, is left out."""
    data, made = _dataset(model, passport), _model(model, passport, said, contract or {"features": []})
    made["modelCard"]["modelParameters"]["datasets"] = [{"ref": data["bom-ref"]}]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{image}#{passport['version']}")
    made["properties"] = _pairs({"image": image, "verdict": passport["verdict"]})
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": made},
        "components": [data],
        "dependencies": [{"ref": made["bom-ref"], "dependsOn": [data["bom-ref"]]}],
    }
    return json.dumps(_filled(bom), indent=2, ensure_ascii=False) + "\n"


def _model(
    model: config.Model, passport: dict[str, Any], said: Mapping[str, str], contract: dict[str, Any]
) -> dict[str, Any]:
    inputs = {each["name"]: TENSOR[each["type"]] for each in contract["features"]}
    figures = [
        {"type": name} | {end: None if each[end] is None else str(each[end]) for end in ("value", "low", "high")}
        for name, each in passport["metrics"].items()
    ]
    for each in figures:
        each["confidenceInterval"] = {"lowerBound": each.pop("low"), "upperBound": each.pop("high")}
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.name}@{passport['version']}",
        "name": model.name,
        "version": passport["version"],
        "description": model.description,
        "supplier": {"name": passport["governance"].get("owner")},
        "hashes": [{"alg": "SHA-256", "content": passport["content"]["onnx"]}],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": model.task,
                "inputs": [{"format": each} for each in inputs.values()],
                "outputs": [{"format": f"{task.of(model).field} (float32)"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": figures},
            "considerations": {
                "useCases": [said["use"]],
                "technicalLimitations": [said["limits"]],
                "ethicalConsiderations": [{"name": said["ethics"]}],
            },
            "properties": _pairs({f"input.{name}": each for name, each in inputs.items()})
            + _pairs({f"training.{name}": value for name, value in model.training.items()}),
        },
    }


def _dataset(model: config.Model, passport: dict[str, Any]) -> dict[str, Any]:
    from cyclonedx.spdx import fixup_id

    hash, said = passport["content"]["data"], passport["governance"].get("dataset", {})
    licence = said.get("licence") or ""
    known = fixup_id(licence)  # as SPDX writes it
    return {
        "type": "data",
        "bom-ref": f"dataset:{model.dataset}@{hash}",
        "name": model.dataset,
        "version": hash,
        "description": said.get("purpose"),
        "supplier": {"name": said.get("owner")},
        "licenses": [{"license": {"id": known} if known else {"name": licence}}],
        "hashes": [{"alg": "MD5", "content": hash.removesuffix(".dir")}],
        "data": [{"type": "dataset", "name": model.dataset, "sensitiveData": said.get("personal")}],
        "properties": _pairs({name: said.get(name) for name in ("source", "retention")}),
    }


def _pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in values.items() if value]


def _filled(value: Any) -> Any:
    """Without what is empty, and what nothing is left of."""
    if isinstance(value, dict):
        found = {key: _filled(each) for key, each in value.items()}
        return {key: each for key, each in found.items() if each not in (None, "", [], {})}
    return [each for each in map(_filled, value) if each not in ("", {})] if isinstance(value, list) else value
