"""Export: one file, the same from every directory, that says nothing of where it was made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from data_schemas.command import Refusal
from data_schemas.files import sha256
from models import config, export, product, scoring, train
from models.inputs import attach
from tests.models import trees
from tests.models.trees import MODEL, OPTIONS, ROOT

ONNX = MODEL / "model.onnx"


@pytest.fixture
def graph() -> onnx.ModelProto:
    """The shipped model's."""
    return onnx.load(ROOT / ONNX)


@pytest.fixture
def exporting(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[onnx.ModelProto], None]:
    """Export a given graph as if the network of the tree had made it."""
    assert tree.is_dir()

    def run(graph: onnx.ModelProto) -> None:
        class Network:
            @classmethod
            def load(cls, folder: Path) -> Network:
                assert folder.is_dir()
                return cls()

            def to_onnx(self) -> onnx.ModelProto:
                return graph

        monkeypatch.setattr(train, "network", lambda _: Network)
        assert export.main(OPTIONS) == 0

    return run


def test_training_in_another_directory_and_process_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    root = trees.plain(tmp_path / "a" / "deeper" / "place")
    trees.shrink(root)
    code = (
        "import argparse\n"
        "from data_schemas import command\n"
        "command.prepare_environment()\n"
        "from models import export, train\n"
        "options = argparse.Namespace(model='flight_delay')\n"
        "train.main(options), export.main(options)\n"
    )
    shutil.copytree(ROOT / "data_schemas", root / "data_schemas", dirs_exist_ok=True, ignore=modules_only)
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True)
    assert sha256(root / ONNX) == sha256(small / ONNX)
    weights = MODEL / "weights/weights.safetensors"
    assert sha256(root / weights) == sha256(small / weights)
    assert sha256(small / ONNX) != sha256(ROOT / ONNX)


def modules_only(_: str, names: list[str]) -> list[str]:
    """For copytree: leave out the dataset, which the tree has."""
    return [name for name in names if not name.endswith(".py")]


@pytest.mark.parametrize("place", ["small", "shipped"])
def test_the_file_tells_nothing_of_where_and_by_what_it_was_made(small: Path, place: str) -> None:
    root = small if place == "small" else ROOT
    found = onnx.load(root / ONNX)
    assert (found.producer_name, found.producer_version, found.doc_string) == ("", "", "")
    for part in (found, found.graph, *found.graph.node, *found.graph.initializer, *found.graph.input):
        assert not part.metadata_props if hasattr(part, "metadata_props") else True
        assert part.doc_string == ""
    content = (root / ONNX).read_bytes()
    assert not [word for word in (str(root), str(ROOT), "site-packages", ".py", "torch") if word.encode() in content]


def test_whatever_an_exporter_notes_is_stripped(
    exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto
) -> None:
    graph.producer_name, graph.producer_version, graph.doc_string = "pytorch", "9.9", "made on a Monday"
    graph.graph.name, graph.graph.doc_string = "main_graph", "/home/someone/network.py"
    graph.graph.value_info.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]))
    inner = graph.graph
    for part in (graph, inner, inner.node[0], inner.initializer[0], inner.input[0], inner.output[0]):
        part.metadata_props.add(key="source", value="/home/someone/network.py")
    exporting(graph)
    assert ONNX.read_bytes() == (ROOT / ONNX).read_bytes()


@pytest.mark.parametrize("fault", ["renamed", "reordered", "output"])
def test_a_file_whose_inputs_are_not_the_features_is_refused(
    exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto, fault: str
) -> None:
    if fault == "reordered":
        inputs = list(graph.graph.input)
        del graph.graph.input[:]
        graph.graph.input.extend([inputs[1], inputs[0], *inputs[2:]])
    else:
        part = (graph.graph.input if fault == "renamed" else graph.graph.output)[0]
        for node in graph.graph.node:
            for names in (node.input, node.output):
                names[:] = ["other" if name == part.name else name for name in names]
        part.name = "other"
    before = ONNX.read_bytes()
    with pytest.raises(Refusal, match=r"^models/flight_delay/network\.py: to_onnx\(\) gives inputs .*it must give"):
        exporting(graph)
    assert ONNX.read_bytes() == before


def test_a_graph_that_the_checker_rejects_is_not_written(
    exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto
) -> None:
    graph.graph.node[0].op_type = "Guess"
    before = ONNX.read_bytes()
    with pytest.raises(Refusal, match=r"^models/flight_delay/network\.py: to_onnx\(\) gives no valid graph .*Guess"):
        exporting(graph)
    assert ONNX.read_bytes() == before


def test_a_file_too_large_for_git_is_refused_and_named_with_the_setting_that_mends_it(
    exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert product.GIT_LIMIT_MB == 10
    monkeypatch.setattr(product, "GIT_LIMIT_MB", 0.04)
    with pytest.raises(Refusal, match=r"model\.onnx has 0\.0 MB, more than the 0\.04 MB for .*; set `storage: dvc`"):
        exporting(graph)
    trees.configure(Path(), {"storage": "dvc"})
    exporting(graph)


def test_a_missing_network_is_refused_with_the_command_that_makes_it(tree: Path) -> None:
    shutil.rmtree(tree / MODEL / "weights")
    with pytest.raises(Refusal, match=r"weights is missing; make it with `python -m models run flight_delay`"):
        export.main(OPTIONS)


def test_names_become_ids_and_numbers_arrive_unchanged_in_the_graph() -> None:
    """A core that adds ids and numbers up shows what `attach` hands it."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["float", "numbers"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axes"], ["score"], keepdims=0),
    ]
    core = helper.make_model(
        helper.make_graph(
            nodes,
            "core",
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", 1]),
                helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", 2]),
            ],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"])],
            [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    whole = attach(core, {"hour": "integer", "name": "string", "temp": "number"}, {"name": ["a", "ü"]})
    onnx.checker.check_model(whole, full_check=True)
    assert [each.name for each in whole.graph.input] == ["hour", "name", "temp"]
    table = pl.DataFrame(
        {"temp": [0.5, 0.5, 0.5, 0.5, None], "name": ["a", "ü", "b", None, "a"], "hour": [10, 20, 30, 40, 50]}
    )
    scores: Any = scoring.scores(scoring.session(whole.SerializeToString()), table)
    np.testing.assert_array_equal(scores, [11.5, 22.5, 30.5, 40.5, np.nan])


def test_the_file_of_the_tree_is_that_of_the_weights_beside_it(model: config.Model) -> None:
    """The shipped bytes come from the network beside them, stripped and serialised as export does it."""
    exported = export.strip(train.network(model).load(ROOT / MODEL / "weights").to_onnx())
    assert exported.SerializeToString(deterministic=True) == (ROOT / ONNX).read_bytes()


def test_notes_in_the_body_of_a_branch_are_stripped(graph: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["x"], ["y"], doc_string="/home/someone/network.py")
    node.metadata_props.add(key="source", value="/home/someone/network.py")
    body = helper.make_graph([node], "body", [], [], doc_string="/home/someone/network.py")
    graph.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body))
    assert b"/home/someone" in graph.SerializeToString()
    assert b"/home/someone" not in export.strip(graph).SerializeToString()
