"""A stand-in for BentoML that builds and serves in no time, so that tests can ask what happens around it."""

import os
from pathlib import Path

import pytest

BUILD = """
import json, os, shutil, signal, time
from pathlib import Path
def build(version, **_):
    name = json.loads(Path("contract.json").read_text())["model"]
    made = Path(os.environ["BENTOML_HOME"], "bentos", name, version)
    {before}
    shutil.copytree(".", made / "src")
    (made / "bento.yaml").write_text("name: " + name)
"""
# A supervisor that ends in order when asked to, and a worker with a session of its own, as BentoML's are.
SERVE = """
import http.server, os, signal, subprocess, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
worker = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
def end(*_):
    worker.kill()
    sys.exit()
signal.signal(signal.SIGTERM, end)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Ready).serve_forever()
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, before_building: str = "pass") -> None:
    """What processes that start from now on take for BentoML."""
    package = folder / "stand-in/bentoml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(BUILD.replace("{before}", before_building))
    (package / "__main__.py").write_text(SERVE)
    paths = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
