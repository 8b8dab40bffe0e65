"""What a gate says is shown as it stands in the text of a promotion, whatever a model's code put into it."""

from __future__ import annotations

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
