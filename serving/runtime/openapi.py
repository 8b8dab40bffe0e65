"""The OpenAPI text: BentoML's own specification with the contract's words, errors and an example that can be posted.

curl localhost:3000/docs.json
"""

from typing import Any

import attrs
from bentoml._internal.service.openapi.specification import Info, PathItem, Tag

from serving.runtime.feedback import LENGTH
from serving.runtime.request import Contract, models

ERRORS = {
    "400": "The request breaks the contract, or is not JSON",
    "408": "The body did not arrive in time",
    "413": "The body is larger than the limit",
    "500": "The model failed or gave a value that is not finite",
    "503": "More requests at once than the service takes; try again",
}
FEEDBACK_ERRORS = {
    "400": "Not JSON, no id of /predict, or no outcome of this model",
    "403": "The id was not signed by this service",
    "404": "The id is of another model",
    "408": ERRORS["408"],
    "410": "The id is too old, or of a version that is not counted any more",
    "413": ERRORS["413"],
    "503": "Feedback is off, or more requests at once than the service takes",
}
ASKED = {
    "name": "prediction_ids",
    "in": "query",
    "description": "With true each row gets an id, by which POST /feedback takes its outcome.",
    "schema": {"type": "boolean", "default": False},
}
TAG = Tag(name="Prediction", description="What the model answers.")
ERROR = {
    "type": "object",
    "example": {"error": {"field": "rows[0]", "reason": "must be an object with one value a feature; see /docs.json"}},
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["field", "reason"],
            "properties": {
                "field": {"type": "string", "description": "Where, as rows[3].distance; body for the whole"},
                "reason": {"type": "string", "description": "What belongs there"},
            },
        }
    },
}


def amended(specification: Any, contract: Contract) -> Any:
    """The specification with this service's /predict; 3.1, because 3.0 cannot say null or an exclusive limit."""
    schemas: dict[str, Any] = {"Error": ERROR}
    for model in models(contract):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    sample = {feature["name"]: feature["example"] for feature in contract["features"]}
    # In the order of the contract: pydantic sorts them.
    schemas["Row"]["example"], schemas["Request"]["example"] = sample, {"rows": [sample]}
    predict = {
        "tags": [TAG.name],
        "summary": contract["description"],
        "description": _text(contract),
        "operationId": "predict",
        "parameters": [ASKED],
        "requestBody": {"required": True, "content": _content("Request")},
        "responses": {
            "200": {"description": contract["answer"]["description"], "content": _content("Answer")},
            **{code: {"description": text, "content": _content("Error")} for code, text in ERRORS.items()},
        },
    }
    ids = {"type": "array", "items": {"type": "string"}, "description": "One a row, where the request asks for them."}
    schemas["Answer"]["properties"]["prediction_ids"] = ids
    schemas["Feedback"] = _feedback(contract)
    taken = {
        "type": "object",
        "required": ["counted", "duplicates"],
        "properties": {name: {"type": "integer"} for name in ("counted", "duplicates")},
    }
    feedback = {
        "tags": [TAG.name],
        "summary": "Tell what became of earlier predictions.",
        "description": f"Within {contract['feedback_days']} days, by the ids that /predict gave. One that is wrong "
        "refuses the whole request. A repetition is noticed by the same pod within ten minutes: send each once.",
        "operationId": "feedback",
        "requestBody": {"required": True, "content": _content("Feedback")},
        "responses": {
            "200": {"description": "How many were counted", "content": {"application/json": {"schema": taken}}},
            **{code: {"description": text, "content": _content("Error")} for code, text in FEEDBACK_ERRORS.items()},
        },
    }
    infer = {
        "tags": [TAG.name],
        "summary": "As /predict, by the Open Inference Protocol (V2).",
        "description": "A tensor a feature, in JSON or binary; GET /v2/models/… has the names and types.",
        "operationId": "infer",
        "responses": {code: {"description": text} for code, text in {"200": "Tensors of the answer", **ERRORS}.items()},
    }
    return attrs.evolve(
        specification,
        openapi="3.1.0",
        info=Info(title=contract["model"], version=contract["version"], description=contract["description"]),
        paths={"/predict": PathItem(post=predict), "/feedback": PathItem(post=feedback)}
        | {f"/v2/models/{contract['model']}/infer": PathItem(post=infer)}
        | {path: item for path, item in specification.paths.items() if path != "/predict"},
        tags=[TAG, *(tag for tag in specification.tags if tag.name == "Infrastructure")],
        components={"schemas": schemas},
    )


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _feedback(contract: Contract) -> dict[str, Any]:
    answer = contract["answer"]
    binary: dict[str, Any] = {"type": "number"} if answer["threshold"] is None else {"type": "integer", "enum": [0, 1]}
    item = {
        "type": "object",
        "required": ["prediction_id", "outcome"],
        "additionalProperties": False,
        "properties": {
            "prediction_id": {"type": "string", "minLength": LENGTH, "maxLength": LENGTH},
            "outcome": {"type": "string", "enum": answer["names"]} if answer["names"] else binary,
        },
    }
    listed = {"type": "array", "minItems": 1, "maxItems": contract["max_rows"], "items": item}
    return {
        "type": "object",
        "required": ["feedback"],
        "additionalProperties": False,
        "properties": {"feedback": listed},
    }


def _text(contract: Contract) -> str:
    return (
        f"1 to {contract['max_rows']} rows and at most {contract['max_body_bytes']:,} bytes a request. "
        "Types are strict: no text for a number, no true for 1; an integer may stand for a number. "
        "Unknown keys, NaN and infinity are refused. A field that may be null may be left out. "
        f"This is API {contract['api']} of the model: a higher number may refuse what this one answers."
    )
