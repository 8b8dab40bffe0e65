"""One order and one naming for a graph, whatever its exporter chose this time."""

from __future__ import annotations

import hashlib
from typing import Any

import onnx


def canonical(core: onnx.ModelProto) -> onnx.ModelProto:
    """In place: equal weights and equal nodes are one, ordered by depth and content, named by position.

    The exporter of TensorFlow counts through a process, and orders by the names that come of it.
    """
    graph, outputs = core.graph, {each.name for each in core.graph.output}
    names, depth = {each.name: each.name for each in graph.input}, dict.fromkeys(outputs, 0)
    weights: dict[str, onnx.TensorProto] = {}
    nodes: dict[tuple[int, str], onnx.NodeProto] = {}
    for weight in graph.initializer:
        name, weight.name = weight.name, ""
        names[name] = weight.name = _digest(weight)
        weights[weight.name] = weight
    for node in graph.node:
        made, node.name = list(node.output), ""
        node.input[:] = [names.get(name, name) for name in node.input]
        del node.output[:]
        key = 1 + max((depth.get(name, 0) for name in node.input), default=0), _digest(node)
        names |= {name: name if name in outputs else f"{key[1]}/{place}" for place, name in enumerate(made)}
        node.output[:] = [names[name] for name in made]
        depth |= dict.fromkeys(node.output, key[0])
        nodes[key] = node
    kept: list[Any] = [
        each for group in (weights, nodes) for _, each in sorted(group.items(), key=lambda pair: pair[0])
    ]
    tensors = [name for each in kept for name in getattr(each, "output", [each.name])]
    new = {name: f"t{place}" for place, name in enumerate(tensors) if name not in outputs}
    for each in kept:
        if isinstance(each, onnx.TensorProto):
            each.name = new[each.name]
        else:
            each.input[:] = [new.get(name, name) for name in each.input]
            each.output[:] = [new.get(name, name) for name in each.output]
    copies = [type(each).FromString(each.SerializeToString()) for each in kept]  # before their originals go
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(copies[: len(weights)])
    graph.node.extend(copies[len(weights) :])
    return core


def _digest(part: onnx.TensorProto | onnx.NodeProto) -> str:
    return hashlib.sha256(part.SerializeToString(deterministic=True)).hexdigest()
