"""Whom the queries are sent to: reached safely, with secrets that Git does not hold, by whoever may scrape the pods."""

import re
from collections.abc import Iterator
from typing import Any

from deploy.canary.template import PLACEHOLDER
from deploy.checks.rendering import Object, Rendering
from deploy.checks.rules.runs import asks_prometheus, metrics_of
from deploy.lib.rules import Finding

SERVICE = re.compile(r"https?://([\w-]+)\.([\w-]+)\.svc[.:/\w-]*")
ENCRYPTED = re.compile(r"https://[\w.:/-]+")  # without a password, which would be before an @
OPENS = re.compile(r"auth|token|key|secret|password|cookie", re.IGNORECASE)  # in the name of a header
AT = "spec.metrics.provider.prometheus"


def providers(rendering: Rendering) -> list[tuple[Object, dict[str, Any]]]:
    asking = filter(asks_prometheus, rendering.of("AnalysisTemplate"))
    return [(each, metric["provider"]["prometheus"]) for each in asking for metric in metrics_of(each)]


def prometheus_is_reached_safely(rendering: Rendering) -> Iterator[Finding]:
    """What is sent in clear text leaves no cluster."""
    for each, provider in providers(rendering):
        address = str(provider.get("address"))
        if not SERVICE.fullmatch(address) and not ENCRYPTED.fullmatch(address):
            wrong = f"is {re.sub('//.*@', '//…@', address)!r}, no Service of the cluster and no plain https address"
            fix = "write http://<service>.<namespace>.svc:<port> or https://<host> into deploy/argocd/fork.yaml"
            yield each.finding(f"{AT}.address", wrong, fix)


def secrets_are_not_written_out(rendering: Rendering) -> Iterator[Finding]:
    """A token in Git is everyone's who reads it, and stays in its history."""
    for each, provider in providers(rendering):
        args = each.spec.get("args") or []
        secret = {f"args.{arg['name']}" for arg in args if "secretKeyRef" in (arg.get("valueFrom") or {})}
        own = provider.get("authentication") or {}
        given = {
            "authentication.oauth2.clientSecret": (own.get("oauth2") or {}).get("clientSecret"),
            "authentication.basicAuth.password": (own.get("basicAuth") or {}).get("password"),
            **{f"headers ({head['key']})": head["value"] for head in provider.get("headers") or []},
        }
        for field, text in given.items():
            if text and OPENS.search(field.partition(" ")[2] or field) and not secret & {*PLACEHOLDER.findall(text)}:
                fix = "revoke it, and name an argument that a secretKeyRef gives (deploy/argocd/settings.md)"
                yield each.finding(f"{AT}.{field}", "is written out: whoever reads Git has it", fix)


def prometheus_may_scrape(rendering: Rendering) -> Iterator[Finding]:
    """Some namespace must reach the pods: that of a Prometheus in the cluster, if that is what is asked."""
    hosts = {SERVICE.match(str(provider.get("address"))) for _, provider in providers(rendering)}
    asked = {host[2] for host in hosts if host and "prometheus" in host[1]}
    for policy in rendering.of("NetworkPolicy") if hosts else []:
        sources = [source for rule in policy.spec.get("ingress") or [] for source in rule.get("from") or []]
        labels = [(source.get("namespaceSelector") or {}).get("matchLabels") or {} for source in sources]
        named = {each["kubernetes.io/metadata.name"] for each in labels if "kubernetes.io/metadata.name" in each}
        for namespace in asked - named or ({"any"} if not named else set()):
            wrong = f"lets no pod of namespace {namespace} in, whose Prometheus must scrape: evidence never comes"
            yield policy.finding("spec.ingress", wrong, "name it as scraped-from in deploy/argocd/fork.yaml")
