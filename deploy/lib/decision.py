"""The text of a pull request that changes what an environment runs: all that a person decides by, and the way back.

`python -m deploy promote … --propose` and `rollback … --propose` write it, by decision.md.jinja beside this file.
"""

from pathlib import Path
from typing import Any

from deploy.lib import aborted, history, rules
from deploy.lib.passport import Gate, parse_yaml
from deploy.lib.release import Release, kubernetes_name
from deploy.lib.strategies import TABLE
from models.lib.judges import BELOW
from models.lib.metrics import TITLES
from models.report import MARKS
from repo.lib.markdown import plain, table
from repo.lib.origin import Edit

WRITTEN = ("meant: ", "explained: ")  # in the reason of a gate that passes by what the team wrote
PARTS = {"data": "data", "schema": "schema", "code": "code", "requirements": "packages", "onnx": "model file"}


def of_promotion(
    made: Release, former: Release | None, manifests: list[str], verified: str | None = None, signed: str = ""
) -> Edit:
    """`manifests`: what it changes in the cluster, lines of Markdown. `verified`: the image that the cluster reported
    healthy in staging. `signed`: who signed it, a sentence.
    """
    gates = made.passport.gates
    cells = [
        [
            *(plain(str(each)) for each in (gate.name, gate.limit, gate.value)),
            MARKS[gate.verdict],
            plain(gate.reason or ""),
        ]
        for gate in gates
    ]
    body = _text(
        made,
        former,
        manifests,
        walk=walk(made, former),
        compared=_same_rows(made),
        loud=[gate for gate in gates if _is_loud(gate)],
        passed=sum(gate.verdict.startswith("pass") for gate in gates),
        gates="\n".join(table(["gate", "limit", "value", "verdict", ""], cells)),
        since=_since(made) if made.environment == "production" else "",
        verified=verified,
        signed=signed,
        cluster=f"{kubernetes_name(made.model)} --namespace models-{made.environment}",
    )
    share = f" at {made.weight.weight} %" if made.weight else ""
    return Edit(f"Promote {made.model} {made.version} to {made.environment}{share}", body)


def of_rollback(left: Release, restored: Release, reason: str | None, manifests: list[str]) -> Edit:
    body = _text(
        restored,
        left,
        manifests,
        back=True,
        was=left.version if left.readable else "what cannot be read",
        reason=reason,
        walk=walk(restored, left),
        listed=left.readable and aborted.find(left.image.digest, aborted.read()),
        list=aborted.PATH,
    )
    return Edit(f"Roll {left.model} back to {restored.version} in {left.environment}", body)


def next_steps(changed: Path, message: str) -> str:
    """What a person does with a release that was only written."""
    return (
        f"Next, look at it and commit it:\n  git add {changed} && git diff --cached\n"
        f'  python -m deploy verify && git commit -m "{message}"'
    )


def walk(made: Release, former: Release | None) -> str:
    """What the cluster does with it, in words."""
    own, at = TABLE[made.passport.serving.strategy], made.weight
    if former is None:
        return "the cluster starts it at full weight: a first deploy skips the canary steps and their analysis"
    if at is not None and not at.whole:
        then = f"`python -m deploy promote {made.model} --to {made.environment} --weight {at.next}` judges it"
        return f"KServe gives it {at.weight} % of the traffic, and {at.former.version} the rest, until {then}"
    words = rules.rollout_in_words(made.passport.serving)
    if own.by_commits:
        words = "KServe gives it all traffic at once"
    if former.readable and TABLE[former.passport.serving.strategy].target != own.target:
        return f"callers are interrupted, because another kind of object takes the place of the former; then {words}"
    return words


def _text(new: Release, old: Release | None, manifests: list[str], back: bool = False, **values: Any) -> str:
    from repo.lib.templates import template  # a verb that only writes a release needs it not

    about = {"name": new.model, "environment": new.environment, "new": new, "old": old, "marks": MARKS, "back": back}
    of = TABLE[new.passport.serving.strategy]
    about |= {"by_commits": of.by_commits, "rollout": of.target == "kind: Rollout"}
    lines = {"beside": "\n".join(_beside(new, old)), "manifests": "\n".join(manifests)}
    return template(Path(__file__).with_name("decision.md.jinja"), plain=plain).render(about, **lines, **values)


def _beside(new: Release, old: Release | None) -> list[str]:
    """Both passports, a line each figure."""
    now, before = _figures(new), _figures(old) if old and old.readable else {}
    same = {title for title in PARTS.values() if before.get(title) == now[title]}
    rows = [[title, before.get(title, ""), "the same" if title in same else text] for title, text in now.items()]
    return table(["", f"{new.environment} now" if before else "nothing runs yet", "with this"], rows)


def _figures(release: Release) -> dict[str, str]:
    """Title -> text of each figure of a passport."""
    record = _record(release)
    window, image = record.get("dataset", {}).get("window"), record["image"]
    if isinstance(window, dict):  # as passports had it first
        window = f"{window['first']} to {window['last']}"
    metrics = record.get("metrics", {})
    return {
        "version": f"`{release.version}`",
        "test window": f"{plain(window)}, {record['dataset']['rows']:,} rows" if window else "",
        **{title: _interval(metrics[key]) for key, title in TITLES.items() if key in metrics},
        **{title: f"`{record['content'].get(part, '')[:12]}`" for part, title in PARTS.items()},
        "strategy": str(record["serving"]["strategy"]),
        "image": f"`{image['name']}@{image['digest'][:19]}…`",
        "built from": str(image.get("commit", "not recorded")),
    }


def _interval(figure: dict[str, float] | None) -> str:
    return f"{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})" if figure else ""


def _same_rows(release: Release) -> str | None:
    """What the gate `champion` found, if there was one: the table's columns may be about different months."""
    gate = next((gate for gate in release.passport.gates if gate.name == "champion"), None)
    return gate.reason if gate and gate.verdict != "off" and _record(release).get("champion") else None


def _is_loud(gate: Gate) -> bool:
    """What a person must not overlook: a limit that was excused, and a change for callers that somebody meant."""
    return gate.verdict == BELOW or any(word in (gate.reason or "") for word in WRITTEN)


def _since(made: Release) -> str:
    entry = next(history.entries("staging", made.model, own_line=True), None)
    return f"since {entry.when:%Y-%m-%d %H:%M} (commit {entry.commit[:10]})" if entry else "by no commit"


def _record(release: Release) -> dict[str, Any]:
    read: dict[str, Any] = parse_yaml(release.files["passport.yaml"])
    return read
