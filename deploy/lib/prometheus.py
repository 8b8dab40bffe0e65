"""Questions to the Prometheus of PROMETHEUS_URL; PROMETHEUS_TOKEN goes as bearer, PROMETHEUS_TENANT as X-Scope-OrgID.

By the standard library alone: a job that only plans installs nothing more.
"""

import json
import os
import re
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from repo.lib.refusal import Refusal

SECONDS = 30.0  # that an answer may take
LARGEST = 32 << 20  # bytes of an answer
HEADERS = {"PROMETHEUS_TOKEN": ("Authorization", "Bearer {}"), "PROMETHEUS_TENANT": ("X-Scope-OrgID", "{}")}
ADDRESS = re.compile(r"https?://([\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?(/[^?#@]*)?")  # without a user
Series = tuple[dict[str, str], float]  # labels, value


def query(text: str, at: float | None = None) -> list[Series]:
    """The series of an instant query, now or `at` a time, in seconds since 1970.

    No message holds more of the address than its host: the rest may be a secret.
    """
    if (place := ADDRESS.fullmatch(given := os.environ.get("PROMETHEUS_URL", ""))) is None:
        wrong = "is no address of a Prometheus, or holds a user" if given else "is not set"
        raise Refusal(f"PROMETHEUS_URL {wrong}; give http://prometheus:9090 or alike, a secret as PROMETHEUS_TOKEN.")
    asked = {"query": text} if at is None else {"query": text, "time": f"{at:.3f}"}
    host, address = place[1], f"{place[0].rstrip('/')}/api/v1/query?{urlencode(asked)}"
    request = Request(address)  # noqa: S310 - ADDRESS asks for http
    for variable, (name, pattern) in HEADERS.items():
        if value := os.environ.get(variable):
            request.add_unredirected_header(name, pattern.format(value))  # it must not follow to another host
    try:
        with urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            result = json.loads(response.read(LARGEST))["data"]["result"]
        return [(dict(each["metric"]), float(each["value"][1])) for each in result]
    except HTTPError as error:
        raise Refusal(f"Prometheus at {host} answers with status {error.code}; check its token and tenant.") from None
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise Refusal(f"Prometheus at {host} does not answer ({why}); check PROMETHEUS_URL and its network.") from None
    except (ValueError, KeyError, TypeError, IndexError):
        raise Refusal(f"{host} answers, but not as a Prometheus does; check PROMETHEUS_URL.") from None
