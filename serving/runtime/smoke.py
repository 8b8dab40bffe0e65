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
SUM = 1e-3  # by which shares may miss 1
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
    if not isinstance(content, dict):
        return "the answer is no object"
    if content.get("model") != contract["model"]:
        return f"model is {content.get('model')!r} instead of {contract['model']!r}"
    return _wrong(contract["answer"], content, len(rows))


def _wrong(answer: Mapping[str, Any], content: Mapping[str, Any], rows: int) -> str | None:
    """What of the values and labels breaks the contract."""
    field, names, threshold = answer["field"], answer["names"], answer["threshold"]
    values = content.get(field)
    if not isinstance(values, list) or len(values) != rows:
        return f"{field}: not one value for each of {rows} rows"
    if names and not all(isinstance(value, dict) and set(value) == set(names) for value in values):
        return f"{field}: a row is no object with a share for each of {len(names)} names"
    numbers = [list(value.values()) for value in values] if names else [[value] for value in values]
    low = -math.inf if answer["minimum"] is None else answer["minimum"]
    high = math.inf if answer["maximum"] is None else answer["maximum"]
    for number in itertools.chain(*numbers):
        if not isinstance(number, float | int) or not math.isfinite(number) or not low <= number <= high:
            return f"{field}: a value is not in [{low:g}, {high:g}]"
    if names and any(abs(sum(row) - 1) > SUM for row in numbers):
        return f"{field}: the shares of a row do not add up to 1"
    labels: list[Any] | None = None
    if names:
        labels = [max(value, key=value.get) for value in values]
    elif threshold is not None:
        labels = [int(value >= threshold) for value in values]
    if content.get("labels") != labels:
        return "labels: one does not follow from " + (
            f"the largest of {field}" if names else f"{field} and {threshold}"
        )
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
