"""The OpenAPI text: BentoML's own specification with the contract's words, errors and an example that can be posted.

curl localhost:3000/docs.json
"""

from typing import Any

import attrs
from bentoml._internal.service.openapi.specification import Info, PathItem, Tag

from serving.runtime.request import Contract, models

ERRORS = {
    "400": "The request breaks the contract, or is not JSON",
    "408": "The body did not arrive in time",
    "413": "The body is larger than the limit",
    "500": "The model failed or gave a value that is not finite",
    "503": "More requests at once than the service takes; try again",
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
        "requestBody": {"required": True, "content": _content("Request")},
        "responses": {
            "200": {"description": contract["answer"]["description"], "content": _content("Answer")},
            **{code: {"description": text, "content": _content("Error")} for code, text in ERRORS.items()},
        },
    }
    return attrs.evolve(
        specification,
        openapi="3.1.0",
        info=Info(title=contract["model"], version=contract["version"], description=contract["description"]),
        paths={"/predict": PathItem(post=predict)}
        | {path: item for path, item in specification.paths.items() if path != "/predict"},
        tags=[TAG, *(tag for tag in specification.tags if tag.name == "Infrastructure")],
        components={"schemas": schemas},
    )


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _text(contract: Contract) -> str:
    return (
        f"1 to {contract['max_rows']} rows and at most {contract['max_body_bytes']:,} bytes a request. "
        "Types are strict: no text for a number, no true for 1; an integer may stand for a number. "
        "Unknown keys, NaN and infinity are refused. A field that may be null may be left out. "
        f"This is API {contract['api']} of the model: a higher number may refuse what this one answers."
    )
