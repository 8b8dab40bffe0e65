"""What callers send and get: one plain dict from the dataset's schema and `model.yaml`, so that serving needs neither.

`python -m serving build` writes it into the Bento; `python -m serving contract flight_delay` says what a change of it
does to those who call: 0, or 1 where it breaks requests of theirs.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from models.lib import config
from repo.lib import process
from repo.lib.files import read_json, write, write_json
from repo.lib.git import archived, contents, merge_base
from serving.lib.derivation import derive

ELSEWHERE = ("tests", "deploy")  # what deriving a contract never reads


def main(options: argparse.Namespace) -> int:
    from serving.lib import compatibility

    model = config.load(options.model, check_columns=False)
    after = derive(model)
    if options.json:
        write_json(Path(options.json), after)
        return 0
    base = merge_base(options.since)
    before = of_commit(base, model.name)
    found = [] if before is None else compatibility.between(before, after)
    effects = {each.effect for each in found}
    if before is None:
        summary = "new: nobody calls it yet."
    elif compatibility.BREAKS in effects:
        summary = (
            f"callers of {base[:10]} would break; put this into a new model folder beside "
            f"{model.folder}, or raise serving.api of {model.folder}/model.yaml to {before.get('api', 1) + 1}, which "
            "declares that callers know."
        )
    elif effects - {compatibility.WIDENS, compatibility.SAYS}:
        summary = f"callers of {base[:10]} will break, and api {after['api']} declares that callers know."
    elif effects:
        summary = f"no caller of {base[:10]} breaks."
    else:
        summary = f"unchanged since {base[:10]}."
    for each in found:
        print(each)
    print(f"contract {model.name}: {summary}")
    if options.report:
        write(Path(options.report), compatibility.markdown(model.name, found, summary))
    return 1 if compatibility.BREAKS in effects else 0


def of_commit(commit: str, name: str) -> dict[str, Any] | None:
    """The contract that a commit has, derived by the code of that commit; None where it has no such model."""
    if not contents(commit, [f"models/{name}/model.yaml"]):
        return None
    with archived(commit, without=("*.onnx", *ELSEWHERE)) as tree, tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "contract.json")
        command = [sys.executable, "-m", "serving", "contract", name, "--json", str(answer)]
        wrong = f"the contract of {name} at {commit[:10]} cannot be derived by the code there"
        process.run(command, wrong, "fix it there, or name another commit with --since", tree, makes=answer)
        found: dict[str, Any] = read_json(answer, "python -m serving contract")
        return found
