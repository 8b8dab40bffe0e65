"""Print the rules, alerts and constants of all releases as one plain rule file, for a Prometheus without an operator.

python -m deploy rules --output models.rules.yml && promtool check rules models.rules.yml
"""

import argparse
from pathlib import Path

from deploy.lib import monitoring, release
from repo.lib import files


def main(options: argparse.Namespace) -> int:
    text = files.dump_yaml({"groups": monitoring.groups(release.every())})
    if options.output:
        files.write(Path(options.output), text)
    else:
        print(text, end="")
    return 0
