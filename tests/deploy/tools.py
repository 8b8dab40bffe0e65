"""Tests that need a tool of the machine: skipped with the command that installs it, which STRICT makes a failure."""

from __future__ import annotations

import pytest

from deploy.rehearsal import prometheus, proxy

needs_prometheus = pytest.mark.skipif(prometheus.find() is None, reason="apt-get install prometheus")
needs_haproxy = pytest.mark.skipif(proxy.find() is None, reason="apt-get install haproxy")
