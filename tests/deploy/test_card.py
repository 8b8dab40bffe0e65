"""What nobody has said keeps a model from production; what is known of it travels with the release."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.lib import card, promotion, release
from models.lib import config
from tests.deploy.tree import MODEL, Tree, content, digest, folder, image, passed, refused
from tests.support.passports import GOVERNANCE
from tests.support.specimens import DATASET, NAME

SECTIONS = {"Use": "Tests.", "Limits": "Made up.", "Ethics": "Nobody.", "Contact": "The team.", "Colours": "Blue."}
SAID = "".join(f"## {name}\n\n{text}\n\n" for name, text in SECTIONS.items())
HEADINGS = [
    *("General description", "Detailed description", "Monitoring, functioning and control", "Appropriateness of"),
    *("Risk management", "Changes through the lifecycle", "Standards", "EU declaration", "Post-market monitoring"),
]
LIMITS = {"allowed": None, "min": 0, "max": None, "above": None, "below": 120, "pattern": None, "nullable": True}
CONTRACT = {
    "api": 1,
    "max_rows": 9,
    "feedback_days": 60,
    "answer": {"output": "score", "field": "scores", "description": "A chance.", "unit": None}
    | {"names": None, "threshold": 0.35},
    "features": [
        {
            "name": "age",
            "type": "integer",
            "unit": "years",
            "description": "Of a <b>person</b> | here",
            "personal": True,
        }
        | LIMITS,
        {"name": "kind", "type": "string", "unit": None, "description": card.DRAFTED, "personal": False}
        | LIMITS
        | {"allowed": ["x"]},
    ],
}
SERVING = {"strategy": "canary", "slow_ms": 5.0}
FIGURE = {"value": 0.61, "low": None, "high": None}


def empty(*where: str) -> dict[str, Any]:
    found: dict[str, Any] = deepcopy(GOVERNANCE)
    *path, last = where
    inner = found
    for name in path:
        inner = inner[name]
    inner[last] = "" if last != "card" else ["use", "ethics", "contact"]
    return found


@pytest.mark.parametrize(
    ("governance", "named"),
    [
        (empty("owner"), [f"{MODEL}/model.yaml: owner"]),
        (empty("dataset", "licence"), [f"{DATASET}/schema.py: Config.metadata.licence"]),
        (empty("card"), [f"{MODEL}/card.md: limits"]),
        (
            {},
            [f"{MODEL}/model.yaml: owner", f"{DATASET}/schema.py: Config.metadata.retention", f"{MODEL}/card.md: use"],
        ),
    ],
)
def test_what_is_empty_is_a_warning_in_staging_and_refused_in_production_by_name(
    tree: Tree, governance: dict[str, Any], named: list[str]
) -> None:
    tree.build("a", governance=governance)
    out = passed(tree.promote("staging")).out
    assert [each for each in named if each not in out] == []
    tree.commit()
    refused(tree.promote("production"), *named)
    assert content(folder("production")) == {}


def test_with_all_of_it_a_release_has_card_and_bill_of_materials_and_production_the_same_bytes(tree: Tree) -> None:
    (MODEL / "card.md").write_text(SAID)
    tree.build("a")
    assert "empty" not in passed(tree.promote("staging")).out
    tree.commit()
    passed(tree.promote("production"))
    tree.commit()
    staging, production = content(folder("staging")), content(folder("production"))
    for name in ("MODEL_CARD.md", "mlbom.json"):
        assert staging[name] == production[name]
        (folder("production") / name).write_bytes(staging[name] + b"\n")
        tree.commit()
        assert f"{folder('production')}/kustomization.yaml: " in tree.deploy("verify").out
        (folder("production") / name).write_bytes(staging[name])
        tree.commit()
    assert tree.deploy("verify").code == 0


def made(
    tree: Tree, governance: Any = GOVERNANCE, serving: Any = SERVING, slo: Any = None, **files: Any
) -> tuple[str, dict[str, Any]]:
    """Card and bill of materials of a built model; `files` are what run and build left beside its passport."""
    record = tree.build("a", governance=governance, serving=serving, slo=slo or {})
    model, built = config.load(NAME, check_columns=False), MODEL / "build"
    for name, found in files.items():
        about = {"version": record["version"], "onnx": record["content"]["onnx"]}
        (built / f"{name}.json").write_text(json.dumps(about | found))
    found = card.documents(model, (built / "passport.yaml").read_bytes(), image("a"))
    assert found == card.documents(model, (built / "passport.yaml").read_bytes(), image("a"))
    return found["MODEL_CARD.md"].decode(), json.loads(found["mlbom.json"])


def test_a_card_has_the_headings_of_the_act_and_names_what_is_not_known(tree: Tree) -> None:
    text, _ = made(tree)
    for number, heading in enumerate(HEADINGS, 1):
        assert f"\n## {number}. {heading}" in text
        if heading in ("Standards", "EU declaration"):
            assert "**Not known here:**" in text.partition(f"\n## {number}. {heading}")[2].partition("\n## ")[0]
    for gap in ("types, units and limits of the inputs", "how it does on slices", "the intended purpose", "Article 72"):
        assert f"**Not known here:** {gap}" in text or gap in text.partition("Post-market")[2]


def test_a_card_says_what_people_wrote_and_what_was_measured_and_nothing_of_persons(tree: Tree) -> None:
    (MODEL / "card.md").write_text(SAID)
    slices = [{"column": column, "slice": "x1", "rows": 7} for column in ("carrier", "origin")]
    metrics: Any = tree.build("a")["metrics"]
    personal: Any = deepcopy(GOVERNANCE)
    personal["dataset"]["personal"] = ["origin"]
    found = {"slices": [{**each, **dict.fromkeys(metrics, FIGURE)} for each in slices]}
    text, _ = made(tree, contract=CONTRACT, evaluation=found, governance=personal)
    assert "origin x1" not in text
    age = "| age (personal) | integer | years | at least 0, below 120, or null | Of a &#60;b&#62;person&#60;/b&#62;"
    for told in (
        age,
        "carrier x1 | 7 | 0.61",
        "\nMade up.\n",
        "## Colours\n\nBlue.",
        digest("a"),
        "`scores`: A chance.",
        "`labels`: 1 where the value of `scores` is at least 0.35, else 0.",
        "| kind | string |  | x | **not known here** |",
    ):
        assert told in text, told
    assert "the intended purpose" not in text
    stale, _ = made(tree, contract=CONTRACT | {"version": "0"}, evaluation=found | {"onnx": "0"})
    assert "| age" not in stale
    assert "carrier x1" not in stale


@pytest.mark.parametrize("strategy", ["canary", "seldon"])
def test_a_card_is_true_of_what_answers(tree: Tree, strategy: str) -> None:
    serving = {"strategy": strategy, "slow_ms": 5.0, "latency_budget_ms": 10.0, "threshold": 0.35}
    text, _ = made(tree, contract=CONTRACT, serving=serving, slo={"latency": 0.99})
    assert "| Threshold | 0.35: an answer of at least that is a yes |" in text
    assert "- Objective of latency: 0.99 of the requests within 10 ms" in text
    service = ["one HTTP API", "9 rows a request", "Where the pod has a key, outcomes", "held against training's"]
    triton = ["the model file by Triton", "`score`: A chance.", "no alert fires", "which nothing measures"]
    assert [told in text for told in (*service, "Alerts fire", "`labels`: 1")] == [strategy == "canary"] * 6
    assert [told in text for told in triton] == [strategy == "seldon"] * 4


def test_the_bill_of_materials_is_strictly_cyclonedx_with_the_hashes_of_model_and_data(tree: Tree) -> None:
    (MODEL / "card.md").write_text(SAID)
    governance: Any = deepcopy(GOVERNANCE)
    governance["dataset"]["licence"] = "cc0-1.0"
    _, bom = made(tree, governance=governance, contract=CONTRACT)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bom)) is None
    model, (data,) = bom["metadata"]["component"], bom["components"]
    content = tree.build("a")["content"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": content["onnx"]}]
    assert content["data"].startswith(data["hashes"][0]["content"])
    assert model["modelCard"]["considerations"]["technicalLimitations"] == ["Made up."]
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    parameters, said = model["modelCard"]["modelParameters"], model["modelCard"]["properties"]
    assert parameters["inputs"] == [{"format": "int64"}, {"format": "string"}]
    assert parameters["outputs"] == [{"format": "scores (float32)"}]
    assert {"name": "input.age", "value": "int64"} in said
    assert data["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    assert made(tree)[1]["components"][0]["licenses"] == [{"license": {"name": "said"}}]
    figures = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert figures[0]["confidenceInterval"] == {"lowerBound": "0.74", "upperBound": "0.76"}
    model["modelCard"]["bogus"] = "x"
    assert validator.validate_str(json.dumps(bom)) is not None


def test_what_is_signed_is_what_is_released(tree: Tree, tmp_path: Path) -> None:
    (MODEL / "card.md").write_text(SAID)
    tree.build("a")
    refused(tree.deploy("card", NAME, "--write", str(tmp_path / "x")), "serving image --push specimen_delay")
    (MODEL / "build/image").write_text(f"{image('a')}\n")
    passed(tree.deploy("card", NAME, "--write", str(tmp_path / "x")))
    signed = content(tmp_path / "x")
    passed(tree.promote("staging"))
    released = content(folder("staging"))
    lines = signed["subjects.txt"].decode().splitlines()
    assert lines[0] == f"{'a' * 64}  {image('a').partition('@')[0]}"
    assert [line.split("  ")[1] for line in lines[1:]] == ["model.onnx", "passport.yaml", "MODEL_CARD.md", "mlbom.json"]
    assert [signed[name] for name in ("MODEL_CARD.md", "mlbom.json")] == [
        released[name] for name in ("MODEL_CARD.md", "mlbom.json")
    ]
    assert released["passport.yaml"].startswith(signed["passport.yaml"])
    assert json.loads(signed["passport.json"])["verdict"] == "pass"


def test_a_rollback_to_a_release_of_before_is_never_refused(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "lacking", lambda _: [])
        patch.setattr(promotion, "documents", lambda *_: {})
        tree.build("a", governance={})
        for environment in ("staging", "production"):
            passed(tree.promote(environment))
            tree.commit()
    tree.release("b", "staging", "production")
    assert "MODEL_CARD.md" in content(folder("production"))
    passed(tree.deploy("rollback", NAME, "--environment", "production"))
    tree.commit()
    assert set(content(folder("production"))) == set(release.FILES)
    assert passed(tree.deploy("verify"))
