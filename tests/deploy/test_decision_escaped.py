"""What a passport says is shown as it stands in the text of a promotion, whatever a model's code put into it."""

from __future__ import annotations

import pytest

from deploy.lib import decision, release
from tests.deploy.tree import Tree, gate_names


def test_a_gate_cannot_put_html_or_a_mention_into_the_decision(tree: Tree) -> None:
    nasty = "</details><img src=x> @team | `x`"
    gates = [
        {"name": name, "limit": nasty, "value": nasty, "verdict": "pass", "reason": nasty} for name in gate_names()
    ]
    tree.build("a", gates=gates)
    assert tree.promote("staging").code == 0
    (made,) = release.every()
    text = "\n".join(decision.gate_lines(made))
    assert text.count("</details>") == 1
    for told in ("<img", "@team", "`x`"):
        assert told not in text
    assert text.count("&#60;img") == 3 * len(gates)


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ("2024-W09 to 2024-W12", "2024-W09 to 2024-W12"),
        ("15 % by a hash of <b>", "15 % by a hash of &#60;b&#62;"),
        ({"first": "2013-08", "last": "2013-09"}, "2013-08 to 2013-09"),  # of a release made before
    ],
)
def test_the_test_rows_are_named_as_the_passport_has_them(tree: Tree, window: object, shown: str) -> None:
    tree.build("a", dataset={"name": "specimen_trips", "window": window, "rows": 1200})
    assert tree.promote("staging").code == 0
    (made,) = release.every()
    assert f"| {shown}, 1,200 rows |" in decision.of_promotion(made, None, []).body
