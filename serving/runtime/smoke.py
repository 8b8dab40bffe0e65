"""Call a served model with rows that keep its contract, and hold every answer to it; runs inside the image, too.

python /bento/src/serving/runtime/smoke.py --url http://flight-delay [--requests 200] [--rate 20]

Exit code 0: every answer kept the contract. 1: one did not, and the first is named. Without --requests it calls without
end, for an environment that has no callers, and a wrong answer is only printed: the model's own metrics count it.
"""

import argparse
import itertools
import json
import math
import random
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NULL_SHARE = 0.05  # of values that may be null
ROWS = 5  # in a request, at most
SECONDS = 10.0  # for one answer
Row = dict[str, Any]


def row(contract: Mapping[str, Any], dice: random.Random) -> Row:
    """A row that the contract allows: values from all of its ranges, so that no corner stays dark."""
    return {feature["name"]: _value(feature, dice) for feature in contract["features"]}


def _value(feature: Mapping[str, Any], dice: random.Random) -> Any:
    if feature["nullable"] and dice.random() < NULL_SHARE:
        return None
    if feature["allowed"]:
        return dice.choice(feature["allowed"])
    limits = [feature["min"], feature["max"]]
    if feature["type"] == "string" or None in limits:
        return feature["example"]
    return dice.randint(*limits) if feature["type"] == "integer" else round(dice.uniform(*limits), 3)


def fault(contract: Mapping[str, Any], rows: list[Row], url: str) -> str | None:
    """What is wrong with the answer to these rows, in one sentence; None if nothing is."""
    # A connection for each request: a kept one would stay with one pod, whatever the shares of traffic are.
    headers = {"Content-Type": "application/json", "Connection": "close"}
    request = urllib.request.Request(f"{url}/predict", json.dumps({"rows": rows}).encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            content = json.load(answer)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(200).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return f"no answer in JSON: {error}"
    scores, labels = content.get("scores"), content.get("labels")
    if not isinstance(scores, list) or not isinstance(labels, list) or not len(scores) == len(labels) == len(rows):
        return f"not one score and one label for each of {len(rows)} rows"
    if not all(isinstance(score, float | int) and math.isfinite(score) and 0 <= score <= 1 for score in scores):
        return "a score is not in [0, 1]"
    if labels != [int(score >= contract["threshold"]) for score in scores]:
        return f"a label does not follow from its score and the threshold {contract['threshold']}"
    if content.get("model") != contract["model"]:
        return f"model is {content.get('model')!r} instead of {contract['model']!r}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="of the server, without /predict")
    parser.add_argument("--requests", type=int, help="how many (default: without end)")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second (default: 20)")
    options = parser.parse_args()
    contract = json.loads((Path(__file__).resolve().parents[2] / "contract.json").read_text())
    dice = random.Random()  # noqa: S311 - rows, not secrets
    endless = options.requests is None
    for number in itertools.count(1) if endless else range(1, options.requests + 1):
        rows = [row(contract, dice) for _ in range(dice.randint(1, min(ROWS, contract["max_rows"])))]
        wrong = fault(contract, rows, options.url.rstrip("/"))
        if wrong:
            print(f"request {number}: {wrong}", file=sys.stderr, flush=True)
            if not endless:
                return 1
        time.sleep(1 / options.rate)
    print(f"{options.requests} requests, every answer keeps the contract")
    return 0


if __name__ == "__main__":
    sys.exit(main())
