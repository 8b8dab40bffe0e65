"""The way to ONNX for each framework: raw columns in, strings included, and the one output of the task.

Every file has one input [rows] a column, in their order: a text column's null is the empty string, a number's is NaN.
The output is `score` [rows], `probabilities` [rows, classes] or `prediction` [rows]. A model gives the same file twice.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.lib.columns import Kind
from models.lib.onnx_order import canonical
from models.lib.plugin import Misuse

TENSOR = {"string": TensorProto.STRING, "integer": TensorProto.INT64, "number": TensorProto.FLOAT}
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
Kinds = dict[str, Kind]
Names = dict[str, list[str]]


def from_torch(network: Any, columns: Kinds, vocabulary: Names, output: str = "score") -> onnx.ModelProto:
    """A torch.nn.Module that takes `ids` int64 [rows, names] and `numbers` float32 [rows, numbers]; see `attach`."""
    import torch

    rows = torch.export.Dim("rows")
    names, numbers = len(vocabulary), len(columns) - len(vocabulary)
    example = (torch.zeros(2, names, dtype=torch.int64), torch.zeros(2, numbers))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it announces every optional package that is absent
    with warnings.catch_warnings(action="ignore"):  # its own deprecations, nothing a reader can act on
        program: Any = torch.onnx.export(
            network.eval(),
            example,
            input_names=["ids", "numbers"],
            output_names=[output],
            dynamic_shapes=({0: rows}, {0: rows}),
            opset_version=20,
            dynamo=True,
            verbose=False,
        )
    return attach(program.model_proto, columns, vocabulary)


def from_keras(model: Any, columns: Kinds, vocabulary: Names, output: str = "score") -> onnx.ModelProto:
    """A Keras model of inputs named `ids` and `numbers`, as for `from_torch`, on the backend torch or tensorflow.

    It gives [rows, classes], or [rows, 1] for `score` and `prediction`.
    """
    import keras

    if keras.backend.backend() == "torch":
        import torch

        class Network(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = self.model({"ids": ids, "numbers": numbers}, training=False)
                return found if output == "probabilities" else found[:, 0]

        return from_torch(Network(), columns, vocabulary, output)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    ids, numbers = np.zeros((1, len(vocabulary)), np.int64), np.zeros((1, len(columns) - len(vocabulary)), np.float32)
    model({"ids": ids, "numbers": numbers})  # its export asks that it was called once
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder, "model.onnx")
        model.export(path, format="onnx", opset_version=18, verbose=False)  # the newest of tf2onnx
        core = onnx.version_converter.convert_version(onnx.load(path), OPSETS[0].version)
    return attach(_of_task(canonical(core), output), columns, vocabulary)


def from_booster(model: Any, columns: Kinds, vocabulary: Names) -> onnx.ModelProto:
    """LightGBM's Booster or scikit-learn class, or XGBoost's scikit-learn class, fitted to `Columns.matrix`."""
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("matrix", FloatTensorType([None, len(columns)]))]
    if type(model).__module__.startswith("lightgbm"):
        from onnxmltools import convert_lightgbm

        core = convert_lightgbm(model, initial_types=types, target_opset=15, zipmap=False)
    else:
        from onnxmltools import convert_xgboost

        core = convert_xgboost(model, initial_types=types, target_opset=15)
    if any(each.domain == "" for each in core.opset_import):
        core = onnx.version_converter.convert_version(core, OPSETS[0].version)
    return attach(_of_task(core), columns, vocabulary)


def from_sklearn(pipeline: Any, columns: Kinds) -> onnx.ModelProto:
    """A fitted classifier or regressor over tables of pandas: a ColumnTransformer first, or columns of one kind."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.base import is_classifier
    from sklearn.compose import ColumnTransformer

    from models.lib import scikit

    places = {name: f"column_{place}" for place, name in enumerate(columns)}  # no converter calls a tensor so
    fitted = scikit.as_the_file_sees(pipeline, places)
    transformers = any(isinstance(each, ColumnTransformer) for each in scikit.parts(fitted))
    if not transformers and "string" in columns.values() and len(set(columns.values())) > 1:
        raise Misuse("text and numbers go different ways: let the pipeline begin with a ColumnTransformer")
    width = 1 if transformers else len(columns)
    types = [
        (places[name], (StringTensorType if kind == "string" else FloatTensorType)([None, width]))
        for name, kind in columns.items()
    ]
    with mock.patch.object(helper, "make_attribute", scikit.make_attribute):
        core = convert_sklearn(
            fitted,
            "model",
            types if transformers else [("matrix", types[0][1])],
            target_opset={each.domain: each.version for each in OPSETS},
            options={"zipmap": False} if is_classifier(fitted) else None,
        )
    core = onnx.compose.add_prefix(_of_task(core), "core/", rename_outputs=False)
    nodes, flat, taken = [], {}, {each.name for each in core.graph.input}
    for name, kind in columns.items():
        flat[name] = f"{name}/float" if kind == "integer" else name
        if kind == "integer":
            nodes.append(helper.make_node("Cast", [name], [flat[name]], to=TensorProto.FLOAT))
        if (wide := f"core/{places[name]}") in taken:
            nodes.append(helper.make_node("Reshape", [flat[name], "column/shape"], [wide]))
    if not transformers:
        nodes += _side_by_side(list(flat.values()), "core/matrix")
    shapes = {"column/shape": [-1, 1]} if transformers else {"core/matrix/shape": [len(columns), -1]}
    return _join(nodes, shapes, core, columns)


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
    return _join(nodes, shapes, core, columns)


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


def _join(
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


def _of_task(core: onnx.ModelProto, output: str = "") -> onnx.ModelProto:
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
