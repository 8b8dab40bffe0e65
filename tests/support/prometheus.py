"""A real Prometheus that holds the samples of a text, each with its time: what a test asks instead of a cluster's."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.rehearsal import tool
from serving import serve

needs_promtool = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="no promtool; install it (Debian: apt-get install prometheus)",
)


@contextlib.contextmanager
def filled(samples: str, folder: Path) -> Iterator[str]:
    """Its address; `samples`: OpenMetrics, every sample with its time in seconds, without the last line."""
    folder.mkdir()
    (folder / "samples").write_text(f"{samples}# EOF\n")
    (folder / "settings.yml").write_text("{}\n")
    make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "store"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    port = serve.free_port()
    command = [
        *("prometheus", f"--config.file={folder / 'settings.yml'}", f"--storage.tsdb.path={folder / 'store'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", "--storage.tsdb.retention.time=10y"),
    ]
    with tool.running(command, folder / "log", lambda: serve.answers("127.0.0.1", port, "/-/ready")):
        yield f"http://127.0.0.1:{port}"
