"""Objects held against schemas, in which a misspelt field is a fault at any depth.

Core kinds: the schemas of the latest three Kubernetes that the package kubernetes-validate carries. Custom kinds: those
of `catalog`, made strict. What a custom kind's schema leaves open but Kubernetes will read (metadata, a pod, a job) is
held against the core schemas.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from kubernetes_validate import utils as packaged
from referencing import Registry, Resource

from deploy.checks.catalog import Catalog
from deploy.checks.rendering import Object
from deploy.lib.rules import Finding

KUBERNETES = tuple(dict.fromkeys(packaged.all_versions()))[-3:]  # such as 1.37.0; it lists each twice
DEFINITIONS = "https://kubernetes.io/api/_definitions.json#/$defs/io.k8s."
METADATA = "apimachinery.pkg.apis.meta.v1.ObjectMeta"
POD = "api.core.v1.PodTemplateSpec"
JOB = "api.batch.v1.JobSpec"
CORE = re.compile(r"|apps|autoscaling|batch|policy|(?!gateway\.networking)[a-z.]+\.k8s\.io")
FIX = "fix the field, or the patch that sets it"


class Schemas:
    """Checks objects; `catalog.lacking` then names the kinds that had no schema."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.strict: dict[tuple[str, str, str], Draft202012Validator | None] = {}

    def findings(self, manifest: Object) -> list[Finding]:
        if not (isinstance(manifest.content.get("apiVersion"), str) and isinstance(manifest.content.get("kind"), str)):
            return [manifest.finding("apiVersion, kind", "must be text", FIX)]
        group, _, version = manifest.content["apiVersion"].rpartition("/")
        found = _core(manifest) if CORE.fullmatch(group) else self._custom(manifest, group, version)
        return [manifest.finding(field, wrong, FIX) for field, wrong in dict(found).items()]  # one a field

    def _custom(self, manifest: Object, group: str, version: str) -> Iterator[tuple[str, str]]:
        key = group, manifest.kind, version
        if key not in self.strict:
            schema = self.catalog.schema(*key)
            self.strict[key] = None if schema is None else Draft202012Validator(strict(schema))
        if (validator := self.strict[key]) is not None:
            yield from _errors(validator, manifest.content)
        for number in KUBERNETES:
            yield from _errors(_part(number, METADATA), manifest.metadata, "metadata", number)
            for definition, path, content in embedded(manifest):
                yield from _errors(_part(number, definition), content, path, number)


def embedded(manifest: Object) -> Iterator[tuple[str, str, Any]]:
    """Parts of a custom object that are core types: definition, path and content."""
    if manifest.kind == "Rollout":
        yield POD, "spec.template", manifest.spec.get("template")
    if manifest.kind == "AnalysisTemplate":
        metrics = manifest.spec.get("metrics")
        for number, metric in enumerate(metrics if isinstance(metrics, list) else []):
            job = (metric.get("provider") or {}).get("job") if isinstance(metric, dict) else None
            if isinstance(job, dict):
                yield JOB, f"spec.metrics[{number}].provider.job.spec", job.get("spec")


def strict(schema: Any) -> Any:
    """A copy in which an object with listed properties has no others, unless the schema allows it."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy = {key: strict(each) for key, each in schema.items()}
    if copy.get("x-kubernetes-preserve-unknown-fields") is True:
        copy.pop("additionalProperties", None)
    elif isinstance(copy.get("properties"), dict) and copy.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy


def _core(manifest: Object) -> Iterator[tuple[str, str]]:
    for number in KUBERNETES:
        validator = _kind(number, manifest.kind, manifest.content["apiVersion"])
        if validator is None:
            yield "apiVersion, kind", f"Kubernetes {number} has no {manifest.kind} of {manifest.content['apiVersion']}"
        else:
            yield from _errors(validator, manifest.content, number=number)


def _errors(validator: Draft202012Validator, content: Any, at: str = "", number: str = "") -> Iterator[tuple[str, str]]:
    """Field and what is wrong with it; by the schema of `number`, if any."""
    for error in validator.iter_errors(content):
        deepest = best_match([error]) or error
        by = f" (Kubernetes {number.removesuffix('.0')})" if number else ""
        yield place(deepest, at), f"{_message(deepest)}{by}"


def place(error: ValidationError, at: str = "") -> str:
    """`spec.steps[0].setWeight`"""
    steps = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path]
    return f"{at}{''.join(steps)}".lstrip(".") or "the object"


def _message(error: ValidationError) -> str:
    message = " ".join(str(error.message).split())
    return message if len(message) <= 200 else f"{message[:120]} … {message[-70:]}"


@cache
def _kind(number: str, kind: str, version: str) -> Draft202012Validator | None:
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)  # rbac.authorization.k8s.io/v1 -> rbac-v1
    try:
        schema = packaged.schema_contents(f"{_folder(number)}/{kind.lower()}-{short}.json", number)
    except FileNotFoundError:
        return None
    return Draft202012Validator(schema, registry=_definitions(number))


@cache
def _part(number: str, definition: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{DEFINITIONS}{definition}"}, registry=_definitions(number))


@cache
def _definitions(number: str) -> Registry[Any]:
    contents = packaged.schema_contents(f"{_folder(number)}/_definitions.json", number)
    return Resource.from_contents(contents) @ Registry()


def _folder(number: str) -> str:
    return f"kubernetes-json-schema/v{number}-local-strict"
