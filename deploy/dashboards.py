"""Write the dashboards for Grafana from deploy/monitoring/dashboards.yaml: `python -m deploy dashboards`.

`--check` writes nothing, and exits 1 where a file is not what the description makes.
"""

import argparse

from deploy.lib.dashboards import boards
from repo.lib.files import write


def main(options: argparse.Namespace) -> int:
    old = {path: text for path, text in boards().items() if not path.is_file() or path.read_text() != text}
    for path, text in old.items():
        if not options.check:
            write(path, text)
        print(f"{path} {'is not current; run `python -m deploy dashboards`' if options.check else 'was written'}.")
    return int(bool(old and options.check))
