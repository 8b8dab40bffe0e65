"""What every ONNX file has around its network: raw columns in, strings included, and the one output of the task.

models/lib/frameworks/ makes the network between them. A file has one input [rows] a column, in their order: a text
column's null is the empty string, a number's is NaN. The output is `score` [rows], `probabilities` [rows, classes] or
`prediction` [rows]. A model gives the same file twice.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from models.lib.columns import Kind

TENSOR = {"string": TensorProto.STRING, "integer": TensorProto.INT64, "number": TensorProto.FLOAT}
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
Kinds = dict[str, Kind]
Names = dict[str, list[str]]


def attach(core: onnx.ModelProto, columns: Kinds, vocabulary: Names) -> onnx.ModelProto:
    """Put one input per raw column, shape [rows], before a graph that takes `ids` and `numbers`, or `matrix`.

    core: inputs `ids` int64 [rows, names] and `numbers` float32 [rows, numbers], or `matrix` float32 [rows, columns]:
    ids, then numbers. columns: every column in the order of the inputs. vocabulary: column -> its names, ids from 1;
    any other name, and the empty string that stands for null, becomes id 0. Missing numbers arrive as NaN.
    """
    core = onnx.ModelProto.FromString(core.SerializeToString())
    core = onnx.compose.add_prefix(core, "core/", rename_inputs=False, rename_outputs=False)
    takes = [each.name for each in core.graph.input]
    of, number = ("float", float) if "matrix" in takes else ("int64", int)
    nodes: list[onnx.NodeProto] = []
    ids, numbers = [], []
    for name, kind in columns.items():
        if kind == "string":
            ids.append(f"{name}/id")
            known = vocabulary[name]
            places: dict[str, Any] = {
                "keys_strings": known or [""],  # onnx cannot guess the type of an empty list
                f"values_{of}s": [number(place) for place in range(1, len(known) + 1)] or [number(0)],
                f"default_{of}": number(0),
            }
            nodes.append(helper.make_node("LabelEncoder", [name], ids[-1:], domain="ai.onnx.ml", **places))
        elif kind == "integer":
            numbers.append(f"{name}/float")
            nodes.append(helper.make_node("Cast", [name], numbers[-1:], to=TensorProto.FLOAT))
        else:
            numbers.append(name)
    shapes = {}
    for taken, parts in {"ids": ids, "numbers": numbers, "matrix": ids + numbers}.items():
        if taken in takes and parts:
            nodes += _side_by_side(parts, taken)
            shapes[f"{taken}/shape"] = [len(parts), -1]
        elif taken in takes:
            nodes += _no_column(next(iter(columns)), taken, taken == "ids")
            shapes["none/shape"] = [0]
    return join(nodes, shapes, core, columns)


def _side_by_side(columns: list[str], name: str) -> list[onnx.NodeProto]:
    """Columns of shape [rows] -> one tensor [rows, columns]; three nodes instead of one a column."""
    return [
        helper.make_node("Concat", columns, [f"{name}/flat"], axis=0),
        helper.make_node("Reshape", [f"{name}/flat", f"{name}/shape"], [f"{name}/wide"]),
        helper.make_node("Transpose", [f"{name}/wide"], [name], perm=[1, 0]),
    ]


def _no_column(column: str, name: str, whole: bool) -> list[onnx.NodeProto]:
    """A tensor [rows, 0], with the rows of any column."""
    zero = helper.make_tensor("value", TensorProto.INT64 if whole else TensorProto.FLOAT, [1], [0])
    return [
        helper.make_node("Shape", [column], [f"{name}/rows"]),
        helper.make_node("Concat", [f"{name}/rows", "none/shape"], [f"{name}/shape"], axis=0),
        helper.make_node("ConstantOfShape", [f"{name}/shape"], [name], value=zero),
    ]


def join(
    nodes: list[onnx.NodeProto], shapes: dict[str, list[int]], core: onnx.ModelProto, columns: Kinds
) -> onnx.ModelProto:
    """The raw columns, nodes that make the core's inputs of them, and the core."""
    made = {name for each in nodes for name in each.output}
    outputs = [each for each in core.graph.input if each.name in made]
    front = helper.make_model(
        helper.make_graph(
            nodes,
            "model",
            [helper.make_tensor_value_info(name, TENSOR[kind], ["rows"]) for name, kind in columns.items()],
            outputs,
            [helper.make_tensor(name, TensorProto.INT64, [len(shape)], shape) for name, shape in shapes.items()],
        ),
        opset_imports=OPSETS,
        ir_version=core.ir_version,
    )
    del core.opset_import[:]  # older ones mean the same for what is in use here; each way converts before
    core.opset_import.extend(OPSETS)
    merged = onnx.compose.merge_models(front, core, io_map=[(each.name, each.name) for each in outputs])
    del merged.opset_import[:]  # the merge lists those of both graphs, some twice
    merged.opset_import.extend(OPSETS)
    return merged


def only_output(core: onnx.ModelProto, output: str = "") -> onnx.ModelProto:
    """Leave of a converter's outputs, some [rows, n], the one of the task; without a name n tells which."""
    last = core.graph.output[-1]  # of a classifier: its label, then probabilities
    width = last.type.tensor_type.shape.dim[-1].dim_value
    output = output or {1: "prediction", 2: "score"}.get(width, "probabilities")
    for each in core.graph.node:  # so that the name is free
        each.output[:] = ["whole" if name == last.name else name for name in each.output]
        each.input[:] = ["whole" if name == last.name else name for name in each.input]
    if output == "probabilities":
        node = helper.make_node("Identity", ["whole"], [output])
    elif width == 2:  # the share of class 1
        core.graph.initializer.append(helper.make_tensor("place", TensorProto.INT64, [], [1]))
        node = helper.make_node("Gather", ["whole", "place"], [output], axis=1)
    else:
        core.graph.initializer.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
        node = helper.make_node("Reshape", ["whole", "flat"], [output])
    core.graph.node.append(node)
    del core.graph.output[:]
    shape = ["rows", width] if output == "probabilities" else ["rows"]
    core.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    return core
