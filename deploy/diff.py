"""What a change does in the cluster: every release, rendered before and after it, as a difference.

python -m deploy diff --since main

A difference is not an error: the exit code is 0 whenever it could be rendered.
"""

import argparse
from pathlib import Path

from deploy.checks import difference, kustomize
from repo.lib.command import working
from repo.lib.files import write
from repo.lib.git import merge_base


def main(options: argparse.Namespace) -> int:
    kustomize.renderer()  # its Refusal now
    base = merge_base(options.since)
    with working("rendering the manifests"):
        news, found = difference.compared(base)
    for line in news:
        print(line)
    for each in found:
        print(f"{each}:\n{each.text}\n")
    if not news and not found:
        print(f"Nothing changes in the cluster since {base[:10]}.")
    if options.report:
        write(Path(options.report), difference.markdown(base, news, found))
    return 0
