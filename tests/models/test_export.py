"""Export: one file, the same from every directory, that says nothing of where it was made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from models import export, train
from models.lib import artifacts, plugin
from repo.lib.files import sha256
from repo.lib.refusal import Refusal
from tests.models.scene import OPTIONS
from tests.support import trees
from tests.support.repository import ROOT
from tests.support.specimens import MODEL

ONNX = MODEL / "model.onnx"


@pytest.fixture
def graph(plain: Path) -> onnx.ModelProto:
    """The specimen's."""
    return onnx.load(plain / ONNX)


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Callable[[onnx.ModelProto], None]:
    """Export a given graph as if the network of the tree had made it."""

    def run(graph: onnx.ModelProto) -> None:
        class Network:
            @classmethod
            def load(cls, folder: Path) -> Network:
                return cls() if folder.is_dir() else NotImplemented

            def to_onnx(self) -> onnx.ModelProto:
                return graph

        monkeypatch.setattr(plugin, "network", lambda _: Network)
        assert export.main(OPTIONS) == 0

    return run


def test_training_in_another_directory_and_process_gives_the_same_bytes(
    workshop: Path, plain: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workshop's were made by the verbs of a pipeline, each in a process of its own."""
    root = trees.copy(plain, tmp_path / "a" / "deeper" / "place")
    monkeypatch.chdir(root)
    shutil.rmtree(MODEL / "weights")
    ONNX.unlink()
    assert train.main(OPTIONS) == 0
    assert export.main(OPTIONS) == 0
    weights = MODEL / "weights/weights.safetensors"
    assert sha256(root / weights) == sha256(workshop / weights) != sha256(small / weights)
    assert sha256(root / ONNX) == sha256(workshop / ONNX) != sha256(small / ONNX)
    content = (root / ONNX).read_bytes()
    assert not [word for word in (str(root), str(ROOT), "site-packages", ".py") if word.encode() in content]


@pytest.mark.usefixtures("tree")
def test_whatever_an_exporter_notes_is_stripped(
    plain: Path, exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto
) -> None:
    graph.producer_name, graph.producer_version, graph.doc_string = "pytorch", "9.9", "made on a Monday"
    graph.graph.name, graph.graph.doc_string = "main_graph", "/home/someone/network.py"
    graph.graph.value_info.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]))
    inner = graph.graph
    for part in (graph, inner, inner.node[0], inner.initializer[0], inner.input[0], inner.output[0]):
        part.metadata_props.add(key="source", value="/home/someone/network.py")
    exporting(graph)
    assert ONNX.read_bytes() == (plain / ONNX).read_bytes()


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("fault", ["renamed", "reordered", "output", "operator"])
def test_a_file_of_other_inputs_or_outputs_or_that_the_checker_rejects_is_not_written(
    exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto, fault: str
) -> None:
    words = "gives inputs .*it must give"
    if fault == "reordered":
        inputs = list(graph.graph.input)
        del graph.graph.input[:]
        graph.graph.input.extend([inputs[1], inputs[0], *inputs[2:]])
    elif fault == "operator":
        graph.graph.node[0].op_type = "Guess"
        words = "gives no valid graph .*Guess"
    else:
        part = (graph.graph.input if fault == "renamed" else graph.graph.output)[0]
        for node in graph.graph.node:
            for names in (node.input, node.output):
                names[:] = ["other" if name == part.name else name for name in names]
        part.name = "other"
    before = ONNX.read_bytes()
    with pytest.raises(Refusal, match=rf"^models/specimen_delay/network\.py: to_onnx\(\) {words}"):
        exporting(graph)
    assert ONNX.read_bytes() == before


@pytest.mark.usefixtures("tree")
def test_a_file_too_large_for_git_is_refused_and_named_with_the_setting_that_fixes_it(
    exporting: Callable[[onnx.ModelProto], None], graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert artifacts.GIT_LIMIT_MB == 10
    monkeypatch.setattr(artifacts, "GIT_LIMIT_MB", 0.002)
    with pytest.raises(Refusal, match=r"model\.onnx has 0\.0 MB, more than the 0\.002 MB for .*; set `storage: dvc`"):
        exporting(graph)
    trees.configure(Path(), {"storage": "dvc"})
    exporting(graph)


def test_a_missing_network_is_refused_with_the_command_that_makes_it(tree: Path) -> None:
    shutil.rmtree(tree / MODEL / "weights")
    with pytest.raises(Refusal, match=r"weights is missing; make it with `python -m models run specimen_delay`"):
        export.main(OPTIONS)


def test_notes_in_the_body_of_a_branch_are_stripped(graph: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["x"], ["y"], doc_string="/home/someone/network.py")
    node.metadata_props.add(key="source", value="/home/someone/network.py")
    body = helper.make_graph([node], "body", [], [], doc_string="/home/someone/network.py")
    graph.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body))
    assert b"/home/someone" in graph.SerializeToString()
    assert b"/home/someone" not in export.strip(graph, {}).SerializeToString()
