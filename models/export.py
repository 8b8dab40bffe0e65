"""Export the trained network as one reproducible ONNX file: raw columns in, calibrated score out."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from models.lib import artifacts, config, plugin
from models.lib.tasks import task
from repo.lib.command import working
from repo.lib.files import read_json, sha256, write
from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import onnx


def main(options: argparse.Namespace) -> int:
    import onnx

    model = config.load(options.model)
    artifacts.refuse_to_make(model.onnx)
    fitted = plugin.load(model)
    with working(f"exporting {model.name}"), plugin.guarded(model):
        graph = strip(fitted.to_onnx(), notes(model, *_made(model)))
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{model.folder}/network.py: to_onnx() gives no valid graph ({reason}); fix it there.") from None
    _check_interface(model, graph)
    content = graph.SerializeToString(deterministic=True)
    artifacts.refuse_large(model, model.onnx, len(content))
    write(model.onnx, content)
    print(f"export {model.name}: {model.onnx}, {len(content) / 1e3:.0f} kB, sha256 {sha256(model.onnx)[:12]}")
    return 0


def notes(model: config.Model, edges: list[float] | None, profile: dict[str, Any]) -> dict[str, Any]:
    """What the file carries beside its graph: what the task notes (models/lib/tasks/), and the bins of its features."""
    bins = {name: each["bins"] for name, each in profile["features"].items()}
    return task.of(model).notes(edges) | {"bins": bins}


def _made(model: config.Model) -> tuple[list[float] | None, dict[str, Any]]:
    path, fix = model.weights / artifacts.EDGES, f"python -m models run {model.name}"
    profile = read_json(model.build / "profile.json", fix, ("features",))
    return read_json(path, fix) if path.is_file() else None, profile


def strip(graph: onnx.ModelProto, noted: dict[str, Any] | None = None) -> onnx.ModelProto:
    """Remove what differs between two exports of the same network: source paths, notes and the exporter's version.

    `noted` stands in the place of the exporter's own notes.
    """
    import onnx

    clean = onnx.ModelProto.FromString(graph.SerializeToString())
    clean.producer_name, clean.producer_version, clean.doc_string = "", "", ""
    del clean.metadata_props[:]
    del clean.functions[:]  # the exporter inlines them all; a leftover would carry paths
    _strip_graph(clean.graph)
    clean.graph.name = "model"
    for key, value in sorted((noted or {}).items()):
        clean.metadata_props.add(key=key, value=json.dumps(value, sort_keys=True))
    return clean  # type: ignore[no-any-return]


def _strip_graph(graph: onnx.GraphProto) -> None:
    """In place, the bodies of branches and loops included."""
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]  # inferred again by every runtime; carries notes
    for attribute in (each for node in graph.node for each in node.attribute):
        attribute.ClearField("doc_string")
        for body in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
            _strip_graph(body)


def _check_interface(model: config.Model, graph: onnx.ModelProto) -> None:
    """The file's inputs are the features of model.yaml, in that order, and its one output is that of the task."""
    found = tuple([each.name for each in part] for part in (graph.graph.input, graph.graph.output))
    wanted = model.features, [task.of(model).output]
    if found != wanted:
        wrong, right = ("inputs {} and outputs {}".format(*each) for each in (found, wanted))
        raise Refusal(f"{model.folder}/network.py: to_onnx() gives {wrong}; it must give {right}.")
