"""The front of every exported graph: raw columns in, the tensors that a network wants out."""

from typing import Literal

import onnx
from onnx import TensorProto, helper

Kind = Literal["string", "integer", "number"]
TENSOR = {"string": TensorProto.STRING, "integer": TensorProto.INT64, "number": TensorProto.FLOAT}
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]


def attach(core: onnx.ModelProto, columns: dict[str, Kind], vocabulary: dict[str, list[str]]) -> onnx.ModelProto:
    """Put one input per raw column, shape [rows], before a graph that takes `ids` and `numbers`.

    core: inputs `ids` int64 [rows, names] and `numbers` float32 [rows, numbers], output `score` float32 [rows].
    columns: every column in the order of the inputs. vocabulary: column -> its names, ids from 1; any other name, and
    the empty string that stands for null, becomes id 0. Missing numbers arrive as NaN.
    """
    core = onnx.ModelProto.FromString(core.SerializeToString())
    core = onnx.compose.add_prefix(core, "core/", rename_inputs=False, rename_outputs=False)
    nodes: list[onnx.NodeProto] = []
    ids, numbers = [], []
    for name, kind in columns.items():
        if kind == "string":
            ids.append(f"{name}/id")
            known = vocabulary[name]
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [name],
                    ids[-1:],
                    domain="ai.onnx.ml",
                    keys_strings=known,
                    values_int64s=list(range(1, len(known) + 1)),
                    default_int64=0,
                )
            )
        elif kind == "integer":
            numbers.append(f"{name}/float")
            nodes.append(helper.make_node("Cast", [name], numbers[-1:], to=TensorProto.FLOAT))
        else:
            numbers.append(name)
    nodes += _side_by_side(ids, "ids") + _side_by_side(numbers, "numbers")
    sizes = {"ids": len(ids), "numbers": len(numbers)}
    front = helper.make_model(
        helper.make_graph(
            nodes,
            "model",
            [helper.make_tensor_value_info(name, TENSOR[kind], ["rows"]) for name, kind in columns.items()],
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", len(ids)]),
                helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", len(numbers)]),
            ],
            [helper.make_tensor(f"{name}/shape", TensorProto.INT64, [2], [size, -1]) for name, size in sizes.items()],
        ),
        opset_imports=OPSETS,
        ir_version=core.ir_version,
    )
    merged = onnx.compose.merge_models(front, core, io_map=[("ids", "ids"), ("numbers", "numbers")])
    del merged.opset_import[:]  # the merge lists those of both graphs, some twice
    merged.opset_import.extend(OPSETS)
    return merged


def _side_by_side(columns: list[str], name: str) -> list[onnx.NodeProto]:
    """Columns of shape [rows] -> one tensor [rows, columns]; three nodes instead of one a column."""
    return [
        helper.make_node("Concat", columns, [f"{name}/flat"], axis=0),
        helper.make_node("Reshape", [f"{name}/flat", f"{name}/shape"], [f"{name}/wide"]),
        helper.make_node("Transpose", [f"{name}/wide"], [name], perm=[1, 0]),
    ]
