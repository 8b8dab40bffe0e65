"""The text of a pull request that changes what an environment runs: all that a person decides by, and the way back.

`python -m deploy promote … --propose` and `rollback … --propose` write it.
"""

from pathlib import Path
from typing import Any

from deploy.lib import aborted, history, rules
from deploy.lib.release import Gate, Release, kubernetes_name, parse_yaml
from models.lib.judges import BELOW
from models.lib.metrics import TITLES
from models.report import MARKS
from repo.lib.markdown import plain, table
from repo.lib.origin import Edit

PARTS = {"data": "data", "schema": "schema", "code": "code", "requirements": "packages", "onnx": "model file"}


def of_promotion(
    made: Release, former: Release | None, manifests: list[str], verified: str | None = None, signed: str = ""
) -> Edit:
    """`manifests`: what it changes in the cluster, lines of Markdown. `verified`: the image that the cluster reported
    healthy in staging. `signed`: who signed it, a sentence.
    """
    name, environment = made.model, made.environment
    what = "what staging runs, byte for byte" if environment == "production" else "what main has, gated again and built"
    lines = [
        f"Merging this promotes `{name}` `{made.version}` to {environment}: {what}.",
        "",
        *_beside(made, former),
        *_same_rows(made),
        *gate_lines(made),
        *(["## Staging", "", _staging(made, verified), ""] if environment == "production" else []),
        *([signed, ""] if signed else []),
        "## In the cluster",
        "",
        f"Once merged, {walk(made, former)}.",
        "",
        *_way_back(made, former),
        *manifests,
    ]
    return Edit(f"Promote {name} {made.version} to {environment}", "\n".join(lines))


def of_rollback(left: Release, restored: Release, reason: str | None, manifests: list[str]) -> Edit:
    name, environment = left.model, left.environment
    was = left.version if left.readable else "what cannot be read"
    lines = [
        f"Merging this restores `{name}` `{restored.version}` in {environment}, passport and resources as they "
        f"were released before, byte for byte, in the place of `{was}`.",
        "",
        f"**Why:** {plain(' '.join(reason.split())) if reason else 'no reason was given; write it here.'}",
        "",
        *_beside(restored, left if left.readable else None),
        "## In the cluster",
        "",
        f"If the rollout of `{was}` was aborted and `{restored.version}` was stable before it, the cluster serves that "
        "already: the Rollout goes straight to stable, without steps. So it does where the cluster still has the pods' "
        f"ReplicaSet (`rollbackWindow` of deploy/base). Otherwise {rules.rollout_in_words(restored.passport.serving)}.",
        "",
        _listed(left),
        "",
        *manifests,
    ]
    return Edit(f"Roll {name} back to {restored.version} in {environment}", "\n".join(lines))


def next_steps(changed: Path, message: str) -> str:
    """What a person does with a release that was only written."""
    return (
        f"Next, look at it and commit it:\n  git add {changed} && git diff --cached\n"
        f'  python -m deploy verify && git commit -m "{message}"'
    )


def _listed(left: Release) -> str:
    if not left.readable or not aborted.find(left.image.digest, aborted.read()):
        return f"No image is put on `{aborted.PATH}`: what is left can be promoted again."
    return (
        f"The image that is left is on `{aborted.PATH}` from now on: no environment takes it again, and no release is "
        "made of the same sources. Take it off that list in a commit that says why."
    )


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


def _same_rows(release: Release) -> list[str]:
    """What the gate `champion` found, if there was one: the table's columns may be about different months."""
    gate = next((gate for gate in release.passport.gates if gate.name == "champion"), None)
    if gate is None or gate.verdict == "off" or not gate.reason or not _record(release).get("champion"):
        return []
    return [f"Each column is of its own test window. The gate `champion` compared both: {plain(gate.reason)}.", ""]


def gate_lines(release: Release) -> list[str]:
    gates = release.passport.gates
    passed = sum(gate.verdict.startswith("pass") for gate in gates)
    rows = [
        [*map(plain, (gate.name, str(gate.limit), str(gate.value))), MARKS[gate.verdict], plain(gate.reason or "")]
        for gate in gates
    ]
    loud = [line for gate in gates if (line := _loud(gate))]
    head = ["## Gates", "", *loud, *([""] if loud else [])]
    head += [f"<details><summary>{passed} of {len(rows)} gates passed</summary>", ""]
    return [*head, *table(["gate", "limit", "value", "verdict", ""], rows), "</details>", ""]


def _loud(gate: Gate) -> str | None:
    """What a person must not overlook: a limit that was excused, and a change for callers that somebody meant."""
    if gate.verdict != BELOW and not (gate.name == "shift" and (gate.reason or "").startswith("meant: ")):
        return None
    judged = plain(f"{gate.value}, limit {gate.limit}; {gate.reason}")
    return f"- {MARKS[gate.verdict]}: `{gate.name}` {judged}"


def _staging(made: Release, verified: str | None) -> str:
    entry = next(history.entries("staging", made.model, own_line=True), None)
    since = f"since {entry.when:%Y-%m-%d %H:%M} (commit {entry.commit[:10]})" if entry else "by no commit"
    if verified:
        return f"✅ The cluster reported that its rollout in staging is complete and healthy. Git has it there {since}."
    return f"⚠️ No cluster reported that staging is healthy; Git has it there {since}. Look before you merge."


def walk(made: Release, former: Release | None) -> str:
    """What the cluster does with it, in words."""
    if former is None:
        return "the cluster starts it at full weight: a first deploy skips the canary steps and their analysis"
    return rules.rollout_in_words(made.passport.serving)


def _way_back(made: Release, former: Release | None) -> list[str]:
    name, environment = made.model, made.environment
    cluster = f"{kubernetes_name(name)} --namespace models-{environment}"
    none = [
        f"There is no earlier release. `git rm -r {made.folder}` takes it out of Git; what runs stays until "
        f"somebody deletes it: `kubectl delete rollout {cluster}`.",
    ]
    there = [
        "While it walks, an analysis that fails brings the earlier version back by itself; by hand, and in Git:",
        "",
        f"    kubectl argo rollouts abort {cluster}",
        f"    python -m deploy rollback {name} --environment {environment} --propose   # or the workflow `rollback`",
    ]
    return ["## The way back", "", *(there if former else none), ""]


def _record(release: Release) -> dict[str, Any]:
    read: dict[str, Any] = parse_yaml(release.files["passport.yaml"])
    return read
